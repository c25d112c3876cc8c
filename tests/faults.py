"""Kill training runs at random moments and in the middle of writes, resume, and compare.

``python tests/faults.py --kills 200`` (or ``make faults``) prints a report. Every run is a child
process that is killed with SIGKILL. After each kill the files left behind must be intact; a run
that was killed and resumed, however often, must end bit-identical to one that never was.
"""

import argparse
import dataclasses
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fashion_cnn as fc

TINY_DIR = Path(__file__).resolve().parents[1] / "data" / "tiny"
RECIPE = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=12, patience=4)
LONGEST_RUN = 180  # seconds; a child that takes longer has hung


@dataclasses.dataclass
class Report:
    """What was done, and how many checks passed."""

    kills: int = 0
    kills_in_writes: int = 0
    best_files_found: int = 0
    best_files_whole: int = 0
    states_found: int = 0
    states_whole: int = 0
    runs: int = 0
    runs_bit_equal: int = 0

    def holds(self) -> bool:
        """Tell whether every check passed."""
        return (
            self.best_files_whole == self.best_files_found
            and self.states_whole == self.states_found
            and self.runs_bit_equal == self.runs > 0
        )

    def __str__(self) -> str:
        return (
            f"kills: {self.kills}, of them in the middle of a write: {self.kills_in_writes}\n"
            f"best file intact after a kill: {self.best_files_whole} of {self.best_files_found}\n"
            f"state intact after a kill: {self.states_whole} of {self.states_found}\n"
            f"resumed runs identical to an uninterrupted one: {self.runs_bit_equal} of {self.runs}"
        )


def train_in(directory: Path, seed: int) -> None:
    """Train a small network on the stand-in data and write down the outcome (in a child)."""
    data = fc.load_fashion_mnist(TINY_DIR)
    model = fc.build_cnn(filters=(4, 8), dense_units=16)
    history = fc.train(
        model, data, RECIPE, checkpoint=directory / "best.keras", seed=seed, verbose=0
    )
    np.savez(directory / "model.npz", *model.get_weights())
    (directory / "history.json").write_text(json.dumps([history.history, history.epoch]))


def outcome(directory: Path) -> tuple[str, list[bytes], list[bytes]]:
    """Return history, final weights and the best file's weights of a finished run."""
    with np.load(directory / "model.npz") as file:
        weights = [file[name].tobytes() for name in file.files]
    best_weights = [
        array.tobytes() for array in fc.load_model(directory / "best.keras").get_weights()
    ]
    return (directory / "history.json").read_text(), weights, best_weights


def is_writing(directory: Path) -> bool:
    """Tell whether a file is being written, under its temporary name."""
    return any(path.name.startswith(".new-") for path in directory.iterdir())


def look_at_files(directory: Path, report: Report) -> None:
    """Check that the files that a kill left behind are intact."""
    from fashion_cnn.checkpoint import read_state

    for path, load, kind in (
        (directory / "best.keras", fc.load_model, "best_files"),
        (directory / "best.training-state.npz", read_state, "states"),
    ):
        if path.exists():
            setattr(report, f"{kind}_found", getattr(report, f"{kind}_found") + 1)
            try:
                load(path)
            except ValueError as error:
                print(error, file=sys.stderr)
            else:
                setattr(report, f"{kind}_whole", getattr(report, f"{kind}_whole") + 1)


def inject(kills: int, scratch: Path, seed: int = 0) -> Report:
    """Kill runs `kills` times in all, each up to eight times before it may finish."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fashion_cnn.training", "sklearn.model_selection"])
    chance = random.Random(seed)
    report = Report()

    def start(directory: Path, run_seed: int) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=train_in, args=(directory, run_seed))
        process.start()
        return process

    def finish(process: multiprocessing.process.BaseProcess) -> None:
        process.join(LONGEST_RUN)
        if process.exitcode != 0:
            process.kill()
            raise RuntimeError(f"a training ended with exit code {process.exitcode}")

    while report.kills < kills:
        run_seed = report.runs
        never, often = scratch / f"never-{run_seed}", scratch / f"often-{run_seed}"
        never.mkdir()
        often.mkdir()
        finish(start(never, run_seed))
        process = start(often, run_seed)
        for _ in range(min(8, kills - report.kills)):
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0.2, 3))
            else:
                writes_to_pass = chance.randrange(6)
                while process.is_alive():
                    if is_writing(often):
                        if writes_to_pass == 0:
                            break
                        writes_to_pass -= 1
                        while process.is_alive() and is_writing(often):
                            time.sleep(0.0005)
                    time.sleep(0.0005)
                time.sleep(chance.uniform(0, 0.01))
            if not process.is_alive():
                break
            process.kill()
            process.join()
            if process.exitcode == 0:  # it finished before the kill
                break
            report.kills += 1
            report.kills_in_writes += is_writing(often)
            look_at_files(often, report)
            process = start(often, run_seed)
        finish(process)
        report.runs += 1
        leftover = {path.name for path in often.iterdir() if path.suffix != ".lock"}
        report.runs_bit_equal += outcome(never) == outcome(often) and leftover == {
            "best.keras",
            "model.npz",
            "history.json",
            "best.history.json",
        }
        shutil.rmtree(never)
        shutil.rmtree(often)
    return report


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    arguments = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = inject(arguments.kills, Path(scratch))
    print(f"{report}\ntook {time.monotonic() - start:.0f} s")
    sys.exit(not report.holds())


if __name__ == "__main__":
    main()
