import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from conftest import TINY_DIR
from scipy import stats

import fashion_cnn as fc

study_module = importlib.import_module("fashion_cnn.study")
RECIPE = fc.Recipe(learning_rate=1e-3, batch_size=100, epochs=2, patience=2)
COLUMNS = [
    "epochs",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread_each():
    """The same number of threads on every machine and backend, for results that are equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture
def starts(monkeypatch):
    """The seeds of the processes that are started, in order."""
    seeds = []

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__(command, **options)
            self.seed = json.loads(command[-1])["seed"]
            seeds.append(self.seed)

    monkeypatch.setattr(study_module.subprocess, "Popen", Popen)
    return seeds


def run(directory, seeds, recipe=RECIPE):
    return fc.study(recipe, seeds, directory=directory, data_dir=TINY_DIR)


def wait_until(condition, seconds=60, pause=0.05):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(pause)
    assert condition()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    return run(directory, [1, 2, 3]), directory


def test_a_row_is_what_train_and_evaluate_give(finished, tiny, tmp_path):
    table, directory = finished
    model = fc.build_cnn()
    fc.train(model, tiny, RECIPE, checkpoint=tmp_path / "best.keras", seed=2, verbose=0)
    test = fc.evaluate(model, tiny.test)
    assert list(table.columns) == COLUMNS
    assert table.loc[2, "epochs"] == 2
    assert table.loc[2, "test_accuracy"] == pytest.approx(test.accuracy, abs=0.011)
    assert table.loc[2, "test_loss"] == pytest.approx(test.loss, rel=1e-2)
    kept = fc.load_model(directory / "seed-2.keras")
    assert fc.evaluate(kept, tiny.test).loss == pytest.approx(test.loss, rel=1e-2)


def test_summary_rows_are_numpys_and_scipys(finished):
    table, _ = finished
    for column in COLUMNS:
        values = table.loc[[1, 2, 3], column].to_numpy(dtype=float)
        assert table.loc["mean", column] == pytest.approx(np.mean(values))
        assert table.loc["std", column] == pytest.approx(np.std(values, ddof=1))
        if np.ptp(values):
            low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
            assert table.loc["95 % from", column] == pytest.approx(low)
            assert table.loc["95 % to", column] == pytest.approx(high)


def test_goes_on_with_the_seeds_that_are_missing(finished, starts):
    table, directory = finished
    (directory / "seed-3.json").unlink()
    again = run(directory, [1, 2, 3])
    assert starts == [3]
    np.testing.assert_array_equal(
        again.loc[[1, 2, 3], COLUMNS[:5]], table.loc[[1, 2, 3], COLUMNS[:5]]
    )


def test_a_process_that_dies_loses_only_its_own_seed(finished, tmp_path, starts):
    table, _ = finished

    def kill_seed_1():
        """After its first epoch, as soon as its state is there."""
        state_path = tmp_path / "seed-1.training-state.npz"
        wait_until(state_path.exists, pause=0.001)
        (process,) = (
            process for process in study_module._running[str(tmp_path)] if process.seed == 1
        )
        process.kill()

    killer = threading.Thread(target=kill_seed_1, daemon=True)
    killer.start()
    again = run(tmp_path, [1, 2])
    killer.join()
    assert sorted(starts) == [1, 1, 2]
    np.testing.assert_array_equal(again.loc[[1, 2], COLUMNS[:5]], table.loc[[1, 2], COLUMNS[:5]])
    assert np.isnan(again.loc[1, "seconds"])
    assert again.loc["mean", "seconds"] == again.loc[2, "seconds"]


def test_a_process_that_keeps_dying_is_given_up(tmp_path, starts, monkeypatch):
    monkeypatch.setattr(study_module.sys, "executable", str(tmp_path / "dies"))
    (tmp_path / "dies").write_text("#!/bin/sh\necho out of luck >&2\nkill -9 $$\n")
    (tmp_path / "dies").chmod(0o755)
    with pytest.raises(RuntimeError, match=r"seed 5: exit code -9, see .*seed-5\.log"):
        run(tmp_path, [5])
    assert starts == [5, 5, 5]
    assert (tmp_path / "seed-5.log").read_text() == "out of luck\n"


def test_an_error_of_one_seed_keeps_the_others(tmp_path):
    # A directory lies where the best model of seed 1 must go.
    (tmp_path / "seed-1.keras").mkdir()
    with pytest.raises(RuntimeError, match=r"1 of 2 trainings failed: seed 1: exit code 1, see"):
        run(tmp_path, [0, 1])
    assert (tmp_path / "seed-0.json").exists()
    assert "epoch 1 cannot be saved" in (tmp_path / "seed-1.log").read_text()


def test_other_recipe_in_the_same_directory(finished):
    _, directory = finished
    with pytest.raises(ValueError, match=r"seed-1\.json holds a result of another recipe"):
        run(directory, [1], fc.BOOK)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_damaged_result_is_named(tmp_path, content):
    (tmp_path / "seed-0.json").write_text(content)
    with pytest.raises(ValueError, match=r"result of a study in .*seed-0\.json, found none"):
        run(tmp_path, [0])


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_needed_and_different(tmp_path, seeds):
    with pytest.raises(ValueError, match="at least one seed and each only once"):
        run(tmp_path, seeds)


def test_on_a_dask_cluster_of_two_workers(finished, tmp_path):
    distributed = pytest.importorskip("distributed")
    table, _ = finished
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        on_cluster = run(tmp_path / "results", [1, 2])
        ran = client.run(lambda: "fashion_cnn" in sys.modules)
    assert all(ran.values())
    np.testing.assert_array_equal(
        on_cluster.loc[[1, 2], COLUMNS[:5]], table.loc[[1, 2], COLUMNS[:5]]
    )


def has_ended(pid):
    """Whether it is gone, or dead and not yet taken note of."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


# A study that would take an hour, in a process that tells which processes it starts.
LONG_STUDY = """
import importlib, subprocess, sys
import fashion_cnn as fc
study_module = importlib.import_module("fashion_cnn.study")
class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        print(self.pid, flush=True)
study_module.subprocess.Popen = Popen
recipe = fc.Recipe(learning_rate=1e-3, batch_size=1, epochs=999, patience=999)
fc.study(recipe, range(4), directory=sys.argv[1], data_dir=sys.argv[2])
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_its_processes_end_with_it(tmp_path, signal_):
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_STUDY, str(tmp_path), str(TINY_DIR)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        first = int(process.stdout.readline())
        wait_until(lambda: (tmp_path / "seed-0.training-state.npz").exists())
        process.send_signal(signal_)
        others = [int(line) for line in process.stdout]
    assert process.returncode != 0
    for pid in [first, *others]:
        wait_until(lambda pid=pid: has_ended(pid))
    assert not list(tmp_path.glob("*.json"))
