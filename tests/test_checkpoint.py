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
        if (self.epoch, batch) == (self.interrupted_epoch, 9):
            os.kill(os.getpid(), signal.SIGINT)


def interrupt_in(epoch, data, path, recipe=RECIPE, **arguments):
    """Train until an interrupt in this epoch, counted from 0."""
    advice = f"resume after epoch {epoch}" if epoch else "start over"
    with pytest.raises(
        KeyboardInterrupt, match=rf"interrupted in epoch {epoch + 1}.*Train again.*{advice}"
    ):
        fc.train(
            build(),
            data,
            recipe,
            checkpoint=path,
            callbacks=[Interrupt(epoch)],
            verbose=0,
            **({"seed": 1} | arguments),
        )


@pytest.fixture
def interrupted(tiny, tmp_path):
    """A checkpoint whose run was interrupted in its third epoch."""
    path = tmp_path / "best.keras"
    interrupt_in(2, tiny, path)
    return path


def test_resumed_run_is_bit_equal(tiny, interrupted, tmp_path, capsys):
    resumed, uninterrupted = build(), build()
    interrupt_in(4, tiny, interrupted)
    history = fc.train(resumed, tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=2)
    assert "Resuming after epoch 4 of at most 6" in capsys.readouterr().out
    other = tmp_path / "other.keras"
    expected = fc.train(uninterrupted, tiny, RECIPE, checkpoint=other, seed=1, verbose=0)
    assert history.history == expected.history
    assert history.epoch == expected.epoch
    assert_equal_weights(resumed, uninterrupted)
    assert_equal_weights(fc.load_model(interrupted), fc.load_model(other))
    assert_equal_weights(resumed, fc.load_model(interrupted))
    assert sorted(os.listdir(tmp_path)) == [
        "best.history.json",
        "best.keras",
        "other.history.json",
        "other.keras",
    ]


@pytest.mark.parametrize(
    "epochs",
    [pytest.param(20, marks=pytest.mark.slow), 2],
    ids=["stopped early", "epochs ran out"],
)
def test_killed_after_the_last_epoch(tiny, tmp_path, monkeypatch, epochs):
    """The run had ended, but was cut off before it could put the best weights back."""
    path, other = tmp_path / "best.keras", tmp_path / "other.keras"
    recipe = fc.Recipe(learning_rate=3e-2, batch_size=32, epochs=epochs, patience=1)
    expected_model = build()
    expected = fc.train(expected_model, tiny, recipe, checkpoint=other, seed=1, verbose=0)
    assert (len(expected.epoch) < recipe.epochs) == (epochs == 20)

    def crash(self, logs=None):
        raise RuntimeError("crash")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.KeepProgress, "on_train_end", crash)
        with pytest.raises(RuntimeError, match="crash"):
            fc.train(build(), tiny, recipe, checkpoint=path, seed=1, verbose=0)
    model = build()
    history = fc.train(model, tiny, recipe, checkpoint=path, seed=1, verbose=0)
    assert history.history == expected.history
    assert_equal_weights(model, expected_model)
    assert_equal_weights(fc.load_model(path), fc.load_model(other))
    assert sorted(os.listdir(tmp_path)) == [
        "best.history.json",
        "best.keras",
        "other.history.json",
        "other.keras",
    ]


def assert_equal_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "what", ["deleted", pytest.param("of another run", marks=pytest.mark.slow)]
)
def test_resume_puts_the_best_file_back(tiny, tmp_path, what):
    """Even if no later epoch is better, so that nothing else would write it."""
    path, other = tmp_path / "best.keras", tmp_path / "other.keras"
    recipe = fc.Recipe(learning_rate=3e-2, batch_size=32, epochs=20, patience=3)
    expected = fc.train(build(), tiny, recipe, checkpoint=other, seed=1, verbose=0)
    best = int(np.argmin(expected.history["val_loss"]))
    interrupt_in(best + 1, tiny, path, recipe)
    path.unlink()
    if what == "of another run":
        build().save(path)
    fc.train(build(), tiny, recipe, checkpoint=path, seed=1, verbose=0)
    assert_equal_weights(fc.load_model(path), fc.load_model(other))


def test_starting_over_leaves_no_state_of_the_old_run(tiny, interrupted):
    interrupt_in(0, tiny, interrupted, seed=2, resume=False)
    assert not interrupted.with_suffix(".training-state.npz").exists()


def test_two_trainings_never_write_the_same_new_file(tmp_path):
    with checkpoint_module.replacing(tmp_path / "best.keras") as one:
        one.write_bytes(b"one")
        with checkpoint_module.replacing(tmp_path / "best.keras") as other:
            assert one != other
            other.write_bytes(b"other")
        assert (tmp_path / "best.keras").read_bytes() == b"other"
    assert (tmp_path / "best.keras").read_bytes() == b"one"


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
    assert "Resuming" not in out
    assert "Epoch 1/6" in out
    assert len(history.history["loss"]) == len(history.epoch)


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"x" + b])
def test_damaged_state_is_refused(tiny, interrupted, spoil):
    state_path = interrupted.with_suffix(".training-state.npz")
    state_path.write_bytes(spoil(state_path.read_bytes()))
    with pytest.raises(ValueError, match="resume=False, to start over"):
        fc.train(build(), tiny, RECIPE, checkpoint=interrupted, seed=1, verbose=0)


@pytest.mark.slow
def test_states_with_flipped_bits_are_refused_or_whole(interrupted):
    """A flip is refused or hits bytes that mean nothing, such as a date; it changes no state."""
    state_path = interrupted.with_suffix(".training-state.npz")
    content = state_path.read_bytes()
    intact = checkpoint_module.TrainingState.load(state_path)
    chance = np.random.default_rng(0)
    ends = [*range(200), *range(len(content) - 2_000, len(content), 7)]
    for position in [*ends, *chance.integers(len(content), size=300)]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << chance.integers(8)
        state_path.write_bytes(flipped)
        try:
            state = checkpoint_module.TrainingState.load(state_path)
        except ValueError:
            continue
        assert state.history == intact.history
        for name in ("variables", "best_weights"):
            for a, b in zip(getattr(state, name), getattr(intact, name), strict=True):
                np.testing.assert_array_equal(a, b)


def test_pickles_in_a_state_are_not_run(tiny, tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "proof"),)

    np.savez(tmp_path / "best.training-state.npz", facts=np.array([Payload()], dtype=object))
    with pytest.raises(ValueError, match="resume=False, to start over"):
        fc.train(build(), tiny, RECIPE, checkpoint=tmp_path / "best.keras", verbose=0)
    assert not (tmp_path / "proof").exists()


@pytest.mark.slow
def test_full_disk_keeps_the_previous_best(tmp_path):
    """From the second epoch on, the process may write no file as large as the best model."""
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


def test_unwritable_place_keeps_the_previous_best(tiny, interrupted, monkeypatch):
    """Even root cannot write where a directory is."""
    before = interrupted.read_bytes()
    monkeypatch.setattr(checkpoint_module.secrets, "token_hex", lambda n: "fixed")
    (interrupted.parent / f".new-fixed-{interrupted.name}").mkdir()
    monkeypatch.setattr(checkpoint_module.Path, "unlink", lambda self, missing_ok: None)
    with pytest.raises(OSError, match="epoch 1 cannot be saved"):
        fc.train(build(), tiny, RECIPE, checkpoint=interrupted, seed=1, resume=False, verbose=0)
    assert interrupted.read_bytes() == before
