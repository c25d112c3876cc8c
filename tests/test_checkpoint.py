import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
from conftest import TINY_DIR

import fashion_cnn as fc
from fashion_cnn import checkpoint as checkpoint_module

RECIPE = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=6, patience=2)
ONE_EPOCH = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=1, patience=0)


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


CODE = f"""
    import sys, time
    import keras, fashion_cnn as fc

    class Slow(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            print(epoch, flush=True)
            if epoch == 2:
                time.sleep(60)

    data = fc.load_fashion_mnist({str(TINY_DIR)!r})
    model = fc.build_cnn(filters=(4, 8), dense_units=16)
    recipe = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=6, patience=2)
    fc.train(model, data, recipe, checkpoint=sys.argv[1], callbacks=[Slow()], seed=1, verbose=0)
"""


def test_a_second_training_is_refused_and_a_killed_one_locks_nobody_out(tiny, tmp_path):
    path = tmp_path / "best.keras"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CODE), path], stdout=subprocess.PIPE, text=True
    ) as first:
        while first.stdout.readline() != "2\n":
            pass
        kept = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(
            RuntimeError, match=f"another training, process {first.pid}, is writing"
        ):
            fc.train(build(), tiny, RECIPE, checkpoint=path, seed=2, resume=False, verbose=0)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == kept
        first.kill()
    history = fc.train(build(), tiny, RECIPE, checkpoint=path, seed=1, verbose=0)
    assert history.epoch == list(range(len(history.epoch)))
    assert sorted(os.listdir(tmp_path)) == ["best.history.json", "best.keras"]


def test_half_written_files_of_other_checkpoints_are_left_alone(tiny, tmp_path):
    others = [".new-0123abcd-best-m.keras", ".new-0123abcd-a.keras", ".new-0123abcd-am.keras"]
    for name in [*others, ".new-0123abcd-m.keras"]:
        (tmp_path / name).write_bytes(b"half")
    interrupt_in(0, tiny, tmp_path / "m.keras")
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def spoiled(facts, name, value):
    where, _, key = name.rpartition(".")
    (facts[where] if where else facts)[key] = value


@pytest.mark.parametrize(
    "spoil",
    [
        lambda facts, arrays: facts["run"].pop("precision"),
        lambda facts, arrays: spoiled(facts, "run.precision", "float8"),
        lambda facts, arrays: spoiled(facts, "run", None),
        lambda facts, arrays: spoiled(facts, "history", {}),
        lambda facts, arrays: spoiled(facts, "history", {"loss": []}),
        lambda facts, arrays: spoiled(facts, "history.loss", [1.0]),
        lambda facts, arrays: spoiled(facts, "history.loss", ["a", "b"]),
        lambda facts, arrays: spoiled(facts, "early_stopping.wait", "soon"),
        lambda facts, arrays: spoiled(facts, "early_stopping.best", None),
        lambda facts, arrays: spoiled(facts, "early_stopping.best_epoch", 7),
        lambda facts, arrays: spoiled(facts, "early_stopping", []),
        lambda facts, arrays: spoiled(facts, "stopped", "no"),
        lambda facts, arrays: spoiled(facts, "variables", 3),
        lambda facts, arrays: spoiled(facts, "variables", 10**9),
        lambda facts, arrays: spoiled(arrays, "variables 0", np.zeros((3, 3, 1, 5), np.float32)),
        lambda facts, arrays: spoiled(arrays, "variables 0", np.zeros((3, 3, 1, 4), np.float64)),
        lambda facts, arrays: spoiled(arrays, "variables 1", np.full(4, np.nan, np.float32)),
        lambda facts, arrays: spoiled(arrays, "variables 1", np.full(4, "a")),
        lambda facts, arrays: spoiled(arrays, "best_weights 1", np.full(4, np.inf, np.float32)),
        lambda facts, arrays: spoiled(arrays, "best_weights 1", np.zeros(5, np.float32)),
    ],
)
def test_states_of_a_wrong_kind_are_one_error(tiny, interrupted_once, tmp_path, spoil):
    path = tmp_path / "best.training-state.npz"
    with np.load(interrupted_once) as content:
        arrays = dict(content)
    facts = json.loads(str(arrays["facts"]))
    spoil(facts, arrays)
    np.savez(path, **(arrays | {"facts": np.array(json.dumps(facts))}))
    before = path.read_bytes()
    with pytest.raises(
        ValueError, match=r"expected the state of an interrupted run in .*resume=Fa"
    ):
        fc.train(build(), tiny, RECIPE, checkpoint=tmp_path / "best.keras", seed=1, verbose=0)
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def interrupted_once(tiny, tmp_path_factory):
    """The state of a run that was interrupted in its third epoch; only to be read."""
    path = tmp_path_factory.mktemp("interrupted") / "best.keras"
    interrupt_in(2, tiny, path)
    return path.with_suffix(".training-state.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_state_and_no_history(tiny, tmp_path):
    build().save(tmp_path / "best.keras")
    os.mkfifo(tmp_path / "best.training-state.npz")
    os.mkfifo(tmp_path / "best.history.json")
    with pytest.raises(ValueError, match="not a regular file"):
        fc.train(build(), tiny, RECIPE, checkpoint=tmp_path / "best.keras", verbose=0)
    assert checkpoint_module.load_history(tmp_path / "best.keras") is None


def test_a_link_is_followed(tiny, tmp_path):
    (tmp_path / "models").mkdir()
    link, target = tmp_path / "link.keras", tmp_path / "models" / "target.keras"
    link.symlink_to(target)
    interrupt_in(1, tiny, link)
    fc.train(build(), tiny, RECIPE, checkpoint=link, seed=1, verbose=0)
    assert link.is_symlink()
    assert_equal_weights(fc.load_model(link), fc.load_model(target))
    assert len(checkpoint_module.load_history(link).epoch) > 1
    assert sorted(os.listdir(tmp_path)) == ["link.keras", "models"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_without_fsync_is_no_obstacle(tmp_path, monkeypatch, number):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with checkpoint_module.replacing(tmp_path / "a") as new_path:
        new_path.write_bytes(b"a")
    assert (tmp_path / "a").read_bytes() == b"a"


def test_a_disk_that_fails_is_an_error(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", fail)
    with (
        pytest.raises(OSError, match="Input/output"),
        checkpoint_module.replacing(tmp_path / "a") as new_path,
    ):
        new_path.write_bytes(b"a")
    assert (tmp_path / "a").read_bytes() == b"before"


@pytest.mark.parametrize("place", ["file/best.keras", "directory.keras", "system/best.keras"])
def test_a_place_that_cannot_be_written_is_found_before_the_first_epoch(tiny, tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory.keras").mkdir()
    begun = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: pytest.fail("it began"))
    with pytest.raises(OSError, match=r"cannot be saved; choose|got a directory"):
        fc.train(
            build(),
            tiny,
            checkpoint=tmp_path / place if place[0] != "s" else "/sys/kernel/best.keras",
            callbacks=[begun],
            verbose=0,
        )


def test_a_clock_before_1980_is_found_before_the_first_epoch(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "localtime", lambda seconds=None: time.gmtime(0))
    with pytest.raises(RuntimeError, match="clock to be right, got the year 1970; set it"):
        fc.train(build(), tiny, checkpoint=tmp_path / "best.keras", verbose=0)


def test_without_a_saved_epoch_the_error_promises_none(tiny, tmp_path, monkeypatch):
    def fail(self, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_module.TrainingState, "save", fail)
    with pytest.raises(
        OSError, match=r"epoch 1 cannot be saved in .*\. Free space .*start over"
    ) as e:
        fc.train(build(), tiny, RECIPE, checkpoint=tmp_path / "best.keras", verbose=0)
    assert "intact" not in str(e.value)


def test_a_run_that_diverges_ends_and_keeps_the_best_model(tiny, tmp_path):
    path = tmp_path / "best.keras"
    fc.train(build(), tiny, RECIPE, checkpoint=path, seed=1, verbose=0)
    before = path.read_bytes()
    recipe = fc.Recipe(learning_rate=1e38, batch_size=32, epochs=3, patience=2)
    with pytest.raises(FloatingPointError, match=r"got nan in epoch 1; .* smaller .* than 1e\+38"):
        fc.train(build(), tiny, recipe, checkpoint=path, seed=1, verbose=0)
    assert path.read_bytes() == before


@pytest.mark.parametrize("length", [210, 236, 240, 248])
def test_a_name_too_long_is_found_before_the_first_epoch(tiny, tmp_path, length):
    path = tmp_path / f"{'a' * (length - 6)}.keras"
    begun = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: pytest.fail("it began"))
    if length == 210:
        fc.train(build(), tiny, ONE_EPOCH, checkpoint=path, verbose=0)
    else:
        with pytest.raises(OSError, match=r"File name too long: .* shorter name"):
            fc.train(build(), tiny, checkpoint=path, callbacks=[begun], verbose=0)


@pytest.mark.parametrize("suffix", [".history.json", ".training-state.npz"])
def test_a_directory_in_the_way_is_found_before_the_first_epoch(tiny, tmp_path, suffix):
    (tmp_path / f"best{suffix}").mkdir()
    with pytest.raises(IsADirectoryError, match=r"expected a file or nothing at"):
        fc.train(build(), tiny, checkpoint=tmp_path / "best.keras", resume=False, verbose=0)


def test_an_empty_path_is_not_the_default(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand-in-model.keras").write_bytes(b"precious")
    with pytest.raises(OSError, match="got a directory"):
        fc.train(build(), tiny, checkpoint="", verbose=0)
    assert (tmp_path / "stand-in-model.keras").read_bytes() == b"precious"


def test_a_disk_that_is_full_from_the_start_leaves_no_lock(tiny, tmp_path, monkeypatch):
    def fail(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "best.keras"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.Path, "write_text", fail)
        with pytest.raises(OSError, match=r"No space left .* cannot be saved; choose .* has space"):
            fc.train(build(), tiny, ONE_EPOCH, checkpoint=path, verbose=0)
    assert not list(tmp_path.iterdir())
    fc.train(build(), tiny, ONE_EPOCH, checkpoint=path, verbose=0)
