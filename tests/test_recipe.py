"""Check each setting that the book's recipe does not use against an independent reference."""

import dataclasses
import json
import math
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from sklearn.decomposition import PCA

import fashion_cnn as fc
from fashion_cnn import training as training_module
from fashion_cnn.checkpoint import TrainingState
from fashion_cnn.report import BOOK_RUNS

SMALL = {"filters": (4, 8), "dense_units": 16}
SHORT = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=2, patience=2)


def patches_of(images):
    windows = np.lib.stride_tricks.sliding_window_view(images[..., 0], (3, 3), axis=(1, 2))
    return windows.reshape(-1, 9)


def test_whitening_starts_from_the_principal_components(tiny):
    model = fc.build_cnn(filters=(32, 8))
    training_module._whiten(model, tiny.train.images, seed=0)
    kernel, bias = model.layers[0].get_weights()
    filters = kernel.reshape(9, 32)

    pca = PCA().fit(patches_of(tiny.train.images))
    directions = filters[:, :9] / np.linalg.norm(filters[:, :9], axis=0)
    np.testing.assert_allclose(np.abs(pca.components_ @ directions), np.eye(9), atol=1e-3)
    np.testing.assert_allclose(filters[:, 9:18], -filters[:, :9], atol=1e-6)

    # Before ReLU, the filters' outputs are centred and uncorrelated, with a variance of 1/2 except
    # for the components that the noise guard damps.
    outputs = patches_of(tiny.train.images) @ filters[:, :9] + bias[:9]
    covariance = np.cov(outputs, rowvar=False)
    assert len(tiny.train.images) <= training_module.WHITENING_IMAGES  # all are used
    variances = pca.explained_variance_
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(covariance, np.diag(variances / (variances + 0.01)) / 2, atol=2e-3)


def test_whitening_needs_a_convolution_first(tiny, tmp_path):
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10, activation="softmax"))
    recipe = dataclasses.replace(SHORT, whitening=True)
    with pytest.raises(ValueError, match=r"first layer is a Conv2D.*got Flatten"):
        fc.train(model, tiny, recipe, checkpoint=tmp_path / "best.keras", verbose=0)


def test_frozen_first_layer_keeps_its_weights_and_only_in_this_run(tiny, tmp_path):
    recipe = dataclasses.replace(SHORT, epochs=1, whitening=True, frozen=True)
    model, whitened = fc.build_cnn(**SMALL), fc.build_cnn(**SMALL)
    training_module._whiten(whitened, tiny.train.images, seed=42)
    checkpoint = tmp_path / "best.keras"
    fc.train(model, tiny, recipe, checkpoint=checkpoint, verbose=0)
    for found in (model, fc.load_model(checkpoint)):
        for ours, start in zip(
            found.layers[0].get_weights(), whitened.layers[0].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, start)
        assert len(found.trainable_variables) == 8
    model.fit(*tiny.train, verbose=0)
    assert (model.layers[0].get_weights()[0] != whitened.layers[0].get_weights()[0]).all()


def test_step_size_rises_and_falls(tiny, tmp_path):
    """25 steps an epoch and 4 epochs: up in 20 steps, down in 80."""
    recipe = dataclasses.replace(SHORT, learning_rate=1e-2, epochs=4, warmup=0.2)
    schedule = training_module._optimizer(recipe, steps=25)._learning_rate
    for step in (0, 5, 20, 40, 60, 99, 100):
        falling = 0.5 * (1 + math.cos(math.pi * (step - 20) / 80))
        expected = 1e-2 * (step / 20 if step <= 20 else falling)
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-8)

    seen = []
    model = fc.build_cnn(**SMALL)
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    fc.train(model, tiny, recipe, checkpoint=tmp_path / "a.keras", callbacks=[callback], verbose=0)
    np.testing.assert_allclose(
        seen,
        [1e-2 * 0.5 * (1 + math.cos(math.pi * (25 * n - 20) / 80)) for n in (1, 2, 3, 4)],
        atol=1e-8,
    )


def test_weight_decay_shrinks_weights_but_no_biases():
    model = fc.build_cnn(**SMALL)
    model.set_weights([np.ones_like(weights) for weights in model.get_weights()])
    recipe = dataclasses.replace(SHORT, learning_rate=0.1, weight_decay=0.5)
    optimizer = training_module._optimizer(recipe, steps=1)
    optimizer.build(model.trainable_variables)
    gradients = [np.zeros(variable.shape, np.float32) for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    for variable in model.trainable_variables:
        expected = 1 if variable.name == "bias" else 1 - 0.1 * 0.5
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_nadam_and_its_second_moment_are_keras_own():
    recipe = dataclasses.replace(SHORT, optimizer="nadam", beta_2=0.9)
    ours, theirs = training_module._optimizer(recipe, 1), keras.optimizers.Nadam(1e-3, beta_2=0.9)
    found = [keras.Variable(np.ones(3)), keras.Variable(np.ones(3))]
    for optimizer, variable in zip((ours, theirs), found, strict=True):
        for gradient in ([1.0, -2.0, 0.0], [0.5, 3.0, 1.0]):
            optimizer.apply([np.array(gradient, np.float32)], [variable])
    np.testing.assert_array_equal(*map(np.array, found))


def test_label_smoothing_is_the_cross_entropy_with_smoothed_labels():
    loss = training_module._loss(dataclasses.replace(SHORT, label_smoothing=0.2))
    labels, probabilities = np.array([3, 0]), np.random.default_rng(0).dirichlet(np.ones(10), 2)
    wanted = np.full((2, 10), 0.02)
    wanted[[0, 1], labels] += 0.8
    expected = -(wanted * np.log(probabilities)).sum(axis=1)
    np.testing.assert_allclose(np.array(loss(labels, probabilities)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("built_with", "recipe_has", "expected"), [(0.4, None, 0.4), (0.4, 0.1, 0.1), (0.0, 0.1, 0.0)]
)
def test_dropout_rate_is_the_recipes_during_the_run(
    tiny, tmp_path, built_with, recipe_has, expected
):
    model = fc.build_cnn(**SMALL, dropout_rate=built_with)
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_layer("dropout").rate)
    )
    recipe = dataclasses.replace(SHORT, epochs=1, dropout_rate=recipe_has)
    checkpoint = tmp_path / "best.keras"
    fc.train(model, tiny, recipe, checkpoint=checkpoint, callbacks=[callback], verbose=0)
    assert seen == [expected]
    assert model.get_layer("dropout").rate == built_with
    assert fc.load_model(checkpoint).get_layer("dropout").rate == built_with


def test_one_recipe_leaves_nothing_behind_for_the_next(tiny, tmp_path):
    recipe = dataclasses.replace(SHORT, epochs=1)
    other = dataclasses.replace(recipe, dropout_rate=0.0, whitening=True, flip=True)
    histories = []
    for recipes in ([recipe], [other, recipe]):
        model = fc.build_cnn(**SMALL)
        for each in recipes:
            history = fc.train(model, tiny, each, checkpoint=tmp_path / "best.keras", verbose=0)
        histories.append(history.history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize(("speedup", "expected"), [(1.5, "mixed_bfloat16"), (0.3, "float32")])
def test_fastest_precision_is_measured(tiny, tmp_path, monkeypatch, speedup, expected):
    monkeypatch.setattr(training_module, "bfloat16_speedup", lambda: speedup)
    checkpoint = tmp_path / "best.keras"
    model = fc.build_cnn(**SMALL)
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            [layer.dtype_policy.name for layer in model.layers]
        )
    )
    recipe = dataclasses.replace(SHORT, precision="fastest")
    fc.train(model, tiny, recipe, checkpoint=checkpoint, callbacks=[callback], verbose=0)
    assert seen[0] == [expected] * 7 + ["float32"]
    # Whatever the precision of the run, the model and its files compute in float32 afterwards.
    for trained in (model, fc.load_model(checkpoint), keras.saving.load_model(checkpoint)):
        assert {layer.dtype_policy.name for layer in trained.layers} == {"float32"}
        assert {variable.dtype for variable in trained.variables} <= {"float32", "uint32", "int64"}
        assert trained.predict(tiny.test.images, verbose=0).dtype == np.float32


def test_bfloat16_is_slow_where_it_is_emulated(monkeypatch):
    """A processor that takes ten times as long for bfloat16 must be detected."""
    conv2d = tf.nn.conv2d

    def slow_in_bfloat16(images, kernel, **options):
        repeats = 10 if images.dtype == tf.bfloat16 else 1
        return tf.add_n([conv2d(images + n, kernel, **options) for n in range(repeats)])

    monkeypatch.setattr(tf.nn, "conv2d", slow_in_bfloat16)
    training_module.bfloat16_speedup.cache_clear()
    try:
        recipe = dataclasses.replace(SHORT, precision="fastest")
        assert training_module.chosen_precision(recipe) == "float32"
    finally:
        training_module.bfloat16_speedup.cache_clear()


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0},
        {"learning_rate": "fast"},
        {"batch_size": 0},
        {"batch_size": 32.0},
        {"epochs": 0},
        {"patience": -1},
        {"warmup": 1.5},
        {"warmup": 0.0},
        {"weight_decay": -0.1},
        {"dropout_rate": 1.0},
        {"shift": -1},
        {"shift": 28},
        {"erasing": 50},
        {"zoom": 1},
        {"stretch": -0.1},
        {"rotation": 181},
        {"tilt": 1},
        {"tone": 2},
        {"optimizer": "sgd"},
        {"beta_2": 1},
        {"label_smoothing": 1},
        {"passes": 0},
        {"frozen": None},
        {"precision": "float16"},
    ],
    ids=str,
)
def test_numbers_out_of_range(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {re.escape(repr(value))}"):
        dataclasses.replace(SHORT, **wrong)


@pytest.mark.slow
def test_a_resumed_run_keeps_its_precision(tiny, tmp_path, monkeypatch):
    recipe = dataclasses.replace(
        SHORT,
        **{"precision": "fastest", "whitening": True, "frozen": True, "passes": 1.2},
        **{"warmup": 0.3, "flip": True, "optimizer": "nadam", "label_smoothing": 0.1},
    )
    monkeypatch.setattr(training_module, "bfloat16_speedup", lambda: 1.5)

    def run(name, callbacks=()):
        model = fc.build_cnn(**SMALL)
        checkpoint = tmp_path / f"{name}.keras"
        history = fc.train(
            model, tiny, recipe, checkpoint=checkpoint, callbacks=callbacks, verbose=0
        )
        return history.history, model.get_weights()

    def interrupt(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    history, weights = run("never")
    with pytest.raises(KeyboardInterrupt):
        run("once", [keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    state = TrainingState.load(tmp_path / "once.training-state.npz")
    assert state.run["precision"] == "bfloat16"
    monkeypatch.setattr(training_module, "bfloat16_speedup", lambda: 0.5)
    resumed_history, resumed_weights = run("once")
    assert resumed_history == history
    for a, b in zip(weights, resumed_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_at_a_stretch_divide_the_epoch(monkeypatch):
    assert [training_module._steps_per_execution(n) for n in (1, 25, 375, 1_500, 1_499)] == [
        1,
        5,
        15,
        15,
        1,
    ]


@pytest.mark.real_data
def test_fast_reaches_in_one_epoch_what_the_book_published(real, tmp_path):
    model = fc.build_cnn()
    history = fc.train(model, real, fc.FAST, checkpoint=tmp_path / "fast.keras", verbose=0)
    assert len(history.epoch) == 1
    lowest_published = min(run.validation.accuracy for run in BOOK_RUNS)
    assert fc.evaluate(model, real.validation).accuracy >= lowest_published


@pytest.mark.slow
def test_on_two_devices_as_on_one(tmp_path):
    """MirroredStrategy on two logical CPU devices; see mirrored.py."""
    command = [sys.executable, str(ROOT / "tests" / "mirrored.py"), str(tmp_path)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures = json.loads(output.splitlines()[-1])
    assert figures["devices"] == 2
    assert figures["largest difference of a weight"] < 1e-5
    for name, values in figures["history"].items():
        assert figures["mirrored history"][name] == pytest.approx(values, abs=1e-4)
    names = ("one", "two", "dropout", "outside")
    endings = (".keras", ".history.json")
    assert {path.name for path in tmp_path.iterdir()} == {n + e for n in names for e in endings}


@pytest.mark.parametrize("recipe", [fc.BOOK, fc.FAST, fc.BEST, fc.ROBUST])
def test_its_repr_makes_it_again_and_shows_what_differs_from_the_defaults(recipe):
    assert eval(repr(recipe), {"Recipe": fc.Recipe}) == recipe
    assert repr(fc.BOOK) == "Recipe(learning_rate=0.001, batch_size=32, epochs=20, patience=2)"
