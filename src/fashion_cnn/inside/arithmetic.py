"""Compute convolution and pooling by hand in NumPy, so that every term can be checked."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Padding = Literal["same", "valid"]


def output_size(size: int, window: int, stride: int = 1, padding: Padding = "valid") -> int:
    """Return how many positions a window of `window` cells takes along `size` cells.

    With valid padding only whole windows count, ``(size - window) // stride + 1``; with same
    padding there is one position for every stride-th cell, ``ceil(size / stride)``.

    Parameters
    ----------
    size, window, stride : int
        In cells, at least 1.
    padding : {"same", "valid"}
        As in Keras.

    Returns
    -------
    int
        The size of the output, along one axis.

    Raises
    ------
    ValueError
        If a number is below 1, `padding` is anything else, or no whole window fits.

    Examples
    --------
    >>> output_size(28, window=3, stride=2, padding="valid")
    13
    """
    if min(size, window, stride) < 1:
        raise ValueError(
            "expected size, window and stride of at least 1, "
            f"got size={size}, window={window}, stride={stride}"
        )
    if padding == "same":
        return -(-size // stride)
    if padding != "valid":
        raise ValueError(f"expected padding 'same' or 'valid', got {padding!r}")
    if window > size:
        raise ValueError(
            f"expected a window of at most {size} cells, got {window}; no whole window fits. "
            "Use a smaller window or padding='same'"
        )
    return (size - window) // stride + 1


def padded_cells(
    size: int, window: int, stride: int = 1, padding: Padding = "valid"
) -> tuple[int, int]:
    """Return how many cells of padding Keras adds before and after `size` cells.

    Parameters
    ----------
    size, window, stride, padding
        As for `output_size`, which raises the same errors.

    Returns
    -------
    tuple of int
        Before and after. If their sum is odd, the extra cell comes after.

    Examples
    --------
    >>> padded_cells(5, window=3, stride=1, padding="same")
    (1, 1)
    """
    places = output_size(size, window, stride, padding)
    if padding == "valid":
        return 0, 0
    total = max((places - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def windows(
    image: ArrayLike, window: int, stride: int = 1, padding: Padding = "valid"
) -> NDArray[np.float64]:
    """Cut out every window that a convolution or pooling layer looks at.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, channels)
        Any numbers.
    window, stride : int
        In cells, the same down and across.
    padding : {"same", "valid"}
        As in Keras; the padded cells are 0.

    Returns
    -------
    ndarray of float64, shape (rows, columns, window, window, channels)
        One window for each cell of the output.

    Raises
    ------
    ValueError
        If the image does not have two or three axes; otherwise as for `output_size`.

    Examples
    --------
    >>> windows(np.eye(4), window=2, stride=2).shape
    (2, 2, 2, 2, 1)
    """
    cells = np.atleast_3d(np.asarray(image, dtype=np.float64))
    if cells.ndim != 3:
        raise ValueError(
            f"expected one image of shape (height, width) or (height, width, channels), "
            f"got shape {cells.shape}; pass one image, such as images[0]"
        )
    around = [padded_cells(size, window, stride, padding) for size in cells.shape[:2]]
    padded = np.pad(cells, [*around, (0, 0)])
    every = sliding_window_view(padded, (window, window), axis=(0, 1))[::stride, ::stride]
    return np.moveaxis(every, 2, -1)  # channels last, as in Keras


def convolve(
    image: ArrayLike,
    kernels: ArrayLike,
    biases: ArrayLike,
    *,
    stride: int = 1,
    padding: Padding = "same",
) -> NDArray[np.float64]:
    """Compute a convolution by its definition: products, their sum, plus the bias.

    There is no activation; for the output of a layer with ReLU, take ``np.maximum(0, …)``.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, channels)
        Any numbers.
    kernels : array_like, shape (window, window, channels, filters)
        The weights, as ``layer.get_weights()`` gives them.
    biases : array_like, shape (filters,)
        One for each filter.
    stride, padding
        As for `windows`.

    Returns
    -------
    ndarray of float64, shape (rows, columns, filters)
        A feature map for each filter.

    Raises
    ------
    ValueError
        If the shapes do not fit together; otherwise as `windows`.

    Examples
    --------
    >>> edge = np.array([[1, 0, -1]] * 3).reshape(3, 3, 1, 1)
    >>> convolve(np.tri(3), edge, [0], padding="valid").item()
    2.0
    """
    kernels, biases = np.asarray(kernels), np.asarray(biases)
    if kernels.ndim != 4 or biases.shape != kernels.shape[3:]:
        raise ValueError(
            "expected kernels of shape (window, window, channels, filters) and biases (filters,), "
            f"as layer.get_weights() gives them, got {kernels.shape} and {biases.shape}"
        )
    seen = windows(image, kernels.shape[0], stride, padding)
    if seen.shape[2:] != kernels.shape[:3]:
        raise ValueError(
            f"expected an image of {kernels.shape[2]} channels and square kernels, got "
            f"{seen.shape[-1]} channels and kernels of shape {kernels.shape}"
        )
    products = seen[..., np.newaxis] * kernels  # (rows, columns, window, window, channels, filters)
    return products.sum(axis=(2, 3, 4)) + biases
