"""Measure what keeping the best model and the state costs an epoch.

``python benchmarks/checkpoint_cost.py`` times the saving at its dearest, with a new best model
every time, and sets it against the seconds of a BOOK epoch in results/runs.json.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from bench import RESULTS, hardware

import fashion_cnn as fc
from fashion_cnn.checkpoint import KeepProgress

REPEATS = 20


def main() -> None:
    """Time the saving and print it with its share of an epoch."""
    model = fc.build_cnn()
    model.fit(np.zeros((32, 28, 28, 1)), np.zeros(32, int), verbose=0)
    history = keras.callbacks.History()
    history.set_model(model)
    early_stopping = keras.callbacks.EarlyStopping(restore_best_weights=True)
    early_stopping.set_model(model)
    early_stopping.on_train_begin()
    history.on_train_begin()
    seconds = []
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch, "best.keras")
        keep_progress = KeepProgress(
            checkpoint, Path(scratch, "state.npz"), {}, history, early_stopping, None, model
        )
        keep_progress.set_model(model)
        for epoch in range(REPEATS):
            logs = {"loss": 1.0, "val_loss": 1.0 - epoch / REPEATS}
            history.on_epoch_end(epoch, logs)
            early_stopping.on_epoch_end(epoch, logs)
            start = time.perf_counter()
            keep_progress.on_epoch_end(epoch, logs)
            seconds.append(time.perf_counter() - start)
    runs = json.loads(RESULTS.read_text())["runs"]["BOOK"]
    epoch_seconds = statistics.mean(run["seconds"] / run["epochs"] for run in runs)
    median = statistics.median(seconds)
    print(
        f"saving after an epoch: median {1000 * median:.0f} ms, "
        f"largest {1000 * max(seconds):.0f} ms of {REPEATS}; "
        f"{median / epoch_seconds:.1%} of a BOOK epoch of {epoch_seconds:.1f} s ({hardware()})"
    )


if __name__ == "__main__":
    main()
