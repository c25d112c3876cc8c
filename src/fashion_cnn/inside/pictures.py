"""Pictures of what goes on inside a network: arrays of numbers, windows, layers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import as_batch
from fashion_cnn.inside.arithmetic import Padding, output_size, padded_cells
from fashion_cnn.language import class_names, words_in_pictures
from fashion_cnn.language import gettext as _
from fashion_cnn.plotting import BLUE, GREEN, GREY, SIGNED, canvas, draw_bars, draw_image

MAX_WRITTEN = 8  # cells on a side whose numbers can be read


@words_in_pictures()
def plot_grids(
    grids: Sequence[ArrayLike],
    titles: Sequence[str] = (),
    *,
    images: int = 0,
    frames: Sequence[tuple[int, int, int, int] | None] = (),
    columns: int = 8,
    shared_scale: bool = False,
    numbers: bool = True,
    figure: Figure | None = None,
) -> Figure:
    """Draw two-dimensional arrays side by side: images, windows, weights, feature maps.

    An image is grey, from 0 (black) to its largest value or 1 (white). Everything else has one
    palette: white is 0, violet is positive, orange is negative. Up to 8×8 cells can have their
    numbers written in. NaN is a cell of padding, and hatched.

    Parameters
    ----------
    grids : sequence of array_like, each of shape (height, width) or (height, width, 1)
        Any numbers.
    titles : sequence of str
        What stands above each; none by default.
    images : int
        How many of them are images; these come first.
    frames : sequence of (row, column, height, width) or None
        The part of each that gets a green frame, counted from 0; it may reach beyond the edge.
    columns : int
        The largest number in a row.
    shared_scale : bool
        Whether all others share one colour scale; by default each has its own.
    numbers : bool
        Whether arrays of up to 8×8 cells have their numbers written in.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        An axes for each place, row by row.

    Raises
    ------
    ValueError
        If an array has another shape, or there is none.
    """
    arrays = [np.asarray(grid, np.float64) for grid in grids]
    arrays = [a[..., 0] if a.ndim == 3 and a.shape[-1] == 1 else a for a in arrays]
    if not arrays or any(array.ndim != 2 for array in arrays):
        raise ValueError(
            "expected arrays of shape (height, width), got "
            f"{[array.shape for array in arrays]}; for maps (height, width, filters), "
            "pass np.moveaxis(maps, -1, 0)"
        )
    titles = [str(title) for title in titles] or [""] * len(arrays)
    described = ", ".join(filter(None, titles)) or _by(arrays[0].shape)
    described = textwrap.shorten(described, 300, placeholder=" …")
    columns = min(columns, len(arrays))
    rows = math.ceil(len(arrays) / columns)
    side = max(1.15, min(2.4, 11 / columns))
    lines = max(title.count("\n") + 1 for title in titles)
    size = (side * columns, (side + 0.2 * lines) * rows)
    figure = canvas(figure, size, _("Side by side: {titles}").format(titles=described))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    largest = [np.nanmax(np.abs(array)) or 1.0 for array in arrays]
    common = max(largest[images:], default=1.0)
    for i, (ax, array) in enumerate(zip(axes, arrays, strict=False)):
        is_image = i < images
        limit = common if shared_scale and not is_image else largest[i]
        if is_image:
            draw_image(ax, array / max(limit, 1.0))
        else:
            ax.imshow(array, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
        ax.spines[:].set_color(GREY)
        if numbers and max(array.shape) <= MAX_WRITTEN:
            _write_numbers(ax, array, limit, is_image=is_image, side=side)
        if i < len(frames) and (frame := frames[i]) is not None:
            row, column, height, width = frame
            gap = 1.25 / 72 / side * max(array.shape)  # half the line, in cells: it stays outside
            around = row - gap, column - gap, height + 2 * gap, width + 2 * gap
            ax.add_patch(_outline(*around, clip_on=False))
        ax.set_title(titles[i], fontsize=8 if side < 1.6 else 10, pad=6)
        ax.set(xticks=[], yticks=[])
    for ax in axes[len(arrays) :]:
        ax.axis("off")
    return figure


def _write_numbers(ax: Any, array: Any, strongest: float, *, is_image: bool, side: float) -> None:
    """Write each number on its cell, light on dark; hatch padding."""
    digits = "{:g}" if np.allclose(array, np.round(array), equal_nan=True) else "{:.2f}"
    points = min(11, 60 * side / 2 / max(array.shape))
    for (row, column), value in np.ndenumerate(array):
        corner = (column - 0.5, row - 0.5)
        if np.isnan(value):
            ax.add_patch(Rectangle(corner, 1, 1, fc="white", ec=GREY, lw=0, hatch="////"))
            continue
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=GREY, linewidth=0.5))
        strength = value / max(strongest, 1.0) if is_image else abs(value) / strongest
        is_dark = strength < 0.5 if is_image else strength > 0.6
        text = digits.format(round(value, 2) + 0.0).replace("-", "−")  # no −0.00
        color = "white" if is_dark else "black"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=points)


@words_in_pictures()
def plot_strides(size: int = 5, window: int = 3, *, figure: Figure | None = None) -> Figure:
    """Draw the positions of a window with same and valid padding and strides 1, 2 and 3.

    Parameters
    ----------
    size : int
        Side of the square image, in cells.
    window : int
        Side of the square window, in cells.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Same padding above, valid padding below. Hatched cells are padding, dots are the centres of
        the window's positions; its first one is outlined, and its last one by a dashed line.
    """
    alt = _("The places of a {window}×{window} window on {size}×{size} cells")
    figure = canvas(figure, (9.5, 6.6), alt.format(window=window, size=size))
    rows: Any = figure.subplots(2, 3)
    words: dict[Padding, str] = {"same": _("same padding"), "valid": _("valid padding")}
    for (padding, word), row_of_axes in zip(words.items(), rows, strict=True):
        for stride, ax in zip((1, 2, 3), row_of_axes, strict=True):
            before, after = padded_cells(size, window, stride, padding)
            places = output_size(size, window, stride, padding)
            is_padding = np.pad(np.zeros((size, size), bool), (before, after), constant_values=True)
            for (row, column), is_outside in np.ndenumerate(is_padding):
                corner = (column - before - 0.5, row - before - 0.5)
                color, hatch = ("#E4E4E4", "///") if is_outside else ("white", None)
                ax.add_patch(Rectangle(corner, 1, 1, fc=color, ec=GREY, lw=0.8, hatch=hatch))
            first, last = -before, -before + (places - 1) * stride
            middles = first + (window - 1) / 2 + stride * np.arange(places)
            ax.plot(*np.meshgrid(middles, middles), "o", color=BLUE, markersize=5)
            ax.add_patch(_outline(first, first, window, window, zorder=3))
            ax.add_patch(_outline(last, last, window, window, zorder=3, linestyle="--"))
            ax.set(xlim=(-window / 2 - 0.1, size + window / 2 - 0.9), aspect="equal")
            ax.set_ylim(*ax.get_xlim()[::-1])
            ax.axis("off")
            title = _("{padding}, stride {stride}").format(padding=word, stride=stride)
            ax.set_title(f"{title}\n{size}×{size} → {places}×{places}", fontsize=11)
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
    axes = figure.subplots(3, math.ceil((len(outputs) + 1) / 3)).ravel()
    image_ax, *layer_axes = axes[: len(outputs)]
    bar_ax, *empty_axes = axes[len(outputs) :]
    batch = as_batch(image)
    draw_image(image_ax, batch, _("input") + f"\n{_by(batch.shape[1:])}")
    for ax, name in zip(layer_axes, inner, strict=True):
        output = np.asarray(outputs[name])[0]
        _draw_tiles(ax, output)
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


def _draw_tiles(ax: Axes, output: NDArray[np.floating[Any]]) -> None:
    """Draw feature maps (height, width, n) with gaps, or n numbers, in roughly a square."""
    tiles, gap = (output, (0, 1)) if output.ndim == 3 else (output[np.newaxis, np.newaxis], (0, 0))
    count = tiles.shape[-1]
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    padded = np.pad(tiles, [gap, gap, (0, rows * columns - count)], constant_values=np.nan)
    height, width, _ = padded.shape
    grid = padded.reshape(height, width, rows, columns).transpose(2, 0, 3, 1)
    tiles = grid.reshape(rows * height, columns * width)
    largest = max(np.nanmax(np.abs(tiles)), 1e-9)
    ax.imshow(tiles, cmap=SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")
    if output.ndim == 3:  # a frame around each map, so that a missing one is not taken for 0
        ax.spines[:].set_visible(False)
        for number in range(count):
            row, column = divmod(number, columns)
            corner = (column * width - 1, row * height - 1)
            ax.add_patch(Rectangle(corner, width, height, fill=False, ec=GREY, lw=0.8))
        ax.set(xlim=(-1.5, columns * width), ylim=(None, -1.5))


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _outline(row: float, column: float, height: float, width: float, **style: Any) -> Rectangle:
    """Return a green frame around cells, the first of them at (row, column)."""
    corner = (column - 0.5, row - 0.5)
    return Rectangle(corner, width, height, fill=False, ec=GREEN, lw=2.5, **style)
