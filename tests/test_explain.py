"""The arithmetic by hand against Keras and SciPy, over many sizes."""

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.signal import correlate2d

import fashion_cnn as fc

CASES = [
    (size, window, stride, padding)
    for size in (3, 5, 6, 7, 28)
    for window in (1, 2, 3)
    for stride in (1, 2, 3)
    for padding in ("same", "valid")
]


def keras_convolution(image, kernels, biases, stride, padding):
    layer = keras.layers.Conv2D(
        kernels.shape[-1], kernels.shape[0], strides=stride, padding=padding
    )
    layer.build((None, *image.shape))
    layer.set_weights([kernels, biases])
    return np.asarray(layer(image[np.newaxis]))[0]


@pytest.mark.parametrize(("size", "window", "stride", "padding"), CASES)
def test_convolve_is_keras(size, window, stride, padding):
    rng = np.random.default_rng(size * window * stride)
    image = rng.normal(size=(size, size + 1, 2)).astype(np.float32)
    kernels = rng.normal(size=(window, window, 2, 3)).astype(np.float32)
    biases = rng.normal(size=3).astype(np.float32)
    expected = keras_convolution(image, kernels, biases, stride, padding)
    ours = fc.convolve(image, kernels, biases, stride=stride, padding=padding)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert fc.output_size(size, window, stride, padding) == expected.shape[0]
    assert fc.output_size(size + 1, window, stride, padding) == expected.shape[1]
    before, after = fc.padded_cells(size, window, stride, padding)
    # The padded image, without padding, has just the places of the padded convolution.
    side = before + size + after
    assert (side - window) // stride + 1 == expected.shape[0]
    assert after - before in (0, 1)


def test_convolve_is_scipys_correlation():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(9, 8)), rng.normal(size=(3, 3))
    ours = fc.convolve(image, kernel[..., np.newaxis, np.newaxis], [0.5])[..., 0]
    np.testing.assert_allclose(ours, correlate2d(image, kernel, mode="same") + 0.5)


def test_windows_are_what_a_loop_cuts_out():
    image = np.arange(42.0).reshape(6, 7)
    cut = fc.windows(image, 3, stride=2)
    assert cut.shape == (2, 3, 3, 3, 1)
    for row, column in np.ndindex(2, 3):
        expected = image[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        np.testing.assert_array_equal(cut[row, column, ..., 0], expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.output_size(0, 3), "at least 1, got size=0"),
        (lambda: fc.output_size(5, 3, 0), "stride=0"),
        (lambda: fc.output_size(2, 3), "window of at most 2 cells, got 3"),
        (
            lambda: fc.output_size(5, 3, 1, "full"),  # type: ignore[arg-type]
            "'same' or 'valid', got 'full'",
        ),
        (lambda: fc.windows(np.zeros((2, 5, 5, 1)), 3), r"one image.*got shape \(2, 5, 5, 1\)"),
        (lambda: fc.convolve(np.zeros((5, 5)), np.zeros((3, 3)), [0]), "kernels of shape"),
        (lambda: fc.convolve(np.zeros((5, 5)), np.zeros((3, 3, 1, 2)), [0]), "expected 2 biases"),
        (
            lambda: fc.convolve(np.zeros((5, 5, 2)), np.zeros((3, 3, 1, 1)), [0]),
            "image of 1 channels",
        ),
    ],
)
def test_impossible_arithmetic_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_layer_outputs_are_the_models(trained, tiny):
    model, *_ = trained
    images = tiny.test.images[:5]
    outputs = fc.layer_outputs(model, images)
    assert list(outputs) == [layer.name for layer in model.layers]
    kernels, biases = model.get_layer("conv1").get_weights()
    for image, maps in zip(images, outputs["conv1"], strict=True):
        np.testing.assert_allclose(
            maps, np.maximum(0, fc.convolve(image, kernels, biases)), atol=1e-5
        )
    np.testing.assert_allclose(outputs["output"], model.predict(images, verbose=0), atol=1e-6)
    # Dropout does nothing in prediction, and one image is taken as predict takes it.
    np.testing.assert_array_equal(outputs["dropout"], outputs["hidden"])
    one = fc.layer_outputs(model, images[0, ..., 0])
    np.testing.assert_allclose(one["pool2"][0], outputs["pool2"][0], atol=1e-5)


def test_most_exciting_by_looking_at_every_image(trained, tiny):
    model, *_ = trained
    images = tiny.test.images[:60]
    largest = fc.layer_outputs(model, images)["conv2"][..., 7].max(axis=(1, 2))
    found = fc.most_exciting(model, images, "conv2", 7, n=5)
    np.testing.assert_allclose(largest[found], np.sort(largest)[::-1][:5], rtol=1e-5)


def test_occlusion_map_by_hiding_one_patch_at_a_time(trained, tiny):
    model, *_ = trained
    image = tiny.test.images[3]
    label = int(tiny.test.labels[3])
    drops = fc.occlusion_map(model, image, label, patch=5)
    assert drops.shape == (28, 28)
    whole = model.predict(image[np.newaxis], verbose=0)[0, label]
    for row, column in [(0, 0), (13, 14), (27, 5)]:
        hidden = image.copy()
        hidden[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = 0
        without = model.predict(hidden[np.newaxis], verbose=0)[0, label]
        assert drops[row, column] == pytest.approx(whole - without, abs=1e-5)


@pytest.mark.parametrize(
    ("label", "patch", "message"),
    [(10, 5, "label from 0 to 9, got 10"), (0, 4, "odd patch"), (0, 29, "odd patch")],
)
def test_occlusion_map_refuses(trained, tiny, label, patch, message):
    model, *_ = trained
    with pytest.raises(ValueError, match=message):
        fc.occlusion_map(model, tiny.test.images[0], label, patch=patch)


def test_layer_table_is_the_published_one():
    """The table of the tutorial: outputs and parameters; the two ways to a receptive field."""
    table = fc.layer_table(fc.build_cnn())
    expected = pd.DataFrame(
        {
            "output": [
                (28, 28, 32),
                (14, 14, 32),
                (14, 14, 64),
                (7, 7, 64),
                (3136,),
                (100,),
                (100,),
                (10,),
            ],
            "parameters": [320, 0, 18_496, 0, 0, 313_700, 0, 1_010],
            # Dumoulin and Visin's arithmetic: 3; 3 + 1; 4 + 2·2; 8 + 2; then all of the image.
            "receptive field": [3, 4, 8, 10, 10, 28, 28, 28],
        },
        index=pd.Index(
            ["conv1", "pool1", "conv2", "pool2", "flatten", "hidden", "dropout", "output"],
            name="layer",
        ),
    )
    pd.testing.assert_frame_equal(table[list(expected)], expected)
    assert (table["parameters"] == table["counted by Keras"]).all()
    assert (table["receptive field"] == table["measured"]).all()


def test_layer_table_without_a_hidden_layer():
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(2, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    table = fc.layer_table(model)
    assert table["receptive field"].tolist() == table["measured"].tolist() == [3, 4, 4, 28]


def test_layer_table_of_another_network():
    """The measurement does not know the formula, so the two agree only if both are right."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 5, strides=2, padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(3, 3, padding="valid", use_bias=False),
            layers.Flatten(),
            layers.Dense(6),
            layers.Dense(10, activation="softmax"),
        ]
    )
    table = fc.layer_table(model)
    assert table["receptive field"].tolist() == table["measured"].tolist()
    assert table["parameters"].tolist() == table["counted by Keras"].tolist()
