"""The one command of all measurements: ``make bench``.

It measures each part, keeps what it found in results.json, and writes the tables and figures of
docs/ and of the READMEs. Nothing else should run on the machine meanwhile.
"""

import argparse
import importlib
from pathlib import Path

from measure import keep_results, results_of, write_table

# Each is a module beside this one: `measure` returns its results, `tables` renders them, and `draw`
# draws them if there is a figure.
PARTS = ("trainings", "elsewhere", "page", "photos")


def main() -> None:
    """Measure the parts that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    words = f"one of {', '.join(PARTS)}; by default all but photos"
    parser.add_argument("parts", nargs="*", default=PARTS[:-1], metavar="PART", help=words)
    parser.add_argument("--table-only", action="store_true", help="only write down results.json")
    parser.add_argument("--photos", type=Path, help="directory of the real photos")
    arguments = parser.parse_args()
    for part in arguments.parts:
        module = importlib.import_module(part)
        if not arguments.table_only:
            inputs = [arguments.photos] if part == "photos" else []
            keep_results(part, module.measure(*inputs))
        results = results_of(part)
        for (document, name), table in module.tables(results).items():
            write_table(document, name, table)
        if hasattr(module, "draw"):
            module.draw(results)


if __name__ == "__main__":
    main()
