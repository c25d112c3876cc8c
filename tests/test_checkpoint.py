import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from conftest import TINY_DIR, MakesDirectory, assert_equal_weights, build_small

import fashion_cnn as fc
from fashion_cnn import checkpoint as checkpoint_module
from fashion_cnn.checkpoint import read_state

RECIPE = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=4, patience=2, precision="fastest")
STATE = "best.training-state.npz"


def stop_in(epoch):
    """Raise what Ctrl-C raises in the middle of an epoch, counted from 0."""
    begun = []

    def stop(batch, logs):
        if begun[-1] == epoch:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append(epoch), on_train_batch_end=stop
    )


def train(path, data, recipe=RECIPE, *, model=None, stop=None, **arguments):
    """Train a small network; return it and its history, or expect the interruption."""
    model = model or build_small()
    arguments = {"seed": 1, "verbose": 0, "checkpoint": path} | arguments
    if stop is None:
        return model, fc.train(model, data, recipe, **arguments)
    message = f"interrupted in epoch {stop + 1}; train again with the same arguments"
    with pytest.raises(KeyboardInterrupt, match=message):
        fc.train(model, data, recipe, callbacks=[stop_in(stop)], **arguments)
    return model, None


@pytest.fixture(scope="module")
def interrupted_once(tiny, tmp_path_factory):
    """The files of a run that was interrupted in its third epoch, and its model."""
    path = tmp_path_factory.mktemp("interrupted") / "best.keras"
    model, _ = train(path, tiny, stop=2)
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}, model


@pytest.fixture
def interrupted(interrupted_once, tmp_path):
    """A checkpoint of that run, in a directory of its own."""
    for name, content in interrupted_once[0].items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / "best.keras"


def kept(directory):
    """The names of the files of a run; filelock keeps an empty one on some systems."""
    return sorted(name for name in os.listdir(directory) if not name.endswith(".lock"))


FULL = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))


# Resuming


def test_resumed_run_is_bit_equal_even_when_killed_after_the_last_epoch(
    tiny, interrupted, monkeypatch, capsys
):
    interrupted.write_bytes(b"of an epoch whose state was not saved")
    with monkeypatch.context() as patch:  # it has not put the best weights back
        patch.setattr(checkpoint_module.KeepProgress, "on_train_end", FULL)
        with pytest.raises(OSError, match="No space"):
            train(interrupted, tiny, verbose=2)
    out = capsys.readouterr().out
    assert "Resuming after epoch 2 of at most 4" in out
    assert "exists" not in out  # the model is of this run
    resumed, history = train(interrupted, tiny)
    assert kept(interrupted.parent) == ["best.history.json", "best.keras"]
    whole, expected = train(interrupted.with_name("whole.keras"), tiny)
    assert history.history == expected.history
    assert history.epoch == expected.epoch
    assert_equal_weights(resumed, whole, fc.load_model(interrupted))


def test_early_stopping_counts_on_from_the_epochs_before(tiny, interrupted):
    with np.load(interrupted.parent / STATE) as file:
        content = dict(file)
    state = json.loads(str(content["state"]))
    state["history"] = {name: [0.0] * 2 for name in state["history"]}  # no epoch can be better
    np.savez(interrupted.parent / STATE, **content | {"state": np.array(json.dumps(state))})
    best = fc.load_model(interrupted)
    model, history = train(interrupted, tiny)
    assert len(history.epoch) == 3  # the best, and a patience of 2
    assert_equal_weights(model, best)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        fc.FAST.replace(epochs=3),
        fc.BEST.replace(epochs=3),
        RECIPE.replace(learning_rate=3e-2, epochs=20, patience=1),
    ],
    ids=["FAST", "BEST", "stops early"],
)
def test_every_recipe_resumes_bit_equal_in_its_precision(tiny, tmp_path, monkeypatch, recipe):
    """It is interrupted, then killed after the last epoch."""
    (tmp_path / "cpuinfo").write_text("amx_bf16")
    monkeypatch.setattr("fashion_cnn.quiet.CPU_INFO", tmp_path / "cpuinfo")
    expected, expected_history = train(tmp_path / "never.keras", tiny, recipe)
    assert len(expected_history.epoch) < 20
    train(tmp_path / "best.keras", tiny, recipe, stop=1)
    assert read_state(tmp_path / STATE)["run"]["computed in"] == "bfloat16"
    (tmp_path / "cpuinfo").unlink()  # it is resumed on another processor
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.KeepProgress, "on_train_end", FULL)
        with pytest.raises(OSError, match="No space"):
            train(tmp_path / "best.keras", tiny, recipe)
    model, history = train(tmp_path / "best.keras", tiny, recipe)
    assert history.history == expected_history.history
    assert_equal_weights(model, expected, fc.load_model(tmp_path / "best.keras"))


# What is refused; it never loses what existed before


def darker(images, seed):
    return images / 2


@pytest.mark.parametrize(
    ("difference", "change"),
    [
        ("epochs 4, not 5; seed 1, not 2", {"recipe": RECIPE.replace(epochs=5), "seed": 2}),
        ("layer 3 (Conv2D) filters 8, not 9", {"model": build_small(filters=(4, 9))}),
        ("layer 7 (Dropout) rate 0.4, not 0.1", {"model": build_small(dropout_rate=0.1)}),
        ("training images 800, not 64; data set ", {"data": "fewer"}),
        ("augmentation None, not darker", {"augment": darker}),
    ],
)
def test_state_of_another_run_is_refused_by_what_differs(tiny, interrupted, difference, change):
    fewer = tiny._replace(train=fc.Split(tiny.train.images[:64], tiny.train.labels[:64]))
    data = fewer if change.pop("data", None) else tiny
    before = (interrupted.parent / STATE).read_bytes()
    expected = rf"interrupted run with {re.escape(difference)}[^;]*\. .*resume=False"
    with pytest.raises(ValueError, match=expected):
        train(interrupted, data, **change)
    assert (interrupted.parent / STATE).read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: np.savez(path, state=np.array([MakesDirectory()], dtype=object)),
        lambda path: np.savez(path, facts=np.array("of version 0.1")),
    ],
    ids=["empty", "cut", "pickle", "old"],
)
def test_damaged_states_are_one_error(tiny, interrupted, monkeypatch, spoil):
    monkeypatch.chdir(interrupted.parent)
    path = interrupted.parent / STATE
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"expected the state of an interrupted.*resume=False"):
        train(interrupted, tiny)
    assert path.read_bytes() == before
    assert not (interrupted.parent / "proof").exists()


def test_starting_over_in_a_run_that_diverges_keeps_the_best_model(tiny, interrupted, capsys):
    before = interrupted.read_bytes()
    recipe = RECIPE.replace(learning_rate=1e38)
    with pytest.raises(FloatingPointError, match=r"got nan in epoch 1; .* smaller .* than 1e\+38"):
        train(interrupted, tiny, recipe, resume=False, verbose=2)
    out = capsys.readouterr().out
    assert "Resuming" not in out
    assert out.count("best.keras exists: the first epoch replaces it;") == 1
    assert kept(interrupted.parent) == ["best.keras"]  # without the state of the old run
    assert interrupted.read_bytes() == before


def test_however_a_run_ends_what_was_saved_is_intact_and_the_model_holds_the_best_weights(
    tiny, interrupted_once, interrupted, monkeypatch
):
    assert_equal_weights(interrupted_once[1], fc.load_model(interrupted))
    before, model = (interrupted.parent / STATE).read_bytes(), build_small()

    def write_half(path, **arrays):
        path.write_bytes(b"half")
        FULL()

    monkeypatch.setattr(np, "savez", write_half)
    with pytest.raises(OSError, match="No space left") as error:
        train(interrupted, tiny, model=model)
    assert error.value.__notes__[0].endswith("cannot be saved; what was saved before is intact.")
    assert (interrupted.parent / STATE).read_bytes() == before
    assert_equal_weights(model, fc.load_model(interrupted))
    assert not list(interrupted.parent.glob(".new-*"))


@pytest.mark.parametrize("folder", ["file", "read-only"])
def test_a_folder_that_cannot_be_written_is_found_first(tiny, tmp_path, monkeypatch, folder):
    (tmp_path / "file").write_bytes(b"")
    if folder == "read-only":  # not for root
        denied = Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
        monkeypatch.setattr("tempfile.TemporaryFile", denied)
    monkeypatch.setattr("fashion_cnn.training.fingerprint", Mock(side_effect=AssertionError))
    for call in (
        lambda: train(tmp_path / folder / "best.keras", tiny),
        lambda: fc.study(directory=tmp_path / folder),
    ):
        with pytest.raises(
            OSError, match=r"nothing can be saved in this folder .*; choose"
        ) as error:
            call()
        assert error.value.filename == str(tmp_path / folder)


# One training at a time


@pytest.mark.slow
def test_a_second_training_is_refused_and_a_killed_one_locks_nobody_out(tiny, tmp_path):
    path = tmp_path / "best.keras"
    code = f"""if True:
        import sys, time
        import keras, fashion_cnn as fc
        wait = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: (print("begun", flush=True), time.sleep(60))
        )
        data = fc.load_fashion_mnist({str(TINY_DIR)!r})
        fc.train(fc.build_cnn(), data, checkpoint=sys.argv[1], callbacks=[wait], verbose=0)
    """
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"begun\n"
        with pytest.raises(RuntimeError, match=r"another training is writing .*best\.keras; w"):
            train(path, tiny, resume=False)
        assert kept(tmp_path) == []
        first.kill()
    train(path, tiny, RECIPE.replace(epochs=1))
    assert kept(tmp_path) == ["best.history.json", "best.keras"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch, number):
    fcntl = pytest.importorskip("fcntl")  # not on Windows
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(number, "no locks")))
    with (
        pytest.warns(UserWarning, match=r"no file can be locked in|flock not supported"),
        checkpoint_module.locked(tmp_path / "best.keras"),
    ):
        pass


def test_an_open_lock_file_is_never_deleted_or_written(tmp_path, monkeypatch):
    """Windows refuses to delete a file that is open, and to write what another handle locks."""
    for name in ("unlink", "write_text", "write_bytes", "touch"):
        monkeypatch.setattr(Path, name, Mock(side_effect=PermissionError(errno.EACCES, "open")))
    path = tmp_path / "best.keras"
    with (
        checkpoint_module.locked(path),
        pytest.raises(RuntimeError, match="another training"),
        checkpoint_module.locked(path),
    ):
        pytest.fail("it was locked twice")
    with checkpoint_module.locked(path):
        pass
