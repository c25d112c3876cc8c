"""The one command of all measurements: ``make bench``.

It measures each part, keeps what it found in results.json, and writes the tables and figures of
docs/ and of the READMEs. Nothing else should run on the machine meanwhile.
"""

import argparse
import importlib
from pathlib import Path

from measure import Tables, keep_results, results_of, write_table

# Each is a module beside this one: `measure` returns its results, `tables` renders them, and `draw`
# draws them if there is a figure.
PARTS = ("trainings", "elsewhere", "page", "photos")


def tables_of(part: str) -> Tables:
    """Return the tables of a part, rendered from results.json."""
    tables: Tables = importlib.import_module(part).tables(results_of(part))
    return tables


def main() -> None:
    """Measure the parts that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, help="default: all but photos")
    parser.add_argument("--table-only", action="store_true", help="only write down results.json")
    parser.add_argument("--photos", type=Path, help="directory of the real photos")
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS[:-1]:
        module = importlib.import_module(part)
        if not arguments.table_only:
            inputs = [arguments.photos] if part == "photos" else []
            keep_results(part, module.measure(*inputs))
        for (document, name), table in tables_of(part).items():
            write_table(document, name, table)
        if hasattr(module, "draw"):
            module.draw(results_of(part))


if __name__ == "__main__":
    main()
