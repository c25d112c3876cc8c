"""Kill training runs at random moments and in the middle of writes, resume, and compare.

``python tests/faults.py --kills 200`` (or ``make faults``) prints what was seen. Every run is a
child process that is killed with SIGKILL. After each kill the files left behind must be intact; a
run that was killed and resumed, however often, must end bit-identical to one that never was.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import fashion_cnn as fc

TINY_DIR = Path(__file__).resolve().parents[1] / "data" / "tiny"
RECIPE = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=12, patience=4)
LONGEST_RUN = 180  # seconds; a child that takes longer has hung


def train_in(directory, seed):
    """Train a small network on the stand-in data and write down the outcome (in a child)."""
    data = fc.load_fashion_mnist(TINY_DIR)
    model = fc.build_cnn(filters=(4, 8), dense_units=16)
    checkpoint = directory / "best.keras"
    history = fc.train(model, data, RECIPE, checkpoint=checkpoint, seed=seed, verbose=0)
    np.savez(directory / "model.npz", *model.get_weights())
    (directory / "history.json").write_text(json.dumps([history.history, history.epoch]))


def outcome(directory):
    """Return names of the files, history, final weights and the best file's weights of a run."""
    with np.load(directory / "model.npz") as file:
        weights = [file[name].tobytes() for name in file.files]
    best = [array.tobytes() for array in fc.load_model(directory / "best.keras").get_weights()]
    names = {path.name for path in directory.iterdir() if path.suffix != ".lock"}
    assert names == {"best.keras", "best.history.json", "model.npz", "history.json"}
    return (directory / "history.json").read_text(), weights, best


def is_writing(directory):
    """Tell whether a file is being written, under its temporary name."""
    return any(path.name.startswith(".new-") for path in directory.iterdir())


def wait(process, directory, chance):
    """Wait for a random time, or until a run is in the middle of one of its next writes."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0.2, 3))
        return
    for _ in range(chance.randint(1, 6)):
        for state in (True, False):  # one write has ended, another has begun
            while process.is_alive() and is_writing(directory) == state:
                time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.01))


def inject(kills, scratch):
    """Kill runs `kills` times in all, each up to eight times; return how often what was seen."""
    from fashion_cnn.checkpoint import read_state

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fashion_cnn.training", "sklearn.model_selection"])
    chance, seen = random.Random(0), Counter()

    def start(directory, seed):
        directory.mkdir(exist_ok=True)
        process = context.Process(target=train_in, args=(directory, seed))
        process.start()
        return process

    def finish(process):
        process.join(LONGEST_RUN)
        process.kill()
        assert process.exitcode == 0, f"a training ended with exit code {process.exitcode}"

    for seed in range(kills):  # more than enough runs
        never, often = scratch / f"never-{seed}", scratch / f"often-{seed}"
        finish(start(never, seed))
        process = start(often, seed)
        for _ in range(min(8, kills - seen["kills"])):
            wait(process, often, chance)
            process.kill()
            process.join()
            if process.exitcode == 0:  # it finished before the kill
                break
            seen["kills"] += 1
            seen["kills in the middle of a write"] += is_writing(often)
            for name, load in (
                ("best.keras", fc.load_model),
                ("best.training-state.npz", read_state),
            ):
                if (often / name).exists():
                    load(often / name)  # raises ValueError unless it is whole
                    seen[f"{name} intact after a kill"] += 1
            process = start(often, seed)
        finish(process)
        assert outcome(often) == outcome(never), f"run {seed} is not the uninterrupted one"
        seen["resumed runs identical to an uninterrupted one"] += 1
        if seen["kills"] == kills:
            break
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for what, count in inject(parser.parse_args().kills, Path(scratch)).items():
            print(f"{what}: {count}")
    print(f"took {time.monotonic() - started:.0f} s")
