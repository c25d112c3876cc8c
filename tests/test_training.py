import os
import random

import keras
import numpy as np
import pytest
from conftest import assert_equal_weights, build_small

import fashion_cnn as fc
from fashion_cnn.checkpoint import default_checkpoint, load_history

ONE_EPOCH = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=1, patience=2)


def test_learns_the_stand_in_data_and_stops_early(trained, tiny):
    model, history, _ = trained
    assert fc.evaluate(model, tiny.test).accuracy >= 0.9
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == min(best + 1 + fc.BOOK.patience, fc.BOOK.epochs)
    assert history.params["steps"] == 800 / 32


def test_model_and_file_hold_the_best_epoch(trained, tiny):
    model, history, checkpoint = trained
    best_loss = min(history.history["val_loss"])
    assert np.argmin(history.history["val_loss"]) < len(history.epoch) - 1
    assert fc.evaluate(model, tiny.validation).loss == pytest.approx(best_loss, rel=1e-5)
    for loaded in (fc.load_model(checkpoint), keras.saving.load_model(checkpoint)):
        assert_equal_weights(loaded, model)
    model.evaluate(*tiny.test, verbose=0)  # it is compiled


def test_keeps_the_history_beside_the_checkpoint(trained, tmp_path):
    model, history, checkpoint = trained
    kept = load_history(checkpoint)
    assert kept.history == history.history
    assert kept.epoch == history.epoch
    assert kept.params["steps"] == history.params["steps"]
    assert load_history(tmp_path / "other.keras") is None
    for source in (checkpoint.with_suffix(".history.json"), checkpoint):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    assert load_history(tmp_path / checkpoint.name).history == history.history
    model.save(tmp_path / checkpoint.name)  # the history is not of this file
    assert load_history(tmp_path / checkpoint.name) is None
    (tmp_path / checkpoint.name).with_suffix(".history.json").write_text("[]")
    assert load_history(tmp_path / checkpoint.name) is None


def test_same_seed_same_run_from_the_weights_that_keras_draws(tiny, tmp_path):
    """Whatever ran before, and without a change of the seeds of the whole process."""
    recipe = ONE_EPOCH.replace(learning_rate=1e-9)  # weights stay as drawn
    other = recipe.replace(dropout_rate=0.0, whitening=True, frozen=True)
    # Big-endian floats once were read as little-endian ones, and the network learned NaN.
    images, labels = tiny.train
    same = tiny._replace(train=(images.astype(">f4"), labels.astype(">i2")))
    model, runs = build_small(), []
    random.seed(5)
    for data, settings in ((tiny, recipe), (tiny, other), (same, recipe)):
        path = tmp_path / "best.keras"
        history = fc.train(model, data, settings, checkpoint=path, seed=np.int64(3), verbose=0)
        runs.append((history.history, model.get_weights()))
    drawn = random.random()
    random.seed(5)
    assert drawn == random.random()
    (first, first_weights), _, (second, second_weights) = runs
    assert first == second
    keras.utils.set_random_seed(3)
    expected = build_small().get_weights()
    for a, b, c in zip(first_weights, second_weights, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-6)


def test_callbacks_come_before_the_epoch_is_saved_and_get_the_copy(tiny, tmp_path, capsys):
    """The directory is made, and a link is followed."""
    target, link, seen = tmp_path / "deeper" / "best.keras", tmp_path / "link.keras", []
    link.symlink_to(target)
    model, callback = build_small(), keras.callbacks.Callback()
    callback.on_epoch_end = lambda epoch, logs: seen.append(
        (epoch, target.exists(), sorted(logs), callback.model is model)
    )
    recipe = ONE_EPOCH.replace(epochs=2)
    fc.train(model, tiny, recipe, checkpoint=link, callbacks=[callback])
    logs = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert seen == [(0, False, logs, False), (1, True, logs, False)]
    assert link.is_symlink()
    assert_equal_weights(fc.load_model(target), model)
    assert len(load_history(link).epoch) == 2
    out = capsys.readouterr().out
    for part in ("Epoch 1/2", "25/25", "val_accuracy"):
        assert part in out


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (fc.BOOK, "best-cnn-model.keras"),
        (fc.FAST, "best-cnn-model-fast.keras"),
        (fc.BEST, "best-cnn-model-best.keras"),
        (fc.BOOK.replace(epochs=2), "best-cnn-model-543259.keras"),  # on every machine
        (fc.BOOK.replace(epochs=2, passes=1, warmup=None), "best-cnn-model-543259.keras"),
    ],
)
def test_the_default_checkpoint_of_a_recipe(tiny, recipe, name):
    source = tiny.source._replace(is_fashion_mnist=True)
    assert str(default_checkpoint(source, recipe)) == name
    stand_in = name.replace("best-cnn", "stand-in", 1)
    assert str(default_checkpoint(tiny.source, recipe)) == stand_in


@pytest.mark.slow
def test_by_default_stand_in_data_does_not_replace_a_real_model(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best-cnn-model-fast.keras").write_bytes(b"trained on Fashion-MNIST")
    model = fc.build_cnn(filters=(2, 3), dense_units=5)
    fc.train(model, tiny, fc.FAST, verbose=0)
    assert (tmp_path / "best-cnn-model-fast.keras").read_bytes() == b"trained on Fashion-MNIST"
    for trained in (model, fc.load_model("stand-in-model-fast.keras")):
        assert trained.name == "fashion_cnn_trained_on_stand_in_data"
    real = tiny._replace(source=tiny.source._replace(is_fashion_mnist=True))
    fc.train(model, real, fc.FAST, verbose=0)
    assert model.name == fc.load_model("best-cnn-model-fast.keras").name == "fashion_cnn"


OTHERS = "Keras's own model.fit trains other networks"
PIXELS, FLATTEN = keras.Input((28, 28, 1)), keras.layers.Flatten()


class Custom(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def network(*layers):
    return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": None}, "expected a Sequential, as from build_cnn, got NoneType"),
        ({"data": fc.Split._make([0, 0])}, "not one of its splits, got Split; call train"),
        ({"recipe": "FAST"}, "expected a Recipe, such as fashion_cnn.FAST without quotes, got str"),
        ({"seed": 1.5}, "expected an int from 0 to 4,294,967,295 as seed, got 1.5"),
        ({"seed": 2**32}, "as seed, got 4294967296"),
        ({"checkpoint": "best.h5"}, r"ends in \.keras.*best\.h5"),
        ({"checkpoint": "directory.keras"}, r"ends in \.keras.*directory\.keras"),
        ({"model": 0, "data": build_small()}, r"got Sequential; call train\(model, data, recipe\)"),
        # What evaluate would refuse after the training, or what cannot be built anew.
        ({"model": network()}, rf"\(n, 10\).*{OTHERS}"),
        ({"model": network(keras.layers.Dense(10))}, f"softmax.*{OTHERS}"),
        ({"model": network(Custom())}, OTHERS),
        ({"model": keras.Sequential([keras.Input((32, 32, 3)), FLATTEN])}, f"28, 1.*{OTHERS}"),
        ({"model": keras.Model(PIXELS, FLATTEN(PIXELS))}, f"got Functional .*{OTHERS}"),
    ],
)
def test_wrong_arguments_are_one_sentence_before_training(
    tiny, tmp_path, monkeypatch, change, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory.keras").mkdir()
    arguments = {"model": build_small(), "data": tiny, "recipe": ONE_EPOCH, "verbose": 0}
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        fc.train(**(arguments | change))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["directory.keras"]


def test_trains_other_sequential_networks_too_and_on_the_images_given(tiny, tmp_path):
    """Without an input layer; with layers that have weights which are not trained."""
    layers = [FLATTEN, keras.layers.BatchNormalization(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([type(layer).from_config(layer.get_config()) for layer in layers])
    few = tiny._replace(train=fc.Split(tiny.train.images[:64], tiny.train.labels[:64]))
    history = fc.train(model, few, ONE_EPOCH, checkpoint=tmp_path / "best.keras", verbose=0)
    assert history.params["steps"] == 2  # of 32 images
    loss = fc.evaluate(model, tiny.validation).loss
    assert loss == pytest.approx(history.history["val_loss"][0], rel=1e-5)


def test_whitening_needs_a_convolution_first(tiny, tmp_path):
    model = network(keras.layers.Dense(10, activation="softmax"))
    recipe = ONE_EPOCH.replace(whitening=True)
    with pytest.raises(ValueError, match=r"begins with a Conv2D with a bias.*got Flatten"):
        fc.train(model, tiny, recipe, checkpoint=tmp_path / "best.keras", verbose=0)


def test_another_backend_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(RuntimeError, match=r"got torch; set KERAS_BACKEND=tensorflow before"):
        fc.train(fc.build_cnn(), tiny)


@pytest.mark.real_data
def test_real_data_one_epoch(real, tmp_path):
    model = fc.build_cnn()
    history = fc.train(model, real, ONE_EPOCH, checkpoint=tmp_path / "best.keras", verbose=0)
    assert history.params["steps"] == 1_500
    # First epochs as published: .8983 in the note, .8740 in the book.
    assert 0.86 < history.history["val_accuracy"][0] < 0.91
