import dataclasses
import os
import random
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

import fashion_cnn as fc
from fashion_cnn import training as training_module
from fashion_cnn.checkpoint import load_history

SHORT = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=2, patience=2)


def test_book_recipe():
    recipe = fc.BOOK
    assert (recipe.learning_rate, recipe.batch_size) == (1e-3, 32)
    assert (recipe.epochs, recipe.patience) == (20, 2)


def test_learns_the_stand_in_data(trained, tiny):
    model, *_ = trained
    assert fc.evaluate(model, tiny.test).accuracy >= 0.9


def test_stops_early_by_validation_loss(trained):
    _, history, _ = trained
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == min(best + 1 + fc.BOOK.patience, fc.BOOK.epochs)
    assert history.params["steps"] == 800 / 32


def test_model_and_file_hold_the_best_epoch(trained, tiny):
    model, history, checkpoint = trained
    best_loss = min(history.history["val_loss"])
    assert fc.evaluate(model, tiny.validation).loss == pytest.approx(best_loss, rel=1e-5)
    for loaded in (fc.load_model(checkpoint), keras.saving.load_model(checkpoint)):
        for weights, loaded_weights in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, loaded_weights)


def test_best_epoch_is_restored_when_the_epochs_run_out(tiny, tmp_path):
    # With so few images and so large a step size the loss fluctuates, so that for some seed the
    # last epoch is not the best.
    few = fc.Split(tiny.train.images[:96], tiny.train.labels[:96])
    data = tiny._replace(train=few)
    recipe = fc.Recipe(learning_rate=1e-2, batch_size=32, epochs=12, patience=100)
    model = fc.build_cnn()
    checkpoint = tmp_path / "best.keras"
    for seed in range(10):
        history = fc.train(model, data, recipe, checkpoint=checkpoint, seed=seed, verbose=0)
        losses = history.history["val_loss"]
        if np.argmin(losses) < recipe.epochs - 1:
            break
    assert np.argmin(losses) < recipe.epochs - 1
    assert len(losses) == recipe.epochs
    assert fc.evaluate(model, tiny.validation).loss == pytest.approx(min(losses), rel=1e-5)
    for weights, saved in zip(
        model.get_weights(), fc.load_model(checkpoint).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weights, saved)


def test_same_seed_same_run(tiny, tmp_path):
    small = {"filters": (4, 8), "dense_units": 16}
    model = fc.build_cnn(**small)
    runs = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        history = fc.train(
            model, tiny, SHORT, checkpoint=tmp_path / f"{name}.keras", seed=seed, verbose=0
        )
        runs.append((history.history, model.get_weights()))
        model = (
            fc.build_cnn(**small) if name == "a" else model
        )  # a new network and a used one alike
    (first, first_weights), (second, second_weights), (third, _) = runs
    assert first == second
    for a, b in zip(first_weights, second_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first != third


def test_first_weights_are_those_that_keras_draws():
    """After set_random_seed(seed), even if another thread draws from Python's generator."""

    def draw_all_the_time():
        while not is_done.is_set():
            random.random()

    is_done = threading.Event()
    for dropout_rate in (0.4, 0.0):
        keras.utils.set_random_seed(5)
        expected = fc.build_cnn(dropout_rate=dropout_rate)
        is_done.clear()
        thread = threading.Thread(target=draw_all_the_time, daemon=True)
        thread.start()
        model = fc.build_cnn(dropout_rate=dropout_rate)
        training_module._draw_weights(model, 5)
        is_done.set()
        thread.join()
        for layer, expected_layer in zip(model.layers, expected.layers, strict=True):
            for variable, other in zip(layer.variables, expected_layer.variables, strict=True):
                np.testing.assert_array_equal(variable, other)


def test_by_default_stand_in_data_does_not_replace_a_real_model(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best-cnn-model.keras").write_bytes(b"trained on Fashion-MNIST")
    model = fc.build_cnn(filters=(2, 3), dense_units=5)
    fc.train(model, tiny, dataclasses.replace(SHORT, epochs=1), verbose=0)
    assert (tmp_path / "best-cnn-model.keras").read_bytes() == b"trained on Fashion-MNIST"
    for trained in (model, fc.load_model("stand-in-model.keras")):
        assert trained.name == "fashion_cnn_trained_on_stand_in_data"
    assert keras.saving.load_model("stand-in-model.keras").name == trained.name

    real = tiny._replace(source=tiny.source._replace(is_fashion_mnist=True))
    fc.train(model, real, dataclasses.replace(SHORT, epochs=1), verbose=0)
    assert model.name == fc.load_model("best-cnn-model.keras").name == "fashion_cnn"


def test_keeps_the_history_beside_the_checkpoint(trained, tmp_path):
    _, history, checkpoint = trained
    kept = load_history(checkpoint)
    assert kept.history == history.history
    assert kept.epoch == history.epoch
    assert kept.params["steps"] == history.params["steps"]
    assert load_history(tmp_path / "other.keras") is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda args: args | {"data": args["data"].train}, TypeError, r"got Split; call train\(mo"),
        (lambda args: args | {"recipe": "FAST"}, TypeError, "fashion_cnn.FAST without quotes, got"),
    ],
)
def test_wrong_arguments_are_one_sentence(tiny, tmp_path, change, error, message):
    arguments = {"model": fc.build_cnn(), "data": tiny, "recipe": SHORT}
    with pytest.raises(error, match=message):
        fc.train(**change(arguments), checkpoint=tmp_path / "best.keras")
    assert not list(tmp_path.iterdir())


def test_another_backend_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(RuntimeError, match=r"got torch; set KERAS_BACKEND=tensorflow before"):
        fc.train(fc.build_cnn(), tiny)


@pytest.mark.slow
def test_a_backend_that_is_not_installed_is_named():
    done = subprocess.run(
        [sys.executable, "-c", "import fashion_cnn as fc; fc.train"],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    message = "got jax, which is not installed; set KERAS_BACKEND=tensorflow"
    assert message in done.stderr.splitlines()[-1]


def test_calls_extra_callbacks_before_the_epoch_is_saved(tiny, tmp_path):
    checkpoint = tmp_path / "deeper" / "best.keras"
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, checkpoint.exists(), sorted(logs)))
    )
    fc.train(fc.build_cnn(), tiny, SHORT, checkpoint=checkpoint, callbacks=[callback], verbose=0)
    assert seen == [(n, n == 1, ["accuracy", "loss", "val_accuracy", "val_loss"]) for n in (0, 1)]


def test_shows_progress(tiny, tmp_path, capsys):
    fc.train(fc.build_cnn(), tiny, SHORT, checkpoint=tmp_path / "best.keras")
    out = capsys.readouterr().out
    assert "Epoch 1/2" in out
    assert "25/25" in out
    assert "val_accuracy" in out


def test_checkpoint_must_be_a_keras_file(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.keras.*best\.h5"):
        fc.train(fc.build_cnn(), tiny, SHORT, checkpoint=tmp_path / "best.h5")


@pytest.mark.real_data
def test_real_data_one_epoch(real, tmp_path):
    recipe = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=1, patience=2)
    model = fc.build_cnn()
    history = fc.train(model, real, recipe, checkpoint=tmp_path / "best.keras", verbose=0)
    assert history.params["steps"] == 1_500
    # First epochs as published: .8983 in the note, .8740 in the book.
    assert 0.86 < history.history["val_accuracy"][0] < 0.91


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "expected a keras.Sequential, as from build_cnn, got NoneType"),
        ({"model": keras.Sequential([keras.layers.Dense(10)])}, "one without an Input layer"),
        (
            {"model": keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])},
            r"to ten classes .* got \(None, 28, 28, 1\) to \(None, 784\)",
        ),
        ({"seed": 1.5}, "expected an int as seed, got 1.5"),
        ({"seed": "1"}, "expected an int as seed, got '1'"),
        ({"seed": -1}, "expected a seed from 0 to 4,294,967,295, got -1"),
        ({"seed": 2**32}, "expected a seed from 0"),
        ({"callbacks": [print]}, "expected a list of Keras callbacks, got <built-in"),
        ({"callbacks": 5}, "expected a list of Keras callbacks, got 5"),
    ],
)
def test_other_wrong_arguments_are_one_sentence(tiny, tmp_path, change, message):
    arguments = {"model": fc.build_cnn(), "data": tiny, "recipe": SHORT, "verbose": 0}
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        fc.train(**(arguments | change), checkpoint=tmp_path / "best.keras")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_arrays_of_other_types_and_lists_give_the_same_run(tiny, tmp_path):
    """Big-endian floats once were read as little-endian ones, and the network learned NaN."""

    def run(data, seed=3):
        model = fc.build_cnn(filters=(2, 3), dense_units=5)
        recipe = dataclasses.replace(SHORT, epochs=1)
        history = fc.train(
            model, data, recipe, checkpoint=tmp_path / "best.keras", seed=seed, verbose=0
        )
        return history.history

    def changed(change):
        return tiny._replace(
            **{name: change(*getattr(tiny, name)) for name in ("train", "validation")}
        )

    expected = run(tiny)
    for change in (
        lambda images, labels: fc.Split(images.astype(">f4"), labels.astype(">i8")),
        lambda images, labels: (images.astype(np.longdouble), labels.astype(np.uint8)),
        lambda images, labels: (images.tolist(), labels.tolist()),
        lambda images, labels: fc.Split(images[::-1][::-1], labels),
    ):
        assert run(changed(change), np.int64(3)) == expected
