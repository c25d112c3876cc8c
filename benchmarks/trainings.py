"""Train by every recipe, in plain Keras and in PyTorch, each run in a fresh process.

The sides take turns, seed by seed, so that each ratio compares neighbours. Finished runs are kept
in unfinished.jsonl until all are done, so an interrupted measurement resumes. PyTorch is measured
if torch is installed.
"""

import argparse
import hashlib
import json
import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from measure import (
    HERE,
    READMES,
    ROOT,
    below_table,
    has_torch,
    machine,
    timed_python,
    write_table,
)

import fashion_cnn as fc
from fashion_cnn.data import DATA_DIR_VARIABLE, FILES

UNFINISHED = HERE / "unfinished.jsonl"
FIGURE = ROOT / "docs" / "accuracy-against-time.png"
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


def measure(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Run what is missing; return everything, or None while sides are missing."""
    sides = arguments.sides or list(SIDES)
    if unknown := set(sides) - set(SIDES):
        raise SystemExit(f"expected sides among {', '.join(SIDES)}, got {', '.join(unknown)}")
    sides = [side for side in sides if side != "PyTorch" or has_torch()]
    results = run_all(sides, range(arguments.seeds))
    if results is None:
        print(f"kept in {UNFINISHED}; the other sides are still to be measured")
    else:
        UNFINISHED.unlink()
    return results


def write(results: dict[str, Any]) -> None:
    """Write the tables, and draw the figure."""
    table = render_table(results)
    print(table)
    write_table("runs", table)
    for readme in READMES:
        write_table("short", render_short_table(results, readme), readme)
    draw_figure(results).savefig(FIGURE, dpi=150)


def run_all(sides: list[str], seeds: range) -> dict[str, Any] | None:
    """Run what is missing; return everything, or None while sides are missing."""
    source = fc.load_fashion_mnist().source
    if not source.is_fashion_mnist:
        raise SystemExit(f"the benchmark needs Fashion-MNIST, got {source}")
    here = machine() | {"code": code()}
    kept = kept_runs(here)
    with tempfile.TemporaryDirectory() as scratch:
        # All sides read the same files, each from where its users have them.
        cache = Path(scratch, "datasets", "fashion-mnist")
        cache.mkdir(parents=True)
        for name in FILES:
            (cache / name).symlink_to(source.directory / name)
        environment = {"KERAS_HOME": scratch, DATA_DIR_VARIABLE: str(source.directory)}
        for seed in seeds:
            for side in sides:
                if (side, seed) in kept:
                    continue
                script, *words = SIDES[side]
                command = [str(HERE / script), str(seed), f"{scratch}/best.keras", *words]
                printed, seconds = timed_python(*command, environment=environment)
                run = json.loads(printed.splitlines()[-1]) | {"process_seconds": seconds}
                kept[side, seed] = run
                line = here | {"side": side, "seed": seed, "run": run}
                with UNFINISHED.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(side, seed, f"{run['validation_accuracy']:.4f} {run['seconds']:.1f} s")
    wanted = [side for side in SIDES if side != "PyTorch" or has_torch()]
    runs = {
        side: [{"seed": seed} | kept[side, seed] for seed in range(1_000) if (side, seed) in kept]
        for side in wanted
    }
    return here | {"runs": runs} if all(runs.values()) else None


def kept_runs(here: dict[str, str]) -> dict[tuple[str, int], dict[str, Any]]:
    """Read what an earlier call measured; it must have been on this machine with this code."""
    kept = {}
    for line in UNFINISHED.read_text().splitlines() if UNFINISHED.exists() else []:
        found = json.loads(line)
        if {name: found[name] for name in here} != here:
            raise SystemExit(f"{UNFINISHED} is from another machine, versions or code; delete it")
        kept[found["side"], found["seed"]] = found["run"]
    return kept


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
        "| | in | training | × plain Keras | whole process | an epoch, × plain Keras | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = results["runs"][PLAIN]
    for side, runs in results["runs"].items():
        learned_all = side.endswith("all images")
        epochs = mean_and_std([run["epochs"] for run in runs], 1)
        validation = "–" if learned_all else accuracy_of(runs, "validation")
        cells = side, str(len(runs)), epochs, validation, accuracy_of(runs, "test")
        accuracies.append(f"| {' | '.join(cells)} |")
        epoch = statistics.median(map(epoch_seconds, runs))
        process = statistics.median(run["process_seconds"] for run in runs)
        cost = (
            side,
            runs[0].get("precision", "float32"),
            seconds_of(runs),
            ratio_of(runs, plain),
            f"{process:.1f} s, {ratio(runs, plain, lambda run: run['process_seconds']):.2f}",
            f"{epoch:.1f} s, {ratio(runs, plain, epoch_seconds):.2f}",
            f"{statistics.median(run['peak_memory'] for run in runs):.2f} GB",
        )
        costs.append(f"| {' | '.join(cost)} |")
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
            accuracies = run["epoch_validation_accuracies"]
            ax.plot(
                run["epoch_ends"],
                accuracies,
                color=COLORS[side],
                linewidth=1,
                alpha=0.5,
            )
            # The model that the run ends with is that of one of its epochs.
            kept = np.argmin(np.abs(np.array(accuracies) - run["validation_accuracy"]))
            ax.plot(
                run["epoch_ends"][kept],
                accuracies[kept],
                "o",
                color=COLORS[side],
                label=side if n == 0 else None,
            )
    ax.set(
        xscale="log",
        xlabel="seconds of training (logarithmic)",
        ylabel="validation accuracy",
        ylim=(0.85, None),
        title="A line for each run, a dot for the epoch whose model it keeps",
    )
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure
