"""How unlike Fashion-MNIST an image is, whatever a model says of it (NumPy only)."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fashion_cnn.images import IMAGE_SHAPE
from fashion_cnn.language import gettext as _

STATISTICS = Path(__file__).with_name("unlikeness.npz")
CELLS = 7  # along each side of an image


class UnlikeDataWarning(UserWarning):
    """The image given to `predict` is unlike Fashion-MNIST's."""


def unlike_message() -> str:
    """Return what to tell a person about such an image, in the language in use."""
    return _(
        "This does not look like the clothes I learned from: try one garment on a plain "
        "background, from the front, or one shoe from the side"
    )


def unlikeness(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure how unlike the training images of Fashion-MNIST images (n, 28, 28, 1) are.

    An image is described by the square roots of its mean grey in a 7×7 grid and by its lightest
    pixel, which in the data set is always about 1. Unlikeness, of shape (n,), is the Mahalanobis
    distance to the nearest of the ten classes, each with a mean and a covariance of its own, in
    units of the distance that 1 % of the validation images exceed. It is about 0.4 for a typical
    image of the data set.
    """
    means, whitenings, unit = _statistics()
    from_means = describe(images)[:, np.newaxis] - means  # (n, 10, 50)
    whitened = np.einsum("nci,cji->ncj", from_means, whitenings, optimize=True)
    distances = np.sqrt(np.square(whitened).sum(axis=2).min(axis=1))
    return distances / unit


def describe(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the square roots of the mean grey values in a 7×7 grid, then the lightest pixel.

    A square root separates a faint trace from black more clearly than one light grey from another.
    """
    side = IMAGE_SHAPE[0] // CELLS
    cells = images.reshape(len(images), CELLS, side, CELLS, side).mean(axis=(2, 4), dtype=float)
    lightest = images.reshape(len(images), -1).max(axis=1)
    return np.column_stack([np.sqrt(cells).reshape(len(images), -1), lightest])


@cache
def _statistics() -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Read the classes' means (10, 50), whitening matrices (10, 50, 50), and the unit."""
    with np.load(STATISTICS) as file:
        means, triangles, unit = (file[name] for name in ("means", "triangles", "unit"))
    whitenings = np.zeros((*means.shape, means.shape[1]))
    whitenings[:, *np.tril_indices(means.shape[1])] = triangles
    return means, whitenings, float(unit)
