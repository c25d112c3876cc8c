import errno
import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from conftest import TINY_DIR

import fashion_cnn as fc
from fashion_cnn import checkpoint as checkpoint_module

RECIPE = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=6, patience=2)


def build():
    return fc.build_cnn(filters=(4, 8), dense_units=16)


class Interrupt(keras.callbacks.Callback):
    """Send what Ctrl-C and a notebook's stop button send, in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.interrupted_epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.interrupted_epoch, 7):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interrupted(tiny, tmp_path):
    """A checkpoint whose run was interrupted in its third epoch."""
    path = tmp_path / "best.keras"
    with pytest.raises(KeyboardInterrupt, match=r"interrupted in epoch 3.*Call train again"):
        fc.train(
            build(), tiny, RECIPE, checkpoint=path, seed=1, callbacks=[Interrupt(2)], verbose=0
        )
    return path


def test_resumed_run_is_bit_equal(tiny, interrupted, tmp_path, capsys):
    resumed, uninterrupted = build(), build()
    with pytest.raises(KeyboardInterrupt):
        fc.train(
            build(),
            tiny,
            RECIPE,
            checkpoint=interrupted,
            seed=1,
            callbacks=[Interrupt(4)],
            verbose=0,
        )
    history = fc.train(resumed, tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=2)
    assert "Going on after epoch 4 of at most 6" in capsys.readouterr().out
    other = tmp_path / "other.keras"
    expected = fc.train(uninterrupted, tiny, RECIPE, checkpoint=other, seed=1, verbose=0)
    assert history.history == expected.history
    assert history.epoch == expected.epoch
    for pair in (
        (resumed, uninterrupted),
        (fc.load_model(interrupted), fc.load_model(other)),
        (resumed, fc.load_model(interrupted)),
    ):
        for a, b in zip(*(model.get_weights() for model in pair), strict=True):
            np.testing.assert_array_equal(a, b)
    assert sorted(os.listdir(tmp_path)) == ["best.keras", "other.keras"]


def test_killed_after_the_last_epoch(tiny, tmp_path, monkeypatch):
    """The run had stopped, but was cut off before it could put the best weights back."""
    path = tmp_path / "best.keras"
    recipe = fc.Recipe(learning_rate=3e-2, batch_size=32, epochs=20, patience=1)
    expected_model = build()
    expected = fc.train(
        expected_model, tiny, recipe, checkpoint=tmp_path / "other.keras", seed=1, verbose=0
    )
    assert len(expected.epoch) < recipe.epochs

    def crash(self, logs=None):
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.KeepProgress, "on_train_end", crash)
        with pytest.raises(RuntimeError, match="crash"):
            fc.train(build(), tiny, recipe, checkpoint=path, seed=1, verbose=0)
    model = build()
    history = fc.train(model, tiny, recipe, checkpoint=path, seed=1, verbose=0)
    assert history.history == expected.history
    for a, b in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_state_of_another_run_is_refused_by_name(tiny, interrupted):
    fewer = tiny._replace(train=fc.Split(tiny.train.images[:64], tiny.train.labels[:64]))
    before = interrupted.with_suffix(".training-state.npz").read_bytes()
    for name, arguments in {
        "recipe": (build(), tiny, fc.BOOK, 1),
        "seed": (build(), tiny, RECIPE, 2),
        "network": (fc.build_cnn(filters=(4, 9), dense_units=16), tiny, RECIPE, 1),
        "data set": (build(), fewer, RECIPE, 1),
    }.items():
        model, data, recipe, seed = arguments
        with pytest.raises(ValueError, match=f"with another {name}[^&]*resume=False"):
            fc.train(model, data, recipe, checkpoint=interrupted, seed=seed, verbose=0)
    assert interrupted.with_suffix(".training-state.npz").read_bytes() == before


def test_another_dropout_rate_is_another_network(tiny, interrupted):
    model = fc.build_cnn(filters=(4, 8), dense_units=16, dropout_rate=0.1)
    with pytest.raises(ValueError, match="another network"):
        fc.train(model, tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=0)


def test_resume_false_starts_over(tiny, interrupted, capsys):
    history = fc.train(
        build(), tiny, RECIPE, checkpoint=interrupted, seed=2, resume=False, verbose=2
    )
    out = capsys.readouterr().out
    assert "Going on" not in out
    assert "Epoch 1/6" in out
    assert len(history.history["loss"]) == len(history.epoch)


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"x" + b])
def test_damaged_state_is_refused(tiny, interrupted, spoil):
    state_path = interrupted.with_suffix(".training-state.npz")
    state_path.write_bytes(spoil(state_path.read_bytes()))
    with pytest.raises(ValueError, match="resume=False, to start over"):
        fc.train(build(), tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=0)


def test_state_with_a_flipped_bit_is_refused(tiny, interrupted):
    state_path = interrupted.with_suffix(".training-state.npz")
    content = bytearray(state_path.read_bytes())
    content[len(content) // 2] ^= 1
    state_path.write_bytes(content)
    with pytest.raises(ValueError, match="resume=False, to start over"):
        fc.train(build(), tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=0)


def test_pickles_in_a_state_are_not_run(tiny, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "proof"),)

    np.savez(tmp_path / "best.training-state.npz", facts=np.array([Payload()], dtype=object))
    with pytest.raises(ValueError, match="resume=False, to start over"):
        fc.train(build(), tiny, RECIPE, checkpoint=tmp_path / "best.keras", verbose=0)
    assert not (tmp_path / "proof").exists()


def test_full_disk_keeps_the_previous_best(tmp_path):
    """In a process that may write no file larger than the first best one was."""
    code = f"""
        import resource
        import keras, fashion_cnn as fc

        class DiskFull(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

        data = fc.load_fashion_mnist({str(TINY_DIR)!r})
        model = fc.build_cnn(filters=(4, 8), dense_units=16)
        recipe = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=3, patience=2)
        fc.train(model, data, recipe, checkpoint="best.keras", callbacks=[DiskFull()], verbose=0)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, capture_output=True, text=True
    )
    assert finished.returncode == 1
    last_line = finished.stderr.strip().splitlines()[-1]
    assert os.strerror(errno.EFBIG) in last_line
    assert "epoch 2 cannot be saved" in last_line
    assert "train again with the same arguments" in last_line
    assert sorted(os.listdir(tmp_path)) == ["best.keras", "best.training-state.npz"]
    fc.load_model(tmp_path / "best.keras")
    state = checkpoint_module.TrainingState.load(tmp_path / "best.training-state.npz")
    assert state.finished_epochs == 1


def test_unwritable_place_keeps_the_previous_best(tiny, interrupted):
    """Where the new file would be written there is a directory: even root cannot write it."""
    before = interrupted.read_bytes()
    (interrupted.parent / f".new-{interrupted.name}").mkdir()
    with pytest.raises(OSError, match="epoch 1 cannot be saved"):
        fc.train(build(), tiny, RECIPE, checkpoint=interrupted, seed=1, resume=False, verbose=0)
    assert interrupted.read_bytes() == before
