"""The one command of all measurements: ``python benchmarks/bench.py [PART ...]``.

It measures each part, keeps what it found in results.json, and writes the tables and figures of
docs/ and of the READMEs. Nothing else should run on the machine meanwhile.
"""

import argparse
import importlib
from pathlib import Path

from measure import keep_results, results_of

# Each is a module beside this one: `measure` returns its results, `write` writes them down.
PARTS = {
    "trainings": "every recipe, plain Keras and PyTorch (several hours; can be resumed)",
    "growth": "larger data, larger batches, more threads, more workers (half an hour)",
    "elsewhere": "import, loading, evaluation, prediction, memory (a few minutes)",
    "page": "the command line and the web page (a few minutes; needs Chromium)",
    "photos": "photographs of strangers (half an hour; needs --photos)",
}


def main() -> None:
    """Measure the parts that were named."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n".join(f"{part:10} {words}" for part, words in PARTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all but photos")
    parser.add_argument("--table-only", action="store_true", help="only write down results.json")
    parser.add_argument("--seeds", type=int, default=5, help="of each training (default: 5)")
    parser.add_argument("--sides", nargs="+", help="of the trainings (default: all)")
    parser.add_argument("--photos", type=Path, help="directory of the real photos")
    arguments = parser.parse_args()
    for part in arguments.parts or [part for part in PARTS if part != "photos"]:
        if part not in PARTS:
            parser.error(f"expected one of {', '.join(PARTS)}, got {part}")
        module = importlib.import_module(part)
        if not arguments.table_only:
            results = module.measure(arguments)
            if results is None:
                continue  # it said what is missing
            keep_results(part, results)
        module.write(results_of(part))


if __name__ == "__main__":
    main()
