"""Train by every recipe, in plain Keras and in PyTorch, each run in a fresh process.

The sides take turns, seed by seed, so that each ratio compares neighbours. Finished runs are kept
in unfinished.json until all are done, so an interrupted measurement resumes, on the same machine.
The results of processors with and without bfloat16 stand beside each other. PyTorch is measured if
torch is installed.
"""

import hashlib
import json
import re
import statistics
import tempfile
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from measure import (
    HERE,
    ROOT,
    Results,
    Tables,
    below_table,
    has_torch,
    machine,
    note,
    results_of,
    table_of,
    timed_python,
)

import fashion_cnn as fc
from fashion_cnn.training import chosen_precision

UNFINISHED = HERE / "unfinished.json"
FIGURE = ROOT / "docs" / "accuracy-against-time.png"
SEEDS = range(5)
PLAIN = "plain Keras"
SIDES = {
    PLAIN: ["plain_keras_run.py"],
    "PyTorch": ["pytorch_run.py"],
    "BOOK": ["fashion_cnn_run.py", "BOOK"],
    "FAST": ["fashion_cnn_run.py", "FAST"],
    "BEST": ["fashion_cnn_run.py", "BEST"],
}
COLORS = ("#B5B5B5", "#56B4E9", "#0072B2", "#D55E00", "#009E73")
# The table of a README: its two columns for each kind of processor, the name of plain Keras, the
# duration of a training, and the words below it.
SHORT = {
    "README.md": (
        " {kind}: training | test accuracy |",
        "plain Keras",
        "{:.0f} s, × {:.2f}",
        "Medians of seconds and of paired ratios; mean ± standard deviation of n = {n} seeds; "
        "`BEST` apart from the others; `make bench` on {machines}; "
        "[all figures](docs/benchmarks.md).",
    ),
    "README.ko.md": (
        " {kind}: 훈련 시간 | 테스트 정확도 |",
        "일반 케라스",
        "{:.0f}초, × {:.2f}",
        "시간과 시드별 배수의 중앙값, 시드 {n}개의 평균 ± 표준 편차. `BEST`는 따로 측정. "
        "`make bench`로, {machines}. [전체 결과](docs/benchmarks.md)(영어).",
    ),
}


def measure() -> Results:
    """Run what is missing; return the results of this kind of processor, and those of others."""
    source = fc.load_fashion_mnist().source
    assert source.is_fashion_mnist, source
    here = machine() | {"code": code()}
    sides = [side for side in SIDES if side != "PyTorch" or has_torch()]
    results = here | {"runs": {side: [] for side in sides}}
    if UNFINISHED.exists():
        results = json.loads(UNFINISHED.read_text())
        if results | here != results:
            raise SystemExit(f"{UNFINISHED} is from another machine, versions or code; delete it")
    with tempfile.TemporaryDirectory() as scratch:
        # All sides read the same files, each from where its users have them.
        environment = {"KERAS_HOME": scratch, "FASHION_CNN_DATA_DIR": str(source.directory)}
        cache = Path(scratch, "datasets", "fashion-mnist")
        cache.mkdir(parents=True)
        for path in source.files:
            (cache / path.name).symlink_to(path.absolute())
        for seed, side in product(SEEDS, sides):
            if seed < len(results["runs"][side]):
                continue
            script, *words = SIDES[side]
            command = [str(HERE / script), str(seed), f"{scratch}/best.keras", *words]
            printed, seconds = timed_python(*command, **environment)
            run = json.loads(printed.splitlines()[-1])
            results["runs"][side].append({"seed": seed} | run | {"process_seconds": seconds})
            UNFINISHED.write_text(json.dumps(results))
            print(side, seed, f"{run['validation_accuracy']:.4f} {run['seconds']:.1f} s")
    UNFINISHED.unlink()
    return results_of("trainings") | {chosen_precision(fc.FAST): results}


def code() -> str:
    """Return a SHA-256 over the package and the runs' scripts."""
    sha256 = hashlib.sha256()
    for path in sorted([*Path(fc.__path__[0]).rglob("*.py"), *HERE.glob("*_run.py")]):
        sha256.update(path.read_bytes())
    return sha256.hexdigest()


def tables(results: Results) -> Tables:
    """Return the tables, by document and name."""
    short = {(readme, "short"): render_short_table(results, readme) for readme in SHORT}
    runs = "\n".join(map(render_table, results.values()))
    return {("docs/benchmarks.md", "runs"): runs} | short


def render_table(results: Results) -> str:
    """Return the Markdown tables: accuracies as mean ± std, seconds and memory as medians."""
    accuracies, costs = [], []
    sides = {
        side: [run | {"epoch_seconds": epoch_seconds(run)} for run in runs]
        for side, runs in results["runs"].items()
    }
    for side, runs in sides.items():
        facts = "validation_loss", "validation_accuracy", "test_accuracy"
        found = (mean_and_std(runs, fact) for fact in facts)
        accuracies.append((f"{side}, n = {len(runs)}", mean_and_std(runs, "epochs", 1), *found))
        training, process, epoch = (
            (f"{median(runs, fact):.1f} s", f"{ratio(runs, sides[PLAIN], fact):.2f}")
            for fact in ("seconds", "process_seconds", "epoch_seconds")
        )
        precision = runs[0].get("precision", "float32")
        memory = f"{median(runs, 'peak_memory'):.2f} GB"
        costs.append((side, precision, *training, ", ".join(process), ", ".join(epoch), memory))
    header = "| | epochs | validation loss | validation accuracy | test accuracy |"
    text = table_of(header, accuracies) + "\n"
    header = (
        "| | in | training | × plain Keras | whole process | an epoch, × plain Keras | memory |"
    )
    text += table_of(header, costs)
    words = (
        "Accuracies, losses and epochs: mean ± standard deviation over seeds; seconds and memory: "
        "median; “× plain Keras”: median of the ratios of paired runs."
    )
    return text + note(words, "make bench", results)


def render_short_table(results: Results, readme: str) -> str:
    """Return the table of a README's first screen, in its language."""
    columns, plain, duration, words = SHORT[readme]
    rows = []
    for side in (PLAIN, "BOOK", "FAST", "BEST"):
        row = [plain if side == PLAIN else f"`fc.{side}`"]
        for runs in (part["runs"] for part in results.values()):
            paired = ratio(runs[side], runs[PLAIN], "seconds")
            row.append(duration.format(median(runs[side], "seconds"), paired))
            row.append(mean_and_std(runs[side], "test_accuracy"))
        rows.append(row)
    header = "| |" + "".join(columns.format(kind=kind_of(part)) for part in results.values())
    versions = {re.sub(", torch.*", "", part["versions"]) for part in results.values()}
    machines = "; ".join([*(part["hardware"] for part in results.values()), *sorted(versions)])
    if readme == "README.ko.md":
        machines = re.sub(r"(\d+) cores, no GPU", r"코어 \1개, GPU 없음", machines)
    counts = {len(runs) for part in results.values() for runs in part["runs"].values()}
    text = below_table(words.format(n=" or ".join(map(str, sorted(counts))), machines=machines))
    return f"{table_of(header, rows)}\n{text}\n"


def kind_of(results: Results) -> str:
    """Return the instructions that make the processor fast."""
    return re.findall(r"\(([^()]+)\), \d+ cores", results["hardware"])[0]


def mean_and_std(runs: list[Results], fact: str, digits: int = 4) -> str:
    """Return ``mean ± sample standard deviation`` of a fact over runs as text."""
    values = [run[fact] for run in runs]
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def median(runs: list[Results], fact: str) -> float:
    """Return the median of a fact over runs."""
    return statistics.median(run[fact] for run in runs)


def epoch_seconds(run: Results) -> float:
    """Return the seconds of a run's typical epoch, validation and saving included."""
    return statistics.median(np.diff([0, *run["epoch_ends"]]))


def ratio(runs: list[Results], others: list[Results], fact: str) -> float:
    """Return the median of the ratios of runs with the same seed."""
    return statistics.median(
        run[fact] / other[fact] for run, other in zip(runs, others, strict=True)
    )


def draw(results: Results) -> None:
    """Draw validation accuracy against seconds: a line for each run, a dot for its final model."""
    figure, axes = plt.subplots(
        1, len(results), figsize=(8, 4.5), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, part in zip(axes[0], results.values(), strict=True):
        for color, (side, runs) in zip(COLORS, part["runs"].items(), strict=False):
            for n, run in enumerate(runs):
                ends, accuracies = run["epoch_ends"], run["epoch_validation_accuracies"]
                ax.plot(ends, accuracies, color=color, linewidth=1, alpha=0.5)
                # The model that the run ends with is that of one of its epochs.
                kept = np.argmin(np.abs(np.array(accuracies) - run["validation_accuracy"]))
                label = side if n == 0 else None
                ax.plot(ends[kept], accuracies[kept], "o", color=color, label=label)
        ax.set(xscale="log", xlabel="seconds of training (logarithmic)", title=kind_of(part))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set(ylabel="validation accuracy", ylim=(0.85, None))
    axes[0, 0].legend(loc="lower right", frameon=False)
    figure.suptitle("A line for each run, a dot for the epoch whose model it keeps")
    figure.savefig(FIGURE, dpi=150)
