import importlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from conftest import TINY_DIR
from scipy import stats

import fashion_cnn as fc

distributed = pytest.importorskip("distributed")
study_module = importlib.import_module("fashion_cnn.study")
RECIPE = fc.Recipe(learning_rate=1e-3, batch_size=100, epochs=2, patience=2)
FIGURES = ["epochs", "validation_loss", "validation_accuracy", "test_loss", "test_accuracy"]
SMALL = {"filters": (4, 8), "dense_units": 16}


@pytest.fixture(scope="module")
def client():
    """A cluster in this process, with one worker of two threads."""
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2}
    with distributed.Client(**options, dashboard_address="127.0.0.1:0") as client:
        yield client


@pytest.fixture
def run(client, tmp_path):
    """Train small networks; the keyword arguments are those of a study."""

    def study(seeds, recipe=RECIPE, **changed):
        options = {"model": fc.build_cnn(**SMALL), "directory": tmp_path, "data_dir": TINY_DIR}
        return fc.study(recipe, seeds, client=client, **options | changed)

    return study


@pytest.fixture
def trained_seeds(monkeypatch):
    """The seeds that are trained, in order."""
    seeds, train = [], study_module.train

    def noted(*args, seed, **options):
        seeds.append(seed)
        return train(*args, seed=seed, **options)

    monkeypatch.setattr(study_module, "train", noted)
    return seeds


def test_a_row_is_what_train_and_evaluate_give(run, tiny, tmp_path, capsys):
    table = run([1, 2, 3])
    assert "3/3" in capsys.readouterr().err  # the progress bar
    assert list(table.columns) == [*FIGURES, "seconds"]
    assert list(table.index) == [1, 2, 3, "mean", "std", "95 % from", "95 % to"]
    model = fc.build_cnn(**SMALL)
    fc.train(model, tiny, RECIPE, checkpoint=tmp_path / "best.keras", seed=2, verbose=0)
    expected = [2, *fc.evaluate(model, tiny.validation), *fc.evaluate(model, tiny.test)]
    np.testing.assert_allclose(table.loc[2, FIGURES].astype(float), expected, rtol=1e-5)
    kept = fc.load_model(tmp_path / "seed-2.keras")
    assert fc.evaluate(kept, tiny.test).loss == pytest.approx(expected[3], rel=1e-5)

    for column in FIGURES:
        values = table.loc[[1, 2, 3], column].to_numpy(dtype=float)
        assert table.loc["mean", column] == pytest.approx(np.mean(values))
        assert table.loc["std", column] == pytest.approx(np.std(values, ddof=1))
        if np.ptp(values):
            low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
            assert table.loc["95 % from", column] == pytest.approx(low)
            assert table.loc["95 % to", column] == pytest.approx(high)


def test_resumes_with_the_seeds_that_are_missing(run, tmp_path, trained_seeds):
    table = run([1, 2])
    (tmp_path / "seed-2.json").unlink()
    again = run([1, 2])
    assert sorted(trained_seeds) == [1, 2, 2]
    np.testing.assert_array_equal(again.loc[[1, 2], FIGURES], table.loc[[1, 2], FIGURES])


def test_an_error_of_one_seed_keeps_the_others(run, tmp_path):
    # A directory lies where the best model of seed 1 must go.
    (tmp_path / "seed-1.keras").mkdir()
    with pytest.raises(OSError, match="got a directory"):
        run([0, 1])
    assert (tmp_path / "seed-0.json").exists()
    assert not (tmp_path / "seed-1.json").exists()


def test_another_recipe_or_network_in_the_same_directory(run):
    run([1])
    with pytest.raises(ValueError, match=r"seed-1\.json is from another recipe; delete or move it"):
        run([1], fc.BOOK)
    with pytest.raises(ValueError, match=r"seed-1\.json is from another network"):
        run([1], model=fc.build_cnn(filters=(4, 9), dense_units=16))


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_result_is_named(run, tmp_path, content):
    (tmp_path / "seed-0.json").write_text(content)
    with pytest.raises(ValueError, match=r"result of a study in .*seed-0\.json; delete it"):
        run([0])


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_needed_and_different(run, seeds):
    with pytest.raises(ValueError, match="at least one seed and each only once"):
        run(seeds)


@pytest.mark.slow
def test_the_default_cluster_has_a_worker_per_core_and_survives_a_dead_one(tmp_path):
    """A worker is killed in its first run: Dask starts another, which resumes the run."""
    code = f"""
import os, sys, threading, time
from pathlib import Path
import fashion_cnn as fc

def kill_a_worker(directory):
    state = directory / "seed-1.training-state.npz"
    while not state.exists():
        time.sleep(0.001)
    import distributed
    client = distributed.default_client()
    workers = client.scheduler_info()["workers"]
    print(len(workers), flush=True)
    (busy,) = [w for w, keys in client.processing().items() if keys][:1]
    os.kill(client.run(os.getpid, workers=[busy])[busy], 9)

if __name__ == "__main__":
    directory = Path({str(tmp_path)!r})
    threading.Thread(target=kill_a_worker, args=(directory,), daemon=True).start()
    recipe = fc.Recipe(learning_rate=1e-3, batch_size=20, epochs=6, patience=6)
    table = fc.study(recipe, [1, 2], directory=directory, data_dir={str(TINY_DIR)!r})
    print(table["seconds"].isna().any(), table["epochs"].tolist()[:2])
"""
    (tmp_path / "study.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "study.py"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    workers, resumed = done.stdout.splitlines()
    assert int(workers) == len(os.sched_getaffinity(0))
    assert resumed == "True [6.0, 6.0]"


@pytest.mark.slow
def test_on_a_cluster_of_two_workers(run, tmp_path):
    """The workers import the package, and the results are those of one process."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(host="127.0.0.1", local_directory=tmp_path, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = fc.study(
            RECIPE,
            [1, 2],
            model=fc.build_cnn(**SMALL),
            directory=tmp_path / "there",
            data_dir=TINY_DIR,
            client=client,
        )
        assert all(client.run(lambda: "fashion_cnn" in sys.modules).values())
    here = run([1, 2])
    # Up to rounding: threads may add in a different order.
    np.testing.assert_allclose(there.loc[[1, 2], FIGURES], here.loc[[1, 2], FIGURES], rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_its_workers_end_with_it(tmp_path, signal_):
    code = f"""
import os, sys
import fashion_cnn as fc
if __name__ == "__main__":
    recipe = fc.Recipe(learning_rate=1e-3, batch_size=1, epochs=999, patience=999)
    fc.study(recipe, range(4), directory={str(tmp_path)!r}, data_dir={str(TINY_DIR)!r})
"""
    (tmp_path / "study.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "study.py"],
        stderr=subprocess.DEVNULL,
        # A background shell makes its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # On a slow machine that runs other tests as well, starting takes minutes.
        wait_until(lambda: (tmp_path / "seed-0.training-state.npz").exists(), seconds=300)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(signal_)
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    wait_until(lambda: not any(map(is_alive, workers)))
    assert not list(tmp_path.glob("*.json"))


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
