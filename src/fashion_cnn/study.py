"""Train with many seeds, on every core or on a cluster, and summarise.

One run says little: two seeds of one recipe differ as much as two recipes do.
"""

import json
import multiprocessing
import operator
import os
import signal
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path

import pandas as pd
from scipy import stats
from tqdm import tqdm

from fashion_cnn.data import load_fashion_mnist
from fashion_cnn.prediction import evaluate
from fashion_cnn.quiet import without_machine_notes
from fashion_cnn.recipe import BOOK, Recipe

with without_machine_notes():  # each worker imports TensorFlow here
    import keras

    from fashion_cnn.checkpoint import files_beside, make_folder, replacing
    from fashion_cnn.model import architecture, build_cnn
    from fashion_cnn.training import check_network, chosen_precision, fingerprint, train


def study(
    recipe: Recipe = BOOK,
    seeds: Iterable[int] = range(5),
    *,
    model: keras.Sequential | None = None,
    directory: str | os.PathLike[str] = "study",
    data_dir: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Train a network once with every seed and return a table of the results.

    Call `study` again to resume after an interruption. A script must call it under
    ``if __name__ == "__main__":``, because the workers import the script.

    Parameters
    ----------
    recipe : Recipe
        The settings of the runs.
    seeds : iterable of int
        The seed of each run; at least one, and each only once.
    model : keras.Sequential, optional
        The network, whose weights are drawn anew for every seed; by default `build_cnn`'s.
    directory, data_dir : path, optional
        Where results (``seed-3.json``) and best models (``seed-3.keras``) are kept, and the data.
    executor : concurrent.futures.Executor, optional
        Who runs the trainings; by default one process for each core of this machine, with one
        thread and 1.2 GB of memory each. For a Dask cluster whose workers can reach the package,
        the data and `directory`, pass ``client.get_executor()``; Dask comes with
        ``pip install "fashion-cnn[cluster]"``.

    Returns
    -------
    pandas.DataFrame
        A row for each seed, then ``mean``, ``std`` (of the sample), ``95 % from`` and ``95 % to``
        (the confidence interval of the mean, by Student's t). Columns ``epochs``,
        ``validation_loss``, … and ``seconds`` (of training; NaN for a resumed one).

    Raises
    ------
    ValueError
        If `seeds` is empty or repeats one, or `directory` holds results of another study.
    Exception
        What the run of a seed raised, once the others have finished; their results are kept.
    """
    seeds = [operator.index(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected at least one seed and each only once, got {seeds}")
    model, directory = model or build_cnn(), Path(directory).expanduser().absolute()
    check_network(model)
    make_folder(directory)
    data = load_fashion_mnist(data_dir)
    # Every seed computes in this machine's precision, whichever machine trains it.
    recipe = recipe.replace(precision=chosen_precision(recipe))
    task = {"recipe": asdict(recipe), "network": architecture(model)}
    task["data set"] = fingerprint(data.train, data.validation)
    results = {}
    for path in filter(Path.exists, [directory / f"seed-{seed}.json" for seed in seeds]):
        kept = json.loads(path.read_text())
        different = " and ".join(name for name in task if kept.get(name) != task[name])
        if different:
            raise ValueError(f"{path} is from another {different}; delete or move it")
        results[int(path.stem.removeprefix("seed-"))] = kept["result"]
    run = recipe, model.get_config(), task, directory, data.source.directory.absolute()
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    # Its processes start when something is submitted to it.
    with ProcessPoolExecutor(None, context, _start_worker, (reader,)) as pool, writer:
        submit = (executor or pool).submit
        futures = {submit(_train, seed, *run): seed for seed in seeds if seed not in results}
        try:
            for _ in tqdm(as_completed(futures), total=len(futures), desc="study", unit="seed"):
                pass
        finally:
            for future in futures:
                future.cancel()  # those that an interruption left waiting
    results |= {seed: future.result() for future, seed in futures.items()}  # or its error
    runs = pd.DataFrame.from_dict(results, orient="index").astype(float).loc[seeds]
    mean, half = runs.mean(), stats.t.ppf(0.975, runs.count() - 1) * runs.sem()
    summary = {"mean": mean, "std": runs.std(), "95 % from": mean - half, "95 % to": mean + half}
    return pd.concat([runs, pd.DataFrame(summary).T]).rename_axis("seed")


def _train(
    seed: int, recipe: Recipe, network: dict, task: dict, directory: Path, data_dir: Path
) -> dict[str, float]:
    """Train with one seed, on a worker, and save the result."""
    checkpoint, model = directory / f"seed-{seed}.keras", keras.Sequential.from_config(network)
    data = load_fashion_mnist(data_dir)
    start = float("nan") if files_beside(checkpoint)[0].exists() else time.perf_counter()
    history = train(model, data, recipe, checkpoint=checkpoint, seed=seed, verbose=0)
    result: dict[str, float] = {"epochs": len(history.epoch)}
    seconds = time.perf_counter() - start
    for split in ("validation", "test"):
        result[f"{split}_loss"], result[f"{split}_accuracy"] = evaluate(model, getattr(data, split))
    result["seconds"] = seconds
    with replacing(directory / f"seed-{seed}.json") as new_path:
        new_path.write_text(json.dumps(task | {"result": result}))
    return result


def _start_worker(reader: Connection) -> None:
    """Compute on one thread, and end when the other end of the pipe is closed."""
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the study, which closes the pipe
    threading.Thread(target=lambda: (wait([reader]), os._exit(1)), daemon=True).start()
