"""Train the book's recipe over several seeds, in plain Keras and with this package, in turn.

``python benchmarks/book.py`` (or ``make bench``) runs each training in a fresh process, writes
``results/book.json`` and renews the table in README.md. It takes two to four minutes a training,
and wants the machine for itself. ``--table-only`` renews the table from the results at hand.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import fashion_cnn as fc
from fashion_cnn.data import DATA_DIR_VARIABLE, FASHION_MNIST_SHA256

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "book.json"
README = HERE.parent / "README.md"
SIDES = {"plain Keras": "plain_keras.py", "fashion_cnn": "fashion_cnn_book.py"}
TABLE = re.compile(r"(?<=<!-- book table -->\n).*?(?=<!-- end of book table -->)", re.DOTALL)


def main() -> None:
    """Run the trainings, unless told not to, and renew the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to SEEDS - 1 (default: 5)")
    parser.add_argument("--table-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.table_only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(run_all(range(arguments.seeds)), indent=1) + "\n")
    table = render_table(json.loads(RESULTS.read_text()))
    print(table)
    README.write_text(TABLE.sub(lambda _: table, README.read_text(encoding="utf-8")), "utf-8")


def run_all(seeds: range) -> dict[str, Any]:
    """Train every side with every seed and return the figures with what they were measured on."""
    source = fc.load_fashion_mnist().source
    if not source.is_fashion_mnist:
        raise SystemExit(f"the benchmark needs Fashion-MNIST, got {source}")
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as scratch:
        # Both sides read the same files, each from where its users have them.
        cache = Path(scratch, "datasets", "fashion-mnist")
        cache.mkdir(parents=True)
        for name in FASHION_MNIST_SHA256:
            (cache / name).symlink_to(source.directory / name)
        environment = os.environ | {"KERAS_HOME": scratch, DATA_DIR_VARIABLE: str(source.directory)}
        for seed in seeds:
            for side, script in SIDES.items():
                command = [sys.executable, str(HERE / script), str(seed), f"{scratch}/best.keras"]
                finished = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, text=True, check=True
                )
                runs[side].append(json.loads(finished.stdout.splitlines()[-1]))
                print(side, runs[side][-1], flush=True)
    return {"hardware": hardware(), "versions": versions(), "runs": runs}


def hardware() -> str:
    """Return the processor's name and the number of cores this process may use."""
    cpu_info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpu_info.read_text()) if cpu_info.exists() else None
    name = found.group(1) if found else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, no GPU"


def versions() -> str:
    """Return the versions that decide the figures."""
    packages = ("tensorflow", "keras", "numpy")
    named = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"Python {platform.python_version()}, {named}"


def render_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of mean ± standard deviation over the seeds."""
    lines = [
        "| BOOK recipe | n | epochs | validation accuracy | test accuracy | seconds an epoch |",
        "|---|---|---|---|---|---|",
    ]
    for side, runs in results["runs"].items():
        seconds = [run["seconds"] / run["epochs"] for run in runs]
        cells = [
            side,
            str(len(runs)),
            mean_and_std([run["epochs"] for run in runs], 1),
            mean_and_std([run["validation_accuracy"] for run in runs], 4),
            mean_and_std([run["test_accuracy"] for run in runs], 4),
            mean_and_std(seconds, 1),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    measured = f"Mean ± standard deviation over seeds; `make bench`; {results['hardware']}; "
    return "\n".join([*lines, "", measured + results["versions"] + ".", ""])


def mean_and_std(values: list[float], digits: int) -> str:
    """Return ``mean ± sample standard deviation`` as text."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


if __name__ == "__main__":
    main()
