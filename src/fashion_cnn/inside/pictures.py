"""Pictures of what the trained network has learned and sees."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.plotting import BLUE, canvas, draw_image, draw_probabilities

if TYPE_CHECKING:
    import keras

STRONGEST_COLOR = 0.97  # of the weights lie within the colour scale


@words_in_pictures()
def plot_filters(
    model: "keras.Sequential", untrained: "keras.Sequential", *, figure: Figure | None = None
) -> Figure:
    """Draw the first convolution's filters before and after training, with one colour scale.

    Parameters
    ----------
    model : keras.Sequential
        A trained network whose layer ``conv1`` looks at one channel.
    untrained : keras.Sequential
        The same network before training, such as a new one from `build_cnn`.

    Returns
    -------
    matplotlib.figure.Figure
        Before training above, after training below: a histogram of the weights beside the filters,
        16 in a row. The colour scale covers 97 % of the weights of the network with larger ones.
    """
    kernels = [np.asarray(net.get_layer("conv1").kernel)[:, :, 0] for net in (untrained, model)]
    largest = max(np.abs(kernel).max() for kernel in kernels)
    # A few large weights would make all others pale.
    strongest = max(np.quantile(np.abs(kernel), STRONGEST_COLOR) for kernel in kernels)
    figure = canvas(figure, (12, 3.9), _("Weights and filters before and after training"))
    parts: Any = figure.subfigures(2, 1)
    for part, kernel, when in zip(parts, kernels, (_("before"), _("after")), strict=True):
        histogram_part, grid_part = part.subfigures(1, 2, width_ratios=(1, 3))
        ax = histogram_part.subplots()
        ax.hist(kernel.ravel(), np.linspace(-largest, largest, 31), color=BLUE)
        ax.set(xlabel=_("weight"), ylabel=_("number of weights"), title=when)
        ax.spines[["top", "right"]].set_visible(False)
        _draw_mosaic(grid_part, kernel, 16, cmap="PuOr", vmin=-strongest, vmax=strongest)
    return figure


def plot_feature_maps(
    feature_maps: ArrayLike, *, columns: int = 8, figure: Figure | None = None
) -> Figure:
    """Draw the feature maps of one image, with one colour scale.

    Parameters
    ----------
    feature_maps : array_like, shape (height, width, filters)
        Such as ``layer_outputs(model, image)["conv1"][0]``.
    columns : int
        How many in a row.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each filter, with its number; dark is 0.
    """
    maps = np.asarray(feature_maps)
    rows = -(-maps.shape[-1] // columns)
    alt = _("{n} feature maps of {size} cells").format(n=maps.shape[-1], size=_by(maps.shape[:2]))
    figure = canvas(figure, (1.1 * columns, 1.25 * rows), alt)
    axes = _draw_mosaic(figure, maps, columns, cmap="viridis", vmin=0, vmax=max(maps.max(), 1e-9))
    for number, ax in enumerate(axes):
        ax.set_title(str(number), fontsize=7, pad=2)
    return figure


@words_in_pictures()
def plot_layers(
    image: ArrayLike, outputs: Mapping[str, ArrayLike], *, figure: Figure | None = None
) -> Figure:
    """Follow one image through all layers to the ten probabilities, in one picture.

    Parameters
    ----------
    image : array_like, shape (28, 28, 1) or (28, 28)
        The image.
    outputs : mapping of str to array_like
        What `layer_outputs` returned for it.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the image and one for each layer, with its name and shape. Feature maps, or
        single numbers, are tiled into a square; the probabilities are bars.
    """
    *inner, last = outputs
    alt = _("One image and the output of each layer: {layers}").format(layers=", ".join(outputs))
    figure = canvas(figure, (10, 9), alt)
    axes = figure.subplots(3, -(-(len(outputs) + 1) // 3)).ravel()
    image_ax, *layer_axes = axes[: len(outputs)]
    bar_ax, *empty_axes = axes[len(outputs) :]
    draw_image(image_ax, image)
    image_ax.set_title(_("input") + f"\n{_by(np.shape(image))}")
    for ax, name in zip(layer_axes, inner, strict=True):
        output = np.asarray(outputs[name])[0]
        ax.imshow(_side_by_side(output), cmap="viridis", vmin=0, interpolation="nearest")
        ax.set_title(f"{name}\n{_by(output.shape)}")
    for ax in (image_ax, *layer_axes):
        ax.set(xticks=[], yticks=[])
    for ax in empty_axes:
        ax.axis("off")
    probabilities = np.asarray(outputs[last])[0]
    draw_probabilities(bar_ax, probabilities, int(probabilities.argmax()), BLUE)
    bar_ax.set(xlim=(0, 1), title=f"{last}\n{_by(probabilities.shape)}")
    bar_ax.tick_params(axis="y", labelsize=8)
    return figure


@words_in_pictures()
def plot_occlusion(image: ArrayLike, drops: ArrayLike, *, figure: Figure | None = None) -> Figure:
    """Draw where a black patch on an image changes the probability of a label, and how much.

    Parameters
    ----------
    image : array_like, shape (28, 28, 1) or (28, 28)
        The image.
    drops : array_like, shape (28, 28)
        What `occlusion_map` returned for it.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the image; on the right orange where the patch lowers the probability and
        violet where it raises it, with the outline of what the image shows.
    """
    drops = np.asarray(drops)
    largest = max(np.abs(drops).max(), 1e-9)
    row, column = np.unravel_index(drops.argmax(), drops.shape)
    alt = _(
        "A black patch lowers the probability most at row {row}, column {column}: by {drop:.3f}"
    ).format(row=row, column=column, drop=drops.max())
    figure = canvas(figure, (7, 3.3), alt)
    image_ax, drop_ax = figure.subplots(1, 2)
    draw_image(image_ax, image)
    colors = drop_ax.imshow(drops, cmap="PuOr_r", vmin=-largest, vmax=largest)
    grey = np.squeeze(np.asarray(image))
    drop_ax.contour(grey, levels=[0.15], colors="black", linewidths=0.8)
    figure.colorbar(colors, ax=drop_ax, label=_("drop in the probability"))
    for ax in (image_ax, drop_ax):
        ax.set(xticks=[], yticks=[])
    return figure


def _draw_mosaic(
    figure: Any, images: NDArray[np.floating[Any]], columns: int, **style: Any
) -> list[Axes]:
    """Draw every channel of (height, width, channels) in a panel of its own."""
    count = images.shape[-1]
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False).ravel())
    for number, ax in enumerate(axes):
        ax.axis("off")
        if number < count:
            ax.imshow(images[..., number], interpolation="nearest", **style)
    return axes[:count]


def _side_by_side(output: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Tile feature maps (height, width, n), or n numbers, into roughly a square."""
    tiles = output.reshape(1, 1, -1) if output.ndim == 1 else output
    height, width, count = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    missing = rows * columns - count
    padded = np.pad(tiles, [(0, 0), (0, 0), (0, missing)], constant_values=np.nan)
    if output.ndim == 3:  # a gap between maps
        height, width = height + 1, width + 1
        padded = np.pad(padded, [(0, 1), (0, 1), (0, 0)], constant_values=np.nan)
    grid = padded.reshape(height, width, rows, columns).transpose(2, 0, 3, 1)
    return grid.reshape(rows * height, columns * width)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
