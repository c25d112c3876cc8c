"""Time epochs and studies as the work and the machine grow.

An epoch is one of plain Adam in float32, as BOOK's but for the size of the batch, without
validation; each runs in a fresh process that may use one or two threads, and is timed from its
second call of TensorFlow on: the first one traces the graph. The floor is what the same number of
threads would need if every multiplication ran as fast as in a large matrix product.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

from measure import ROOT, below_table, machine, timed_python, write_table

FIGURE = ROOT / "docs" / "growth.png"
IMAGES, BATCHES, THREADS, WORKERS = (
    (6_000, 12_000, 24_000, 48_000),
    (32, 64, 128, 256, 512),
    (1, 2),
    (1, 2, 4),
)
USUAL_IMAGES, USUAL_BATCH = 48_000, 128
STUDIED = 4  # seeds
COLORS = {1: "#D55E00", 2: "#0072B2"}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    sizes = {(n, USUAL_BATCH) for n in IMAGES} | {(USUAL_IMAGES, batch) for batch in BATCHES}
    epochs = [
        in_fresh_process(threads, "epoch", str(images), str(batch))
        | {"threads": threads, "images": images, "batch": batch}
        for threads in THREADS
        for images, batch in sorted(sizes)
    ]
    studies = [
        in_fresh_process(1, "study", str(workers)) | {"workers": workers} for workers in WORKERS
    ]
    return machine() | {"epochs": epochs, "studies": studies}


def in_fresh_process(threads: int, *words: str) -> dict[str, Any]:
    """Run one of the two functions below in a process of its own."""
    environment = {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
    }
    printed, _ = timed_python(__file__, *words, environment=environment)
    print(threads, *words, printed.splitlines()[-1], flush=True)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def time_epoch(images: int, batch: int) -> dict[str, float]:
    """Return the seconds of an epoch, and those of its floor."""
    import keras
    import tensorflow as tf
    from elsewhere import epoch_flop, matrix_product_rate

    import fashion_cnn as fc

    data = fc.load_fashion_mnist()
    few = fc.Split(data.validation.images[:100], data.validation.labels[:100])
    data = data._replace(
        train=fc.Split(data.train.images[:images], data.train.labels[:images]), validation=few
    )
    ends: list[tuple[int, float]] = []
    timer = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: ends.append((step, time.perf_counter()))
    )
    recipe = replace(fc.BOOK, batch_size=batch, epochs=1)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = f"{scratch}/timed.keras"
        fc.train(fc.build_cnn(), data, recipe, checkpoint=checkpoint, callbacks=[timer], verbose=0)
    (first, start), (last, end) = ends[0], ends[-1]
    seconds = (end - start) / (last - first) * images / batch
    floor = epoch_flop(recipe) * images / USUAL_IMAGES / matrix_product_rate(tf.float32)
    return {"seconds": seconds, "floor": floor}


def time_study(workers: int) -> dict[str, float]:
    """Return the seconds of a study, the start of its workers included."""
    import distributed

    import fashion_cnn as fc

    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        with distributed.Client(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
        ) as client:
            table = fc.study(fc.FAST, range(STUDIED), directory=scratch, client=client)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "training": float(table["seconds"]["mean"])}


def write(results: dict[str, Any]) -> None:
    """Write the table, and draw the figure."""
    table = render_table(results)
    print(table)
    write_table("growth", table)
    draw_figure(results).savefig(FIGURE, dpi=150)


def render_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of the studies, and what a cluster would do."""
    lines = [
        f"| workers, one thread each | study of FAST, {STUDIED} seeds | one training in it |",
        "|---|---|---|",
    ]
    for study in results["studies"]:
        cells = study["workers"], f"{study['seconds']:.0f} s", f"{study['training']:.0f} s"
        lines.append(f"| {' | '.join(map(str, cells))} |")
    best = min(study["seconds"] for study in results["studies"])
    alone = next(study for study in results["studies"] if study["workers"] == 1)
    start = alone["seconds"] - STUDIED * alone["training"]
    one, two = (
        next(
            epoch
            for epoch in results["epochs"]
            if (epoch["images"], epoch["batch"], epoch["threads"]) == (USUAL_IMAGES, USUAL_BATCH, n)
        )
        for n in THREADS
    )
    step = two["seconds"] * USUAL_BATCH / USUAL_IMAGES
    cluster = 1_000 / 100 * best / STUDIED + start
    threads = (
        f"With two threads, an epoch of {USUAL_IMAGES:,} images takes {two['seconds']:.0f} s in "
        f"place of {one['seconds']:.0f} s, and a large matrix product is "
        f"{one['floor'] / two['floor']:.1f} times as fast (1.0 means that both share the "
        "arithmetic of one core)."
    )
    note = (
        "Calculated from it: the runs of a study need nothing of each other, so 1,000 of them, "
        f"{1_000 * best / STUDIED / 3600:.1f} hours on this machine, would take "
        f"{cluster / 60:.1f} minutes on a cluster of 100 such machines, started once. A single "
        f"training gains little there: every {1000 * step:.0f} ms, after a step of {USUAL_BATCH} "
        "images, all machines would have to exchange 1.3 MB of gradients."
    )
    source = f"`make bench PARTS=growth`; {results['hardware']}; {results['versions']}."
    return "\n".join(
        [*lines, "", below_table(threads), "", below_table(note), "", below_table(source), ""]
    )


def draw_figure(results: dict[str, Any]) -> Any:
    """Draw the seconds of an epoch by images and by the size of the batch, with their floors."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    panels = (
        ("images", "batch", USUAL_BATCH, f"images in an epoch (batch {USUAL_BATCH})", IMAGES),
        ("batch", "images", USUAL_IMAGES, f"images in a batch ({USUAL_IMAGES:,} images)", BATCHES),
    )
    for ax, (by, fixed, value, label, ticks) in zip(axes, panels, strict=True):
        for threads in THREADS:
            shown = sorted(
                (epoch[by], epoch["seconds"], epoch["floor"])
                for epoch in results["epochs"]
                if epoch["threads"] == threads and epoch[fixed] == value
            )
            sizes, seconds, floors = zip(*shown, strict=True)
            name = f"{threads} thread{'s' * (threads > 1)}"
            ax.plot(sizes, seconds, "o-", color=COLORS[threads], label=name)
            ax.plot(sizes, floors, "--", color=COLORS[threads], label=f"its floor, {name}")
        ax.set(xscale="log", yscale="log", xlabel=label)
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
        ax.yaxis.set_major_formatter("{x:g}")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds of an epoch")
    axes[0].set_yticks([2, 5, 10, 20, 50, 100])
    axes[1].legend(frameon=False)
    return figure


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    timed = time_epoch if kind == "epoch" else time_study
    print(json.dumps(timed(*map(int, numbers))))
