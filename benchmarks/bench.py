"""Measure the tables of docs/benchmarks.md and its figure, each side in fresh processes.

``make bench`` runs all; ``python benchmarks/bench.py --help`` lists the options. An interrupted
measurement resumes: finished runs are kept in results/unfinished.jsonl until all are done. The
sides take turns, seed by seed. PyTorch is measured if torch is installed. Nothing else should run
on the machine.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from measure import READMES, below_table, write_table

import fashion_cnn as fc
from fashion_cnn.data import DATA_DIR_VARIABLE, FASHION_MNIST_SHA256

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "runs.json"
UNFINISHED = HERE / "results" / "unfinished.jsonl"
FIGURE = HERE.parent / "docs" / "accuracy-against-time.png"
PLAIN = "plain Keras"
SIDES = {
    PLAIN: ["plain_keras_run.py"],
    "PyTorch": ["pytorch_run.py"],
    "BOOK": ["fashion_cnn_run.py", "BOOK"],
    "FAST": ["fashion_cnn_run.py", "FAST"],
    "BEST": ["fashion_cnn_run.py", "BEST"],
    "BEST, all images": ["fashion_cnn_run.py", "BEST", "all"],
}
COLORS = dict(
    zip(SIDES, ("#B5B5B5", "#56B4E9", "#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True)
)


def main() -> None:
    """Run the training, unless told not to, and update tables and figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to SEEDS - 1 (default: 5)")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--table-only", action="store_true", help="only update the tables")
    arguments = parser.parse_args()
    if not arguments.table_only:
        sides = [side for side in arguments.sides if side != "PyTorch" or has_torch()]
        results = run_all(sides, range(arguments.seeds))
        if results is None:
            print(f"kept in {UNFINISHED}; the other sides are still to be measured")
            return
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        UNFINISHED.unlink()
    results = json.loads(RESULTS.read_text())
    table = render_table(results)
    print(table)
    write_table("runs", table)
    for readme in READMES:
        write_table("short", render_short_table(results, readme), readme)
    draw_figure(results).savefig(FIGURE, dpi=150)


def has_torch() -> bool:
    """Tell whether PyTorch can be measured."""
    return importlib.util.find_spec("torch") is not None


def run_all(sides: list[str], seeds: range) -> dict[str, Any] | None:
    """Run what is missing; return everything, or None while sides are missing."""
    source = fc.load_fashion_mnist().source
    if not source.is_fashion_mnist:
        raise SystemExit(f"the benchmark needs Fashion-MNIST, got {source}")
    UNFINISHED.parent.mkdir(exist_ok=True)
    machine = {"hardware": hardware(), "versions": versions(), "code": code()}
    kept = kept_runs(machine)
    with tempfile.TemporaryDirectory() as scratch:
        # All sides read the same files, each from where its users have them.
        cache = Path(scratch, "datasets", "fashion-mnist")
        cache.mkdir(parents=True)
        for name in FASHION_MNIST_SHA256:
            (cache / name).symlink_to(source.directory / name)
        environment = os.environ | {"KERAS_HOME": scratch, DATA_DIR_VARIABLE: str(source.directory)}
        for seed in seeds:
            for side in sides:
                if (side, seed) in kept:
                    continue
                script, *words = SIDES[side]
                command = [sys.executable, str(HERE / script), str(seed), f"{scratch}/best.keras"]
                start = time.perf_counter()
                finished = subprocess.run(
                    [*command, *words], env=environment, stdout=subprocess.PIPE, check=True
                )
                run = json.loads(finished.stdout.splitlines()[-1])
                run["process_seconds"] = time.perf_counter() - start
                kept[side, seed] = run
                line = machine | {"side": side, "seed": seed, "run": run}
                with UNFINISHED.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(side, seed, f"{run['validation_accuracy']:.4f} {run['seconds']:.1f} s")
    wanted = [side for side in SIDES if side != "PyTorch" or has_torch()]
    runs = {
        side: [{"seed": seed} | kept[side, seed] for seed in range(1_000) if (side, seed) in kept]
        for side in wanted
    }
    return machine | {"runs": runs} if all(runs.values()) else None


def kept_runs(machine: dict[str, str]) -> dict[tuple[str, int], dict[str, Any]]:
    """Read what an earlier call measured; it must have been on this machine with this code."""
    kept = {}
    for line in UNFINISHED.read_text().splitlines() if UNFINISHED.exists() else []:
        found = json.loads(line)
        if {name: found[name] for name in machine} != machine:
            raise SystemExit(f"{UNFINISHED} is from another machine, versions or code; delete it")
        kept[found["side"], found["seed"]] = found["run"]
    return kept


def hardware() -> str:
    """Return the processor's name and the number of cores this process may use."""
    cpu_info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpu_info.read_text()) if cpu_info.exists() else None
    name = found.group(1) if found else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, no GPU"


def versions() -> str:
    """Return the versions that decide the figures."""
    packages = ["tensorflow", "keras", "numpy", *(["torch"] if has_torch() else [])]
    named = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"Python {platform.python_version()}, {named}"


def code() -> str:
    """Return a SHA-256 over the package and the runs' scripts."""
    sha256 = hashlib.sha256()
    for path in sorted([*Path(fc.__path__[0]).rglob("*.py"), *HERE.glob("*_run.py")]):
        sha256.update(path.read_bytes())
    return sha256.hexdigest()


def render_table(results: dict[str, Any]) -> str:
    """Return the Markdown tables: accuracies as mean ± std, seconds and memory as medians."""
    accuracies = ["| | n | epochs | validation accuracy | test accuracy |", "|---|---|---|---|---|"]
    costs = [
        "| | training | × plain Keras | an epoch, × plain Keras | memory |",
        "|---|---|---|---|---|",
    ]
    plain = results["runs"][PLAIN]
    for side, runs in results["runs"].items():
        learned_all = side.endswith("all images")
        epochs = mean_and_std([run["epochs"] for run in runs], 1)
        validation = "–" if learned_all else accuracy_of(runs, "validation")
        cells = side, str(len(runs)), epochs, validation, accuracy_of(runs, "test")
        accuracies.append(f"| {' | '.join(cells)} |")
        epoch = statistics.median(map(epoch_seconds, runs))
        cells = (
            side,
            seconds_of(runs),
            ratio_of(runs, plain),
            f"{epoch:.1f} s, {ratio(runs, plain, epoch_seconds):.2f}",
            f"{statistics.median(run['peak_memory'] for run in runs):.2f} GB",
        )
        costs.append(f"| {' | '.join(cells)} |")
    note = below_table(
        "Accuracies and epochs: mean ± standard deviation over seeds; seconds and memory: median; "
        "“× plain Keras”: median of the ratios of paired runs. `make bench`; "
        f"{results['hardware']}; {results['versions']}."
    )
    return "\n".join([*accuracies, "", *costs, "", note, ""])


SHORT_WORDS = {
    "README.md": (
        "| | training | × plain Keras | validation accuracy | test accuracy |",
        "n = {n} seeds each; `make bench` on {hardware}; [all figures](docs/benchmarks.md).",
        "{} s",
    ),
    "README.ko.md": (
        "| | 훈련 시간 | 일반 케라스 대비 | 검증 정확도 | 테스트 정확도 |",
        "시드 {n}개씩, `make bench`로 측정, {hardware}. [전체 결과](docs/benchmarks.md)(영어).",
        "{}초",
    ),
}
SHORT_SIDES = {
    "README.md": {
        PLAIN: "plain Keras",
        "BOOK": "`fc.BOOK`",
        "FAST": "`fc.FAST`",
        "BEST": "`fc.BEST`",
    },
    "README.ko.md": {
        PLAIN: "일반 케라스",
        "BOOK": "`fc.BOOK`",
        "FAST": "`fc.FAST`",
        "BEST": "`fc.BEST`",
    },
}


def render_short_table(results: dict[str, Any], readme: Path) -> str:
    """Return the table of a README's first screen, in its language."""
    header, note, seconds = SHORT_WORDS[readme.name]
    lines = [header, "|---|---|---|---|---|"]
    runs = results["runs"]
    for side, name in SHORT_SIDES[readme.name].items():
        median = statistics.median(run["seconds"] for run in runs[side])
        cells = [name, seconds.format(f"{median:.0f}"), ratio_of(runs[side], runs[PLAIN])]
        cells += [accuracy_of(runs[side], "validation"), accuracy_of(runs[side], "test")]
        lines.append(f"| {' | '.join(cells)} |")
    hardware = results["hardware"]
    if readme.name == "README.ko.md":
        hardware = re.sub(r"(\d+) cores, no GPU", r"코어 \1개, GPU 없음", hardware)
    text = below_table(note.format(n=len(runs["FAST"]), hardware=hardware))
    return "\n".join([*lines, "", text, ""])


def accuracy_of(runs: list[dict[str, Any]], split: str) -> str:
    """Return the accuracy on a split, mean ± std, as text."""
    return mean_and_std([run[f"{split}_accuracy"] for run in runs], 4)


def seconds_of(runs: list[dict[str, Any]]) -> str:
    """Return the median seconds of training, as text."""
    return f"{statistics.median(run['seconds'] for run in runs):.1f} s"


def ratio_of(runs: list[dict[str, Any]], plain: list[dict[str, Any]]) -> str:
    """Return the seconds of training as a part of plain Keras's, as text."""
    return f"{ratio(runs, plain, lambda run: run['seconds']):.2f}"


def epoch_seconds(run: dict[str, Any]) -> float:
    """Return the seconds of a run's typical epoch, validation and saving included."""
    return statistics.median(np.diff([0, *run["epoch_ends"]]))


def ratio(runs: list[dict[str, Any]], others: list[dict[str, Any]], measure: Any) -> float:
    """Return the median of the ratios of runs with the same seed."""
    by_seed = {other["seed"]: other for other in others}
    return statistics.median(
        measure(run) / measure(by_seed[run["seed"]]) for run in runs if run["seed"] in by_seed
    )


def mean_and_std(values: list[float], digits: int) -> str:
    """Return ``mean ± sample standard deviation`` as text."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def draw_figure(results: dict[str, Any]) -> plt.Figure:
    """Draw validation accuracy against seconds: a line for each run, a dot for its final model."""
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for side, runs in results["runs"].items():
        if side.endswith("all images"):
            continue
        for n, run in enumerate(runs):
            ax.plot(
                run["epoch_ends"],
                run["epoch_validation_accuracies"],
                color=COLORS[side],
                linewidth=1,
                alpha=0.5,
            )
            ax.plot(
                run["seconds"],
                run["validation_accuracy"],
                "o",
                color=COLORS[side],
                label=side if n == 0 else None,
            )
    ax.set(
        xscale="log",
        xlabel="seconds of training (logarithmic)",
        ylabel="validation accuracy",
        ylim=(0.85, None),
        title="A line for each run, a dot for the model it ends with",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
