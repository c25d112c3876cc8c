"""Train with many seeds, on the cores of one machine or on a cluster, and sum up.

One run says little: two seeds of one recipe differ by as much as two recipes do. Every seed is
trained in a process of its own, so one that dies takes no other with it. joblib hands the seeds
out; what stands in ``joblib.parallel_config`` decides where they run.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from scipy import stats

from fashion_cnn.checkpoint import replacing
from fashion_cnn.data import load_fashion_mnist
from fashion_cnn.model import build_cnn
from fashion_cnn.prediction import evaluate
from fashion_cnn.training import BOOK, Recipe, fingerprint, train

MOST_STARTS = 3  # of one seed whose process keeps dying


def study(
    recipe: Recipe = BOOK,
    seeds: Iterable[int] = range(5),
    *,
    directory: str | os.PathLike[str] = "study",
    data_dir: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Train `build_cnn`'s network once with every seed and return a table of the results.

    The seeds share the cores of this machine. To use a cluster, name it to joblib, with the
    package, the data and `directory` within reach of its machines::

        from dask.distributed import Client
        client = Client("scheduler:8786")
        with joblib.parallel_config(backend="dask"):
            table = study(recipe, seeds=range(100))

    Ray has a joblib backend of its own, which is named in the same way; it is not tested here.

    The result of a seed is kept in `directory` when it is there, and so is the state of its
    training: an interrupted study, called again, goes on where it was.

    Parameters
    ----------
    recipe : Recipe
        The numbers of the runs.
    seeds : iterable of int
        One training for each, at least one.
    directory : path
        Where the results (``seed-3.json``) and best models (``seed-3.keras``) are kept.
    data_dir : path, optional
        Where the data is, as in `load_fashion_mnist`.

    Returns
    -------
    pandas.DataFrame
        A row for each seed, then ``mean``, ``std`` (the sample standard deviation) and the ends
        of the 95 % confidence interval of the mean, ``95 % from`` and ``95 % to`` (Student's t;
        NaN for one seed). Columns ``epochs``, ``validation_loss``, ``validation_accuracy``,
        ``test_loss``, ``test_accuracy`` and ``seconds``, of the best epoch's model; seconds are
        those of the training, beside whatever else ran at the time.

    Raises
    ------
    DatasetError
        If the data cannot be loaded.
    ValueError
        If there is no seed, or `directory` holds results of another recipe or data set.
    RuntimeError
        If a seed could not be trained. The results of the others are kept.
    """
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected at least one seed and each only once, got {seeds}")
    directory = Path(directory).expanduser().absolute()
    directory.mkdir(parents=True, exist_ok=True)
    data_dir = None if data_dir is None else str(Path(data_dir).expanduser().absolute())
    data = load_fashion_mnist(data_dir)
    task = {"recipe": asdict(recipe), "data set": fingerprint(data.train, data.validation)}
    missing = [seed for seed in seeds if _kept_result(directory, seed, task) is None]

    outcomes = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator_unordered")(
        joblib.delayed(_train_in_process)(str(directory), seed, task, data_dir, len(seeds))
        for seed in missing
    )
    failures = []
    try:
        for number, (seed, failure) in enumerate(outcomes, 1):
            if failure:
                failures.append(f"seed {seed}: {failure}")
            print(f"seed {seed} {failure or 'done'} ({number} of {len(missing)})", flush=True)
    finally:
        while _processes:  # some are left if the study is interrupted
            _processes.pop().kill()
    if failures:
        raise RuntimeError(
            f"{len(failures)} of {len(missing)} trainings failed; call study again with the same "
            f"arguments to try them once more. {'; '.join(failures)}"
        )
    return _table({seed: _kept_result(directory, seed, task) for seed in seeds})


_processes: set[subprocess.Popen[str]] = set()


def _kept_result(directory: Path, seed: int, task: dict[str, Any]) -> dict[str, float] | None:
    """Read the result of a seed, if it is there, and make sure that it is this task's."""
    path = directory / f"seed-{seed}.json"
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text())
        result = dict(kept["result"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected the result of a study in {path}, found none; delete it"
        ) from error
    different = [name for name in task if kept.get(name) != json.loads(json.dumps(task[name]))]
    if different:
        raise ValueError(
            f"{path} holds a result of another {' and another '.join(different)}. "
            "Use another directory, or delete this one to start over"
        )
    return result


def _train_in_process(
    directory: str, seed: int, task: dict[str, Any], data_dir: str | None, seeds: int
) -> tuple[int, str]:
    """Train one seed in a process of its own; return the seed and what went wrong, if anything."""
    # Workers of joblib and Dask find OMP_NUM_THREADS set; TensorFlow asks for another name.
    share = max(1, joblib.cpu_count() // min(joblib.cpu_count(), seeds))
    threads = os.environ.get("OMP_NUM_THREADS", str(share))
    command = [sys.executable, "-m", "fashion_cnn.study"]
    arguments = {"directory": directory, "seed": seed, "task": task, "data_dir": data_dir}
    for _ in range(MOST_STARTS):
        with subprocess.Popen(
            [*command, json.dumps(arguments)],
            env=os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads},
            stdin=subprocess.PIPE,  # closed by the system if this process dies
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            _processes.add(process)
            assert process.stderr is not None
            error_lines = process.stderr.read().splitlines()
        is_wanted = process in _processes
        _processes.discard(process)
        if process.returncode == 0:
            return seed, ""
        if process.returncode == 1 or not is_wanted:  # a Python error would come again
            break
    return seed, f"ended with exit code {process.returncode}: {''.join(error_lines[-1:])}"


def _train(directory: str, seed: int, task: dict[str, Any], data_dir: str | None) -> None:
    """Train one seed and keep its result."""
    data = load_fashion_mnist(data_dir)
    if fingerprint(data.train, data.validation) != task["data set"]:
        raise ValueError(f"expected the data set that the study began with, got {data.source}")
    model = build_cnn()
    start = time.perf_counter()
    history = train(
        model,
        data,
        Recipe(**task["recipe"]),
        checkpoint=Path(directory, f"seed-{seed}.keras"),
        seed=seed,
        verbose=0,
    )
    seconds = time.perf_counter() - start
    validation, test = evaluate(model, data.validation), evaluate(model, data.test)
    result = {
        "epochs": len(history.epoch),
        "validation_loss": validation.loss,
        "validation_accuracy": validation.accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "seconds": seconds,
    }
    with replacing(Path(directory, f"seed-{seed}.json")) as new_path:
        new_path.write_text(json.dumps(task | {"result": result}, indent=1) + "\n")


def _table(results: dict[int, dict[str, float] | None]) -> pd.DataFrame:
    runs = pd.DataFrame.from_dict(results, orient="index").rename_axis("seed")
    mean, std = runs.mean(), runs.std()
    half = stats.t.ppf(0.975, max(1, len(runs) - 1)) * std / len(runs) ** 0.5
    summary = {"mean": mean, "std": std, "95 % from": mean - half, "95 % to": mean + half}
    return pd.concat([runs, pd.DataFrame(summary).T]).rename_axis("seed")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: nobody waits for its result."""
    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _train(**json.loads(sys.argv[1]))
