"""Compare the arithmetic by hand with Keras, for many sizes."""

import keras
import numpy as np
import pytest

import fashion_cnn as fc


@pytest.mark.parametrize("size", [3, 5, 6, 7, 28])
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_convolve_is_keras(size, window, stride, padding):
    rng = np.random.default_rng(size * window * stride)
    image = rng.normal(size=(size, size + 1, 2)).astype(np.float32)
    kernels = rng.normal(size=(window, window, 2, 3)).astype(np.float32)
    biases = rng.normal(size=3).astype(np.float32)
    layer = keras.layers.Conv2D(3, window, strides=stride, padding=padding)
    layer.build((None, *image.shape))
    layer.set_weights([kernels, biases])
    expected = np.asarray(layer(image[np.newaxis]))[0]
    ours = fc.inside.convolve(image, kernels, biases, stride=stride, padding=padding)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert fc.inside.output_size(size, window, stride, padding) == expected.shape[0]
    assert fc.inside.output_size(size + 1, window, stride, padding) == expected.shape[1]
    before, after = fc.inside.padded_cells(size, window, stride, padding)
    # On the padded image, a convolution without padding gives the same size.
    side = before + size + after
    assert (side - window) // stride + 1 == expected.shape[0]
    assert after - before in (0, 1)


def test_windows_are_what_a_loop_cuts_out():
    image = np.arange(42.0).reshape(6, 7)
    cut = fc.inside.windows(image, 3, stride=2)
    assert cut.shape == (2, 3, 3, 3, 1)
    for row, column in np.ndindex(2, 3):
        expected = image[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        np.testing.assert_array_equal(cut[row, column, ..., 0], expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("output_size", (0, 3), "at least 1, got size=0"),
        ("output_size", (5, 3, 0), "stride=0"),
        ("output_size", (2, 3), "window of at most 2 cells, got 3"),
        ("output_size", (5, 3, 1, "full"), "'same' or 'valid', got 'full'"),
        ("windows", (np.zeros((2, 5, 5, 1)), 3), r"one image.*got shape \(2, 5, 5, 1\)"),
        ("convolve", (np.eye(5), np.eye(3), [0]), "kernels of shape"),
        ("convolve", (np.eye(5), np.zeros((3, 3, 1, 2)), [0]), r"biases \(filters,\), as .*\(1,\)"),
        ("convolve", (np.zeros((5, 5, 2)), np.zeros((3, 3, 1, 1)), [0]), "image of 1 channels"),
    ],
)
def test_impossible_arithmetic_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(fc.inside, name)(*arguments)
