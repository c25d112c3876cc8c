"""Train with many seeds on a Dask cluster, by default this machine's cores, and summarise.

One run says little: two seeds of one recipe differ as much as two recipes do.
"""

import json
import logging
import math
import operator
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import pandas as pd
from scipy import stats
from tqdm import tqdm

from fashion_cnn.checkpoint import replacing, state_path_of
from fashion_cnn.data import load_fashion_mnist
from fashion_cnn.model import architecture, build_cnn
from fashion_cnn.prediction import evaluate
from fashion_cnn.recipe import BOOK, Recipe
from fashion_cnn.training import chosen_precision, fingerprint, train

if TYPE_CHECKING:
    import distributed

_HOST = "127.0.0.1"
_LOCAL: Any = {
    "threads_per_worker": 1,
    "host": _HOST,
    "dashboard_address": f"{_HOST}:0",
    "silence_logs": logging.ERROR,  # warnings are about workers that end slowly
}
_one_at_a_time = threading.Lock()  # seeds are global, so a worker's threads take turns


def study(
    recipe: Recipe = BOOK,
    seeds: Iterable[int] = range(5),
    *,
    model: keras.Sequential | None = None,
    directory: str | os.PathLike[str] = "study",
    data_dir: str | os.PathLike[str] | None = None,
    client: "distributed.Client | None" = None,
) -> pd.DataFrame:
    """Train a network once with every seed and return a table of the results.

    Finished runs are kept in `directory`: call `study` again to resume after an interruption. A
    script must call it under ``if __name__ == "__main__":``, because the workers import the script.

    Parameters
    ----------
    recipe : Recipe
        The settings of the runs.
    seeds : iterable of int
        The seed of each run; at least one, and each only once.
    model : keras.Sequential, optional
        The network, whose weights are drawn anew for every seed; by default `build_cnn`'s.
    directory, data_dir : path, optional
        Where results (``seed-3.json``) and best models (``seed-3.keras``) are kept, and where the
        data is, as in `load_fashion_mnist`.
    client : distributed.Client, optional
        The client of a Dask cluster whose workers can reach the package, the data and `directory`,
        and have 1.2 GB of memory each. By default, one single-threaded worker for each core of this
        machine.

    Returns
    -------
    pandas.DataFrame
        A row for each seed, then ``mean``, ``std`` (of the sample), ``95 % from`` and ``95 % to``
        (the confidence interval of the mean, by Student's t). Columns ``epochs``,
        ``validation_loss``, … and ``seconds`` (of training; NaN for a resumed one).

    Raises
    ------
    ValueError
        If `seeds` is empty or repeats one, or `directory` holds results of another recipe, network
        or data set.
    Exception
        What the run of a seed raised, once the others have finished; their results are kept.
    """
    import distributed  # optional: part of the extras [cluster] and [notebook]

    seeds = [operator.index(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected at least one seed and each only once, got {seeds}")
    if client is None:
        # Dask sets OMP_NUM_THREADS for its workers; TensorFlow asks for another name.
        with distributed.Client(**_LOCAL, env={"TF_NUM_INTRAOP_THREADS": "1"}) as client:
            places: Any = {"directory": directory, "data_dir": data_dir}
            return study(recipe, seeds, model=model, client=client, **places)
    directory = Path(directory).expanduser().absolute()
    directory.mkdir(parents=True, exist_ok=True)
    data_dir = data_dir and Path(data_dir).expanduser().absolute()
    data = load_fashion_mnist(data_dir)
    model = model or build_cnn()
    network = model.get_config()
    # One precision for all seeds; each would otherwise time it while others are training.
    chosen = replace(recipe, precision=chosen_precision(recipe))
    task: dict[str, Any] = {"recipe": asdict(recipe), "network": architecture(model)}
    task["data set"] = fingerprint(data.train, data.validation)
    results = {seed: _kept_result(directory / f"seed-{seed}.json", task) for seed in seeds}
    futures = {
        seed: client.submit(_train, seed, chosen, network, task, directory, data_dir, pure=False)
        for seed in seeds
        if results[seed] is None
    }
    finished = distributed.as_completed(futures.values(), loop=client.loop)
    for _ in tqdm(finished, total=len(futures), desc="study", unit="seed"):
        pass
    results |= {seed: future.result() for seed, future in futures.items()}  # or its error
    runs = pd.DataFrame.from_dict(results, orient="index").astype(float)
    mean, std, n = runs.mean(), runs.std(), runs.count()
    half = stats.t.ppf(0.975, n - 1) * std / n**0.5
    summary = {"mean": mean, "std": std, "95 % from": mean - half, "95 % to": mean + half}
    return pd.concat([runs, pd.DataFrame(summary).T]).rename_axis("seed")


def _kept_result(path: Path, task: dict[str, Any]) -> dict[str, float] | None:
    """Read the result of a seed, if it is there, and refuse that of another task."""
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text() if path.is_file() else "null")
        different = [name for name in task if kept[name] != json.loads(json.dumps(task[name]))]
        result = {str(name): float(value) for name, value in kept["result"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected the result of a study in {path}; delete it") from error
    if different:
        raise ValueError(f"{path} is from another {' and '.join(different)}; delete or move it")
    return result


def _train(
    seed: int,
    recipe: Recipe,
    network: dict[str, Any],
    task: dict[str, Any],
    directory: Path,
    data_dir: Path | None,
) -> dict[str, float]:
    """Train with one seed, on a worker, and save the result."""
    checkpoint, model = directory / f"seed-{seed}.keras", keras.Sequential.from_config(network)
    with _one_at_a_time:
        data = load_fashion_mnist(data_dir)
        if fingerprint(data.train, data.validation) != task["data set"]:
            raise ValueError(f"expected the data set that the study began with, got {data.source}")
        start = math.nan if state_path_of(checkpoint).exists() else time.perf_counter()
        history = train(model, data, recipe, checkpoint=checkpoint, seed=seed, verbose=0)
        seconds, result = time.perf_counter() - start, {"epochs": len(history.epoch)}
        for split in ("validation", "test"):
            for measure, value in evaluate(model, getattr(data, split))._asdict().items():
                result[f"{split}_{measure}"] = value
    with replacing(directory / f"seed-{seed}.json") as new_path:
        new_path.write_text(json.dumps(task | {"result": result | {"seconds": seconds}}))
    return result | {"seconds": seconds}
