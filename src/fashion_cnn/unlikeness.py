"""How unlike Fashion-MNIST an image is, whatever a model says of it (NumPy only)."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fashion_cnn.language import gettext as _

NETWORK = Path(__file__).with_name("unlikeness.npz")
BATCH_SIZE = 500


class UnlikeDataWarning(UserWarning):
    """The image given to `predict` is unlike Fashion-MNIST's."""


def unlike_message() -> str:
    """Return what to tell a person about such an image, in the language in use."""
    return _(
        "This does not look like the clothes I learned from: try one garment on a plain "
        "background, from the front, or one shoe from the side"
    )


def unlikeness(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how unlike the images of Fashion-MNIST images (n, 28, 28, 1) in [0, 1] are.

    A small network of its own tells them, in [0, 2] and of shape (n,): it has learned to tell the
    training images, as they are and changed as a photo may change them, from pieces, turned and
    mixed ones, shapes, strokes and textures. 1 % of the validation images are above 1.
    """
    starts = range(0, len(images), BATCH_SIZE)
    logits = [_logits(images[start : start + BATCH_SIZE]) for start in starts]
    return 2 / (1 + np.exp(-np.concatenate(logits, dtype=float)))


def _logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run two convolutions, each with ReLU and max pooling, and two dense layers: shape (n,)."""
    kernel_1, bias_1, kernel_2, bias_2, dense, bias, last, last_bias = _weights()
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
def _weights() -> list[NDArray[np.float32]]:
    """Read the kernels and biases of the four layers."""
    with np.load(NETWORK) as file:
        return [file[name].astype(np.float32) for name in file.files]
