"""Pictures of what the trained network has learned and sees."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import as_batch
from fashion_cnn.language import class_names, words_in_pictures
from fashion_cnn.language import gettext as _
from fashion_cnn.plotting import BARE, BLUE, GREEN, GREY, SIGNED, canvas, draw_bars, draw_image

if TYPE_CHECKING:
    import keras


@words_in_pictures()
def plot_filters(
    kernels: Mapping[str, ArrayLike], *, columns: int = 16, figure: Figure | None = None
) -> Figure:
    """Draw the filters of a layer at several times of its training, with one colour scale.

    Parameters
    ----------
    kernels : mapping of str to array_like, shape (window, window, filters)
        A title, such as ``"epoch 1"``, and the weights of filters that look at one channel, such as
        ``model.get_layer("conv1").get_weights()[0][:, :, 0]``.
    columns : int
        How many filters in a row.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        For each title a histogram of the weights beside the numbered filters. The colour scale
        covers 97 % of the weights.
    """
    arrays = {title: np.asarray(kernel) for title, kernel in kernels.items()}
    largest = max(np.abs(kernel).max() for kernel in arrays.values())
    # A few large weights would make all others pale.
    strongest = max(np.quantile(np.abs(kernel), 0.97) for kernel in arrays.values())
    rows = sum(-(-kernel.shape[-1] // columns) for kernel in arrays.values())
    alt = _("Weights and filters: {titles}").format(titles=", ".join(arrays))
    figure = canvas(figure, (13, max(1.6 * len(arrays), 0.95 * rows)), alt)
    parts: Any = figure.subfigures(len(arrays), 1, squeeze=False)
    for part, (title, kernel) in zip(parts[:, 0], arrays.items(), strict=True):
        histogram_part, grid_part = part.subfigures(1, 2, width_ratios=(1, 4))
        ax = histogram_part.subplots()
        ax.hist(kernel.ravel(), np.linspace(-largest, largest, 31), color=BLUE)
        ax.set(title=title, yticks=[])
        ax.spines[["top", "right", "left"]].set_visible(False)
        _draw_mosaic(grid_part, kernel, columns, strongest, _("weight"))
    return figure


@words_in_pictures()
def plot_feature_maps(
    feature_maps: ArrayLike,
    numbers: ArrayLike | None = None,
    *,
    columns: int = 8,
    figure: Figure | None = None,
) -> Figure:
    """Draw the feature maps of one image, with one colour scale.

    Parameters
    ----------
    feature_maps : array_like, shape (height, width, filters)
        Such as ``layer_outputs(model, image)["conv1"][0]``.
    numbers : array_like of int, shape (filters,), optional
        The numbers of these filters, if they are a choice; by default from 0.
    columns : int
        How many in a row.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each filter, with its number; white is 0, violet above.
    """
    maps = np.asarray(feature_maps)
    rows = -(-maps.shape[-1] // columns)
    alt = _("{n} feature maps of {size} cells").format(n=maps.shape[-1], size=_by(maps.shape[:2]))
    figure = canvas(figure, (1.1 * columns, 1.25 * rows), alt)
    _draw_mosaic(figure, maps, columns, max(np.abs(maps).max(), 1e-9), _("value"), numbers)
    return figure


@words_in_pictures()
def plot_receptive_fields(
    model: "keras.Model", image: ArrayLike, row: int, column: int, *, ax: Axes | None = None
) -> Axes:
    """Draw how much of an image the cells of each layer see, as squares within squares.

    Parameters
    ----------
    model : keras.Model
        A network from `build_cnn` or `load_model`.
    image : array_like
        One image, as `predict` takes it.
    row, column : int
        Which cell of the last feature maps, from 0; of the layers before it, the cells are taken
        that lie in the same place.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The image with a frame for each convolution and pooling layer, and its size.
    """
    from fashion_cnn.inside.layers import layers_of, receptive_field  # imports Keras: heavy

    layers = [layer for layer in layers_of(model) if len(layer.output.shape) == 4]
    last_height, last_width = layers[-1].output.shape[1:3]
    fields = {}
    for layer in layers:
        height, width = layer.output.shape[1:3]
        cell = row * height // last_height, column * width // last_width
        rows, columns = receptive_field(model, layer.name, *cell)
        sides = rows.stop - rows.start, columns.stop - columns.start
        fields[f"{layer.name}: {_by(sides)}"] = rows, columns
    alt = _("Receptive fields of {layers} layers: {sizes}")
    alt = alt.format(layers=len(layers), sizes=", ".join(fields))
    ax = ax or canvas(None, (6.4, 4.4), alt).subplots()
    draw_image(ax, as_batch(image), _("what one cell of each layer sees"))
    for number, (size, (rows, columns)) in enumerate(fields.items()):
        ax.add_patch(_frame(rows, columns))
        ax.annotate(
            size,
            (columns.stop - 0.5, rows.start - 0.5),
            (29, 4 * (len(layers) - number)),
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREEN, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
    ax.set(**BARE)
    return ax


@words_in_pictures()
def plot_patches(
    images: ArrayLike,
    fields: Sequence[tuple[slice, slice]],
    titles: Sequence[str],
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw images with a part of each framed, and below them these parts, enlarged.

    Parameters
    ----------
    images : array_like, shape (n, 28, 28, 1) or (n, 28, 28)
        Each as `predict` takes it.
    fields : sequence of n tuples of slice
        Rows and columns of each part, such as `receptive_field` returns them.
    titles : sequence of n str
        What is written above each image.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Two rows of panels.
    """
    alt = _("Parts of images: {titles}").format(titles=", ".join(titles))
    figure = canvas(figure, (1.25 * len(titles), 2.9), alt)
    axes = figure.subplots(2, len(titles), squeeze=False, subplot_kw=BARE)
    for image_ax, part_ax, image, (rows, columns), title in zip(
        *axes, np.asarray(images), fields, titles, strict=True
    ):
        image = as_batch(image)[0]
        draw_image(image_ax, image, title, fontsize=8, pad=3)
        image_ax.add_patch(_frame(rows, columns))
        draw_image(part_ax, image[rows, columns])
    return figure


@words_in_pictures()
def plot_layers(
    image: ArrayLike, outputs: Mapping[str, ArrayLike], *, figure: Figure | None = None
) -> Figure:
    """Follow one image through all layers to the ten probabilities, in one picture.

    Parameters
    ----------
    image : array_like
        One image, as `predict` takes it.
    outputs : mapping of str to array_like
        What `layer_outputs` returned for it.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the image and one for each layer, with its name and shape. Feature maps, or
        single numbers, are tiled into a square, violet above 0; the probabilities are bars.
    """
    *inner, last = outputs
    alt = _("One image and the output of each layer: {layers}").format(layers=", ".join(outputs))
    figure = canvas(figure, (10, 9), alt)
    axes = figure.subplots(3, -(-(len(outputs) + 1) // 3)).ravel()
    image_ax, *layer_axes = axes[: len(outputs)]
    bar_ax, *empty_axes = axes[len(outputs) :]
    batch = as_batch(image)
    draw_image(image_ax, batch, _("input") + f"\n{_by(batch.shape[1:])}")
    for ax, name in zip(layer_axes, inner, strict=True):
        output = np.asarray(outputs[name])[0]
        tiles = _side_by_side(output)
        largest = max(np.nanmax(np.abs(tiles)), 1e-9)
        ax.imshow(tiles, cmap=SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")
        if output.ndim == 3:  # a frame around each map, so that a missing one is not taken for 0
            _frame_tiles(ax, *output.shape)
        ax.set_title(f"{name}\n{_by(output.shape)}")
    for ax in (image_ax, *layer_axes):
        ax.set(xticks=[], yticks=[])
    for ax in empty_axes:
        ax.axis("off")
    probabilities = np.asarray(outputs[last])[0]
    draw_bars(bar_ax, probabilities, class_names(), int(probabilities.argmax()), BLUE)
    bar_ax.set(xlim=(0, 1), title=f"{last}\n{_by(probabilities.shape)}")
    bar_ax.tick_params(axis="y", labelsize=8)
    return figure


@words_in_pictures()
def plot_occlusion(
    image: ArrayLike, drops: ArrayLike, *, patch: int = 7, figure: Figure | None = None
) -> Figure:
    """Draw where a black patch on an image changes the probability of a label, and how much.

    Parameters
    ----------
    image : array_like
        One image, as `predict` takes it.
    drops : array_like, shape (28, 28)
        What `occlusion_map` returned for it.
    patch : int
        Side of the patch that it was computed with, in pixels.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the image, with the patch framed that costs most; on the right violet where the
        patch lowers the probability and orange where it raises it, with the outline of what the
        image shows.
    """
    drops = np.asarray(drops)
    largest = max(np.abs(drops).max(), 1e-9)
    row, column = map(int, np.unravel_index(drops.argmax(), drops.shape))
    alt = _(
        "A black patch lowers the probability most at row {row}, column {column}: by {drop:.3f}"
    ).format(row=row, column=column, drop=drops.max())
    figure = canvas(figure, (7, 3.3), alt)
    image_ax, drop_ax = figure.subplots(1, 2, subplot_kw=BARE)
    grey, half = as_batch(image)[0, ..., 0], patch // 2
    draw_image(image_ax, grey, _("image"))
    most = (slice(max(n - half, 0), min(n + half + 1, len(drops))) for n in (row, column))
    image_ax.add_patch(_frame(*most))
    drop_ax.set_title(_("what hiding each spot costs"))
    colors = drop_ax.imshow(drops, cmap=SIGNED, vmin=-largest, vmax=largest)
    drop_ax.contour(grey, levels=[0.15], colors="black", linewidths=0.8)
    figure.colorbar(colors, ax=drop_ax, label=_("drop in the probability"))
    return figure


def _draw_mosaic(
    figure: Any,
    images: NDArray[np.floating[Any]],
    columns: int,
    largest: float,
    label: str,
    numbers: ArrayLike | None = None,
) -> None:
    """Draw every channel of (height, width, channels) in a numbered panel, and the colour scale."""
    count = images.shape[-1]
    titles = range(count) if numbers is None else np.asarray(numbers)
    axes = figure.subplots(-(-count // columns), columns, squeeze=False, subplot_kw=BARE)
    for ax in axes.ravel():
        ax.axis("off")
    for ax, image, title in zip(axes.ravel(), np.moveaxis(images, -1, 0), titles, strict=False):
        ax.axis("on")
        ax.spines[:].set_color(GREY)
        colors = ax.imshow(image, cmap=SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")
        ax.set_title(str(title), fontsize=7, pad=2)
    bar = figure.colorbar(colors, ax=axes, label=label, fraction=0.03, pad=0.01)
    if images.min() >= 0:
        bar.ax.set_ylim(0, largest)


def _frame(rows: slice, columns: slice) -> Rectangle:
    """Return a frame around a part of an image."""
    size = columns.stop - columns.start, rows.stop - rows.start
    corner = (columns.start - 0.5, rows.start - 0.5)
    return Rectangle(corner, *size, fill=False, edgecolor=GREEN, linewidth=1.8)


def _side_by_side(output: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Tile feature maps (height, width, n) with gaps, or n numbers, into roughly a square."""
    tiles, gap = (output, (0, 1)) if output.ndim == 3 else (output[np.newaxis, np.newaxis], (0, 0))
    count = tiles.shape[-1]
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    padded = np.pad(tiles, [gap, gap, (0, rows * columns - count)], constant_values=np.nan)
    height, width, _ = padded.shape
    grid = padded.reshape(height, width, rows, columns).transpose(2, 0, 3, 1)
    return grid.reshape(rows * height, columns * width)


def _frame_tiles(ax: Axes, height: int, width: int, count: int) -> None:
    """Frame each of the maps that `_side_by_side` tiled."""
    ax.spines[:].set_visible(False)
    columns = math.ceil(math.sqrt(count))
    for number in range(count):
        row, column = divmod(number, columns)
        corner = (column * (width + 1) - 1, row * (height + 1) - 1)
        ax.add_patch(Rectangle(corner, width + 1, height + 1, fill=False, ec=GREY, lw=0.8))
    ax.set(xlim=(-1.5, columns * (width + 1)), ylim=(None, -1.5))


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
