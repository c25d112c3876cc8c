"""Check each setting that the book's recipe does not use against an independent reference."""

import math
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT, assert_equal_weights, build_small
from sklearn.decomposition import PCA

import fashion_cnn as fc
from fashion_cnn import training as training_module
from fashion_cnn.report import PUBLISHED

SHORT = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=1, patience=2)
FLAGS = "flags : fpu avx512_bf16 amx_bf16"


@pytest.mark.parametrize("recipe", [fc.BOOK, fc.FAST, fc.BEST])
def test_its_repr_makes_it_again_and_shows_what_differs_from_the_defaults(recipe):
    assert eval(repr(recipe), {"Recipe": fc.Recipe}) == recipe
    assert repr(fc.BOOK) == "Recipe(learning_rate=0.001, batch_size=32, epochs=20, patience=2)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("learning_rate", 0), ("learning_rate", "fast"), ("batch_size", 0), ("batch_size", 32.0)),
        *(("epochs", 0), ("patience", -1), ("warmup", 1.5), ("warmup", 0.0), ("weight_decay", -1)),
        *(("dropout_rate", 1.0), ("shift", -1), ("shift", 28), ("erasing", 50), ("passes", 0)),
        *(("optimizer", "sgd"), ("beta_2", 1), ("label_smoothing", 1), ("frozen", None)),
        ("precision", "float16"),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"expected {name} to be .*, got {re.escape(repr(value))}"):
        SHORT.replace(**{name: value})


def test_replace_knows_no_other_settings():
    with pytest.raises(TypeError, match="'epoch'"):
        fc.BOOK.replace(epoch=2)


def patches_of(images):
    windows = np.lib.stride_tricks.sliding_window_view(images[..., 0], (3, 3), axis=(1, 2))
    return windows.reshape(-1, 9)


def test_whitening_starts_from_the_principal_components(tiny):
    model = fc.build_cnn(filters=(32, 8))
    training_module.whiten(model, tiny.train.images, seed=0)
    kernel, bias = model.layers[0].get_weights()
    filters = kernel.reshape(9, 32)

    pca = PCA().fit(patches_of(tiny.train.images))
    directions = filters[:, :9] / np.linalg.norm(filters[:, :9], axis=0)
    np.testing.assert_allclose(np.abs(pca.components_ @ directions), np.eye(9), atol=1e-3)
    np.testing.assert_allclose(filters[:, 9:18], -filters[:, :9], atol=1e-6)

    # Before ReLU, the filters' outputs are centred and uncorrelated, with a variance of 1/2 except
    # for the components that the noise guard damps.
    outputs = patches_of(tiny.train.images) @ filters[:, :9] + bias[:9]  # all of 800 are used
    variances = pca.explained_variance_
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(
        np.cov(outputs, rowvar=False), np.diag(variances / (variances + 0.01)) / 2, atol=2e-3
    )


def compiled(recipe, steps=1):
    """A network compiled as for a run of this recipe, with `steps` steps an epoch."""
    model = build_small()
    training_module.compile_for(recipe, model, steps)
    return model


def test_step_size_rises_and_falls():
    """25 steps an epoch and 4 epochs: up in 20 steps, down in 80."""
    recipe = SHORT.replace(learning_rate=1e-2, epochs=4, warmup=0.2)
    optimizer = compiled(recipe, steps=25).optimizer
    for step in range(101):
        optimizer.iterations.assign(step)
        falling = 0.5 * (1 + math.cos(math.pi * (step - 20) / 80))
        expected = 1e-2 * (step / 20 if step <= 20 else falling)
        assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-8)


def test_weight_decay_shrinks_weights_but_no_biases():
    model = compiled(SHORT.replace(learning_rate=0.1, weight_decay=0.5))
    model.set_weights([np.ones_like(weights) for weights in model.get_weights()])
    gradients = [np.zeros(variable.shape, np.float32) for variable in model.trainable_variables]
    model.optimizer.apply(gradients, model.trainable_variables)
    for variable in model.trainable_variables:
        expected = 1 if variable.name == "bias" else 1 - 0.1 * 0.5
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6)


def test_nadam_and_its_second_moment_are_keras_own():
    models = compiled(SHORT.replace(optimizer="nadam", beta_2=0.9)), compiled(SHORT)
    models[1].set_weights(models[0].get_weights())
    models[1].compile(keras.optimizers.Nadam(1e-3, beta_2=0.9))
    rng = np.random.default_rng(0)
    for _ in range(2):
        gradients = [rng.normal(size=w.shape).astype(np.float32) for w in models[0].get_weights()]
        for model in models:
            model.optimizer.apply(gradients, model.trainable_variables)
    assert_equal_weights(*models)


def test_label_smoothing_is_the_cross_entropy_with_smoothed_labels():
    loss = compiled(SHORT.replace(label_smoothing=0.2)).loss
    labels, probabilities = np.array([3, 0]), np.random.default_rng(0).dirichlet(np.ones(10), 2)
    wanted = np.full((2, 10), 0.02)
    wanted[[0, 1], labels] += 0.8
    expected = -(wanted * np.log(probabilities)).sum(axis=1)
    np.testing.assert_allclose(np.array(loss(labels, probabilities)), expected, rtol=1e-5)


def test_steps_at_a_stretch_divide_the_epoch():
    found = [compiled(SHORT, n).steps_per_execution for n in (1, 25, 375, 1_500, 1_499)]
    assert found in ([1, 5, 15, 15, 1], [1] * 5)  # before Keras 3.7


def test_settings_hold_for_the_run_only(tiny, tmp_path, monkeypatch):
    """Dropout, precision and the frozen first layer, in the copy that callbacks see."""
    (tmp_path / "cpuinfo").write_text(FLAGS)
    monkeypatch.setattr("fashion_cnn.quiet.CPU_INFO", tmp_path / "cpuinfo")
    model, whitened, seen = build_small(), build_small(), []
    training_module.whiten(whitened, tiny.train.images, seed=42)
    callback = keras.callbacks.Callback()
    callback.on_epoch_end = lambda epoch, logs: seen.append(
        (
            callback.model.get_layer("dropout").rate,
            [layer.dtype_policy.name for layer in callback.model.layers],
            len(callback.model.trainable_variables),
        )
    )
    recipe = SHORT.replace(whitening=True, frozen=True, dropout_rate=0.1, precision="fastest")
    checkpoint = tmp_path / "best.keras"
    fc.train(model, tiny, recipe, checkpoint=checkpoint, callbacks=[callback], verbose=0)
    assert seen == [(0.1, ["mixed_bfloat16"] * 7 + ["float32"], 6)]
    for found in (model, fc.load_model(checkpoint), keras.saving.load_model(checkpoint)):
        assert_equal_weights(found.layers[0], whitened.layers[0])
        assert len(found.trainable_variables) == 8
        assert found.get_layer("dropout").rate == 0.4
        assert {layer.dtype_policy.name for layer in found.layers} == {"float32"}
        assert {variable.dtype for variable in found.variables} <= {"float32", "uint32", "int64"}


@pytest.mark.parametrize(
    ("cpu_info", "precision"),
    [(FLAGS, "bfloat16"), ("flags : avx2 avx512f", "float32"), (None, "float32")],
)
def test_fastest_precision_follows_the_processors_flags(tmp_path, monkeypatch, cpu_info, precision):
    if cpu_info is not None:  # else: no Linux
        (tmp_path / "cpuinfo").write_text(cpu_info)
    monkeypatch.setattr("fashion_cnn.quiet.CPU_INFO", tmp_path / "cpuinfo")
    assert training_module.chosen_precision(fc.FAST) == precision
    assert training_module.chosen_precision(fc.BOOK) == "float32"


@pytest.mark.real_data
def test_fast_reaches_in_one_epoch_what_the_book_published(real, tmp_path):
    model = fc.build_cnn()
    history = fc.train(model, real, fc.FAST, checkpoint=tmp_path / "fast.keras", verbose=0)
    assert len(history.epoch) == 1
    lowest_published = PUBLISHED["validation accuracy"].min()
    assert fc.evaluate(model, real.validation).accuracy >= lowest_published


@pytest.mark.slow
def test_on_two_devices_as_on_one(tmp_path):
    """MirroredStrategy on two logical CPU devices."""
    subprocess.run([sys.executable, ROOT / "tests" / "mirrored.py", tmp_path], check=True)
