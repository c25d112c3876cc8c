"""Train with many seeds, on the cores of one machine or on a cluster, and sum up.

One run says little: two seeds of one recipe differ by as much as two recipes do. Every seed is
trained in a process of its own, so one that dies takes no other with it. joblib hands the seeds
out; what stands in ``joblib.parallel_config`` decides where they run.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from scipy import stats

from fashion_cnn.checkpoint import replacing
from fashion_cnn.data import load_fashion_mnist
from fashion_cnn.model import build_cnn
from fashion_cnn.prediction import evaluate
from fashion_cnn.training import (
    BOOK,
    Recipe,
    chosen_precision,
    fingerprint,
    state_path_of,
    train,
)

MOST_STARTS = 3  # of one seed whose process keeps dying


def study(
    recipe: Recipe = BOOK,
    seeds: Iterable[int] = range(5),
    *,
    directory: str | os.PathLike[str] = "study",
    data_dir: str | os.PathLike[str] | None = None,
    n_jobs: int = -1,
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
    training: an interrupted study, called again, goes on where it was. (On a cluster, seeds that
    are being trained go on when the study is interrupted; wait for them.) Runs are repeatable with
    the same number of threads each, which is OMP_NUM_THREADS where that is set, as Dask does.

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
    n_jobs : int
        How many seeds are trained at a time, as in `joblib.Parallel`; -1 is one a core. Each
        needs about 1.1 GB of memory. On a cluster, its workers decide.

    Returns
    -------
    pandas.DataFrame
        A row for each seed, then ``mean``, ``std`` (the sample standard deviation) and the ends
        of the 95 % confidence interval of the mean, ``95 % from`` and ``95 % to`` (Student's t;
        NaN for one seed). Columns ``epochs``, ``validation_loss``, ``validation_accuracy``,
        ``test_loss``, ``test_accuracy`` and ``seconds``, of the best epoch's model; seconds are
        those of the training, beside whatever else ran at the time, and NaN for one that was
        interrupted.

    Raises
    ------
    DatasetError
        If the data cannot be loaded.
    ValueError
        If there is no seed, or `directory` holds results of another recipe or data set.
    RuntimeError
        If a seed could not be trained; ``seed-3.log`` tells why. The results of the others are
        kept.
    """
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected at least one seed and each only once, got {seeds}")
    directory = Path(directory).expanduser().absolute()
    directory.mkdir(parents=True, exist_ok=True)
    data_dir = None if data_dir is None else str(Path(data_dir).expanduser().absolute())
    data = load_fashion_mnist(data_dir)
    # One precision for all seeds: they would time it beside one another.
    recipe = replace(recipe, precision=chosen_precision(recipe))
    task = {"recipe": asdict(recipe), "data set": fingerprint(data.train, data.validation)}
    results = {seed: _kept_result(directory, seed, task) for seed in seeds}
    missing = [seed for seed, result in results.items() if result is None]

    workers = min(joblib.effective_n_jobs(n_jobs), len(seeds))
    threads = max(1, joblib.cpu_count() // workers)
    failures = []
    with _lock:
        _running[str(directory)] = set()
    try:
        outcomes = joblib.Parallel(n_jobs, prefer="threads", return_as="generator_unordered")(
            joblib.delayed(_train_in_process)(str(directory), seed, task, data_dir, threads)
            for seed in missing
        )
        for number, (seed, result, failure) in enumerate(outcomes, 1):
            results[seed] = result
            if failure:
                failures.append(f"seed {seed}: {failure}")
            print(f"seed {seed} {failure or 'done'} ({number} of {len(missing)})", flush=True)
    finally:
        with _lock:  # some are left if the study is interrupted
            for process in _running[str(directory)] or ():
                process.kill()
            _running[str(directory)] = None
    if failures:
        raise RuntimeError(
            f"{len(failures)} of {len(missing)} trainings failed: {'; '.join(failures)}. When the "
            "cause is mended, call study again with the same arguments; finished seeds are kept"
        )
    return _table(results)


# The processes of the studies of this process, by directory; None when a study has ended.
_running: dict[str, set[subprocess.Popen[bytes]] | None] = {}
_lock = threading.Lock()


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
    directory: str, seed: int, task: dict[str, Any], data_dir: str | None, threads: int
) -> tuple[int, dict[str, float] | None, str]:
    """Train one seed in a process of its own; return seed, result and what went wrong, if anything.

    A process that dies is started again and goes on after its last finished epoch.
    """
    # Workers of joblib and Dask find OMP_NUM_THREADS set; TensorFlow asks for another name.
    number = os.environ.get("OMP_NUM_THREADS", str(threads))
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": number, "OMP_NUM_THREADS": number}
    arguments = {"directory": directory, "seed": seed, "task": task, "data_dir": data_dir}
    command = [sys.executable, "-m", "fashion_cnn.study", json.dumps(arguments)]
    log_path = Path(directory, f"seed-{seed}.log")
    for _ in range(MOST_STARTS):
        with open(log_path, "wb") as log:
            with _lock:
                processes = _running.get(directory, set())  # a worker elsewhere has no study
                if processes is None:
                    return seed, None, "interrupted"
                # The system closes its standard input if this process dies.
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
                processes.add(process)
            with process:
                process.wait()
        processes.discard(process)
        result = _kept_result(Path(directory), seed, task)
        if result is not None:
            log_path.unlink()
            return seed, result, ""
        if process.returncode in (1, -signal.SIGINT):  # an error would come again
            break
    return seed, None, f"exit code {process.returncode}, see {log_path}"


def _train(directory: str, seed: int, task: dict[str, Any], data_dir: str | None) -> None:
    """Train one seed and keep its result."""
    data = load_fashion_mnist(data_dir)
    if fingerprint(data.train, data.validation) != task["data set"]:
        raise ValueError(f"expected the data set that the study began with, got {data.source}")
    model = build_cnn()
    checkpoint = Path(directory, f"seed-{seed}.keras")
    is_resumed = state_path_of(checkpoint).exists()
    start = time.perf_counter()
    history = train(
        model, data, Recipe(**task["recipe"]), checkpoint=checkpoint, seed=seed, verbose=0
    )
    seconds = None if is_resumed else time.perf_counter() - start
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
    runs = pd.DataFrame.from_dict(results, orient="index").astype(float)
    mean, std, n = runs.mean(), runs.std(), runs.count()
    half = stats.t.ppf(0.975, n - 1) * std / n**0.5
    summary = {"mean": mean, "std": std, "95 % from": mean - half, "95 % to": mean + half}
    return pd.concat([runs, pd.DataFrame(summary).T]).rename_axis("seed")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: nobody waits for its result."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(3)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _train(**json.loads(sys.argv[1]))
