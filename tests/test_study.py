import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import keras
import numpy as np
import psutil
import pytest
from conftest import TINY_DIR, build_small
from scipy import stats

import fashion_cnn as fc

study_module = sys.modules[fc.study.__module__]  # fc.study is the function
RECIPE = fc.Recipe(learning_rate=1e-3, batch_size=100, epochs=2, patience=2)
FIGURES = ["epochs", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy"]
SCRIPT = f"""
import sys
import fashion_cnn as fc
if __name__ == "__main__":
    recipe = fc.Recipe(learning_rate=1e-3, batch_size=1, epochs=5, patience=5)
    model = fc.build_cnn(filters=(4, 8), dense_units=16)
    options = {{"directory": "results", "data_dir": {str(TINY_DIR)!r}}}
    table = fc.study(recipe, [0, 1], model=model, **options)
    print(table["seconds"].isna().any(), table["epochs"].tolist()[:2], "distributed" in sys.modules)
"""


def study(seeds, directory, recipe=RECIPE, **changed):
    """Train small networks, one after the other, in a thread of this process."""
    options = {"model": build_small(), "data_dir": TINY_DIR}
    with ThreadPoolExecutor(1) as executor:
        options["executor"] = executor
        return fc.study(recipe, seeds, directory=directory, **options | changed)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """What a study leaves whose first seed failed: a directory lay where its model must go."""
    directory = tmp_path_factory.mktemp("study")
    (directory / "seed-0.keras").mkdir()
    with pytest.raises((OSError, ValueError), match="seed-0"):
        study([0, 1], directory)
    assert not (directory / "seed-0.json").exists()
    return directory


@pytest.mark.slow
def test_a_row_is_what_train_and_evaluate_give(directory, tiny, tmp_path):
    row = study([1], directory, executor=Executor()).loc[1]  # kept; this executor trains nothing
    model = build_small()
    fc.train(model, tiny, RECIPE, checkpoint=tmp_path / "best.keras", seed=1, verbose=0)
    expected = [2, *fc.evaluate(model, tiny.validation), *fc.evaluate(model, tiny.test)]
    np.testing.assert_allclose(row[FIGURES].astype(float), expected, rtol=1e-5)
    kept = fc.load_model(directory / "seed-1.keras")
    assert fc.evaluate(kept, tiny.test).loss == pytest.approx(expected[3], rel=1e-5)


def test_the_table_sums_up_what_is_kept_and_the_rest_is_trained(directory, tmp_path):
    kept = json.loads((directory / "seed-1.json").read_text())
    rng = np.random.default_rng(0)
    for seed in (1, 2, 3):
        result = {name: rng.random() for name in kept["result"]}
        (tmp_path / f"seed-{seed}.json").write_text(json.dumps(kept | {"result": result}))
    table = study([3, 1, 2], tmp_path, executor=Executor())
    assert list(table.columns) == [*FIGURES, "seconds"]
    assert list(table.index) == [3, 1, 2, "mean", "std", "95 % from", "95 % to"]
    assert table.loc[3].to_dict() == result
    for column in table:
        values = table.loc[[1, 2, 3], column].to_numpy(dtype=float)
        low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
        expected = [np.mean(values), np.std(values, ddof=1), low, high]
        np.testing.assert_allclose(table[column].tolist()[3:], expected)
    with pytest.raises(NotImplementedError):
        study([1, 2, 3, 4], tmp_path, executor=Executor())


def test_an_interruption_cancels_what_waits(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    future, executor = Future(), Executor()
    monkeypatch.setattr(executor, "submit", lambda *_: future)
    monkeypatch.setattr(study_module, "tqdm", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study([0], tmp_path, executor=executor)
    assert future.cancelled()


def test_results_of_another_study_are_refused(directory, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("fashion_cnn.quiet.CPU_INFO", tmp_path / "cpuinfo")
    fastest = RECIPE.replace(precision="fastest")
    study([1], directory, fastest, executor=Executor())  # float32 here, as what is kept
    (tmp_path / "cpuinfo").write_text("amx_bf16")
    with pytest.raises(ValueError, match=r"seed-1\.json is from another recipe; del"):
        study([1], directory, fastest)
    with pytest.raises(ValueError, match=r"seed-1\.json is from another recipe and network; del"):
        study([1], directory, fc.BOOK, model=build_small(filters=(4, 9)))
    other = tiny._replace(train=tiny.validation)
    monkeypatch.setattr(study_module, "load_fashion_mnist", lambda _: other)
    with pytest.raises(ValueError, match=r"seed-1\.json is from another data set"):
        study([1], directory)


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_needed_and_different(tmp_path, seeds):
    with pytest.raises(ValueError, match="at least one seed and each only once"):
        study(seeds, tmp_path)


def test_a_network_that_train_would_refuse_is_refused_first(tmp_path):
    logits = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match=r"\(n, 10\).*Keras's own model.fit"):
        study([1], tmp_path, executor=Executor(), model=logits)


@pytest.mark.slow
def test_on_a_dask_cluster_of_two_workers(directory, tmp_path):
    """The workers import the package, and the results are those of one process."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(host="127.0.0.1", local_directory=tmp_path, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = study([1, 2], tmp_path / "there", executor=client.get_executor())
        assert all(client.run(lambda: "fashion_cnn" in sys.modules).values())
    here = study([1], directory)
    # Up to rounding: threads may add in a different order.
    np.testing.assert_allclose(there.loc[1, FIGURES], here.loc[1, FIGURES], rtol=1e-2)


def start(directory):
    (directory / "script.py").write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_by_default_processes_of_this_machine_train_and_end_with_the_study(tmp_path):
    """It is interrupted, then killed, then left to finish what is there."""
    state = tmp_path / "results" / "seed-0.training-state.npz"
    for end in (signal.SIGINT, signal.SIGKILL):
        state.unlink(missing_ok=True)
        process = start(tmp_path)
        try:
            # On a slow machine that runs other tests as well, starting takes minutes.
            wait_until(state.exists, seconds=300)
            workers = psutil.Process(process.pid).children(recursive=True)
            assert len(workers) >= min(2, os.cpu_count())
            process.send_signal(end)
            process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode != 0
        wait_until(lambda: not any(map(is_alive, workers)))  # noqa: B023
        assert not list(tmp_path.rglob("*.json"))
    output, errors = start(tmp_path).communicate()
    assert output == "True [5.0, 5.0] False\n", errors
    assert "2/2" in errors  # the progress bar


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


def is_alive(process):
    """Whether it still runs; a dead one that nobody has waited for does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
