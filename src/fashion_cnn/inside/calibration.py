"""A picture of how far a network's confidence is from its accuracy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.plotting import BLUE, GREY, canvas


@words_in_pictures()
def plot_reliability(
    true_labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw how often a network is right against how sure it was: a reliability diagram.

    The images are sorted by confidence, the probability of the predicted label, into bins of equal
    width; in each, accuracy and mean confidence are compared (Guo et al. 2017, arXiv:1706.04599).

    Parameters
    ----------
    true_labels : array_like of int, shape (n,)
        Labels 0 to 9.
    probabilities : array_like, shape (n, 10)
        What ``model.predict`` returned.
    bins : int
        How many bins, at least 1.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A dot per bin: its mean confidence and its accuracy, which are equal on the dashed line. The
        number beside a dot, and its area, tell how many images the bin holds. The title has the
        expected calibration error (ECE): the mean distance of the two over all images, in [0, 1].

    Raises
    ------
    ValueError
        If there are no labels, or not as many as rows of probabilities.
    """
    true_labels, probabilities = np.asarray(true_labels), np.asarray(probabilities)
    if probabilities.ndim != 2 or not 0 < len(probabilities) == len(true_labels):
        raise ValueError(
            "expected labels of shape (n,) and probabilities of shape (n, 10), "
            f"got {true_labels.shape} and {probabilities.shape}"
        )
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == true_labels
    bin_numbers = np.minimum((confidence * bins).astype(int), bins - 1)
    sums = [np.bincount(bin_numbers, weights) for weights in (None, confidence, is_right)]
    counts, *others = (each[sums[0] > 0] for each in sums)
    confidences, accuracies = (each / counts for each in others)
    error = np.average(np.abs(accuracies - confidences), weights=counts)
    alt = _("Accuracy against confidence; expected calibration error {error:.4f}")
    ax = ax or canvas(None, (5.6, 4.6), alt.format(error=error)).subplots()
    ax.plot([0, 1], [0, 1], "--", color=GREY, zorder=0)
    areas = 400 * counts / counts.max() + 12  # in square points
    ax.scatter(confidences, accuracies, areas, color=BLUE)
    for x, y, count in zip(confidences, accuracies, counts, strict=True):
        ax.annotate(f"{count:,.0f}", (x, y), (8, -13), textcoords="offset points", fontsize=8)
    ax.set(
        xlabel=_("confidence: probability of the predicted label"),
        ylabel=_("accuracy"),
        title=_("number of images at each dot; ECE {error:.4f}").format(error=error),
        xlim=(0, 1.08),
        ylim=(0, 1.08),
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax
