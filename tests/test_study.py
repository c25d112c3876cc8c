import importlib
import json
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


def run(directory, seeds, recipe=RECIPE):
    return fc.study(recipe, seeds, directory=directory, data_dir=TINY_DIR)


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


def test_goes_on_with_the_seeds_that_are_missing(finished, monkeypatch):
    table, directory = finished
    started = []
    popen = subprocess.Popen

    def start(command, **options):
        started.append(json.loads(command[-1])["seed"])
        return popen(command, **options)

    monkeypatch.setattr(study_module.subprocess, "Popen", start)
    (directory / "seed-3.json").unlink()
    again = run(directory, [1, 2, 3])
    assert started == [3]
    np.testing.assert_array_equal(
        again.loc[[1, 2, 3], COLUMNS[:5]], table.loc[[1, 2, 3], COLUMNS[:5]]
    )


def test_a_process_that_dies_loses_only_its_own_seed(finished, tmp_path):
    table, _ = finished
    killed = []

    def kill_seed_1():
        """After its first epoch, as soon as its state is there."""
        while not killed:
            if (tmp_path / "seed-1.training-state.npz").exists():
                for process in list(study_module._processes):
                    if json.loads(process.args[-1])["seed"] == 1:
                        process.kill()
                        killed.append(process.pid)
            time.sleep(0.001)

    killer = threading.Thread(target=kill_seed_1, daemon=True)
    killer.start()
    again = run(tmp_path, [1, 2])
    killer.join(1)
    assert killed
    np.testing.assert_array_equal(again.loc[[1, 2], COLUMNS[:5]], table.loc[[1, 2], COLUMNS[:5]])


def test_an_error_of_one_seed_keeps_the_others(tmp_path):
    # A directory lies where the best model of seed 1 must go.
    (tmp_path / "seed-1.keras").mkdir()
    with pytest.raises(RuntimeError, match=r"1 of 2 trainings failed.*seed 1: .*exit code 1"):
        run(tmp_path, [0, 1])
    assert (tmp_path / "seed-0.json").exists()


def test_other_recipe_in_the_same_directory(finished):
    _, directory = finished
    with pytest.raises(ValueError, match=r"seed-1\.json holds a result of another recipe"):
        run(directory, [1], fc.BOOK)


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


def test_the_process_ends_when_nobody_waits_for_it(tmp_path):
    """The parent's end of standard input is closed by the system when the parent is killed."""
    arguments = {
        "directory": str(tmp_path),
        "seed": 0,
        "task": {"recipe": {"learning_rate": 1e-3, "batch_size": 1, "epochs": 999, "patience": 99}},
        "data_dir": str(TINY_DIR),
    }
    parent = (
        "import subprocess, sys, os\n"
        "p = subprocess.Popen([sys.executable, '-m', 'fashion_cnn.study', sys.argv[1]],"
        " stdin=subprocess.PIPE)\n"
        "print(p.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    time.sleep(2)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()
