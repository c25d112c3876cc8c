"""How unlike Fashion-MNIST an image is, whatever a model says of it (NumPy only)."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

NETWORK = Path(__file__).with_name("unlikeness.npz")


def unlikeness(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how much images differ from those of Fashion-MNIST.

    A small separate network has learned to tell the training images, unchanged and changed as a
    photo may change them, from parts of them, turned and mixed ones, shapes, strokes and textures.

    Parameters
    ----------
    images : ndarray of float32, shape (n, 28, 28, 1)
        In [0, 1].

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 2]; 1 % of the validation images are above 1.
    """
    batch_size = 500
    starts = range(0, len(images), batch_size)
    logits = [_logits(images[start : start + batch_size]) for start in starts]
    return 2 / (1 + np.exp(-np.concatenate(logits, dtype=float)))


def _logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run two convolutions, each with ReLU and max pooling, and two dense layers: shape (n,)."""
    kernel_1, bias_1, kernel_2, bias_2, dense, bias, last, last_bias = weights()
    maps = _convolved(_convolved(images, kernel_1, bias_1), kernel_2, bias_2)
    hidden = np.maximum(maps.reshape(len(images), -1) @ dense + bias, 0)
    return (hidden @ last + last_bias)[:, 0]


def _convolved(
    maps: NDArray[np.float32], kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convolve with a padding of 1, then take the positive part and the maximum of each 2×2."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))  # (n, h, w, in, 3, 3)
    convolved = np.tensordot(windows, kernel, axes=((3, 4, 5), (2, 0, 1)))
    rows = np.maximum(convolved[:, ::2], convolved[:, 1::2])
    return np.maximum(np.maximum(rows[:, :, ::2], rows[:, :, 1::2]) + bias, 0)


@cache
def weights() -> list[NDArray[np.float32]]:
    """Read the kernels and biases of the four layers."""
    with np.load(NETWORK) as file:
        return [file[name].astype(np.float32) for name in file.files]
