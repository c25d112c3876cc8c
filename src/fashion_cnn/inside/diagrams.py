"""Pictures of the arithmetic of a convolution and of pooling, cell by cell."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from fashion_cnn.inside.arithmetic import Padding, convolve, output_size, padded_cells, windows
from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.plotting import BARE, BLUE, GREEN, GREY, SIGNED, canvas


class Animation:
    """A moving picture that plays in a notebook and on a page made from it.

    It is an animated PNG; a viewer that cannot play it shows its first frame. (All notebook viewers
    show PNG; not all show GIF, and most remove scripts.)
    """

    def __init__(self, frames: list[Image.Image], seconds: float, alt: str) -> None:
        self.frames = frames
        self.seconds = seconds
        self.alt = alt

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        buffer = io.BytesIO()
        self._write(buffer, "PNG")
        return buffer.getvalue(), {"alt": self.alt}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the picture; as ``.png`` and ``.gif``, which the name ends in, it moves."""
        self._write(Path(path).expanduser())

    def _write(self, file: io.BytesIO | Path, kind: str | None = None) -> None:
        (first, *others), duration = self.frames, round(1000 * self.seconds)
        options: Any = {"duration": duration, "loop": 0, "optimize": True}
        first.save(file, kind, save_all=True, append_images=others, **options)


@words_in_pictures()
def plot_convolution_step(
    image: ArrayLike,
    kernel: ArrayLike,
    bias: float,
    row: int,
    column: int,
    *,
    relu: bool = True,
    figure: Figure | None = None,
) -> Figure:
    """Draw how one cell of a feature map is computed, with same padding and stride 1.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, 1)
        Grey values.
    kernel : array_like, shape (window, window)
        The weights of one filter that looks at one channel.
    bias : float
        Its bias.
    row, column : int
        Which cell of the feature map, from 0.
    relu : bool
        Whether ReLU turns negative sums into 0, as in the network.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        The image with the window outlined, the window's values, the weights, the products, and the
        feature map with the cell outlined.
    """
    grey, kernel, feature_map = _convolved(image, kernel, bias)
    size = len(kernel)
    window = windows(grey, size, padding="same")[row, column, ..., 0]
    if relu:
        feature_map = np.maximum(0, feature_map)
    text = _sum_text((window * kernel).sum(), bias, relu)
    figure = canvas(figure, (13, 3.4), _("Window times filter: {text}").format(text=text))
    axes = figure.subplots(1, 5, width_ratios=(1.25, 0.8, 0.8, 0.8, 1.25), subplot_kw=BARE)
    image_ax, map_ax = axes[0], axes[-1]
    image_ax.imshow(grey, cmap="gray")
    before = padded_cells(len(grey), size, padding="same")[0]
    frame = _outline(row - before, column - before, size)
    frame.set_clip_on(False)  # at the edge, a part of the window lies on padding
    image_ax.add_patch(frame)
    image_ax.set_title(_("image"))
    _draw_products(axes[1:4], window, kernel, "gray")
    highest = np.abs(feature_map).max()
    map_ax.imshow(feature_map, cmap=SIGNED, vmin=-highest, vmax=highest)
    map_ax.add_patch(_outline(row, column, 1))
    map_ax.set_title(_("feature map") + f" [{row}, {column}]")
    figure.supxlabel(text)
    return figure


@words_in_pictures()
def plot_channel_sums(
    maps: ArrayLike,
    kernel: ArrayLike,
    bias: float,
    row: int,
    column: int,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw how a filter that looks at many maps computes one cell: same padding, stride 1.

    Parameters
    ----------
    maps : array_like, shape (height, width, channels)
        The output of the layer before.
    kernel : array_like, shape (window, window, channels)
        The weights of one filter.
    bias, row, column
        As for `plot_convolution_step`.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        A bar for each channel, the sum of its products; the three that count most are numbered.
        Beside them, the window, the weights and the products of the channel with the largest sum,
        positive or negative.
    """
    kernel = np.asarray(kernel, dtype=np.float64)
    window = windows(maps, len(kernel), padding="same")[row, column]
    sums = (window * kernel).sum(axis=(0, 1))
    largest = int(np.abs(sums).argmax())
    alt = _("{n} sums, one for each map; the largest is {sum:+.3f}, of map {number}").format(
        n=len(sums), sum=sums[largest], number=largest
    )
    figure = canvas(figure, (13, 3.4), alt)
    axes = figure.subplots(1, 4, width_ratios=(2.6, 1, 1, 1))
    sum_ax = axes[0]
    above, below = plt.get_cmap(SIGNED)([0.85, 0.15])
    sum_ax.bar(range(len(sums)), sums, color=np.where(sums[:, np.newaxis] > 0, above, below))
    for strongest in np.abs(sums).argsort()[-3:]:
        sum_ax.text(strongest, sums[strongest], strongest, ha="center", va="bottom", fontsize=9)
    sum_ax.axhline(0, color="black", linewidth=0.8)
    sum_ax.set(xlabel=_("map of the layer before"), title=_("sum of the nine products of each map"))
    sum_ax.xaxis.set_major_locator(MultipleLocator(4))
    sum_ax.spines[["top", "right"]].set_visible(False)
    _draw_products(axes[1:], window[..., largest], kernel[..., largest], SIGNED)
    number = _("map {number}").format(number=largest)
    axes[1].set_title(f"{number}: {axes[1].get_title()}")
    figure.supxlabel(_sum_text(sums.sum(), bias, relu=True))
    return figure


@words_in_pictures()
def plot_kernels(kernels: Mapping[str, ArrayLike], *, figure: Figure | None = None) -> Figure:
    """Draw kernels side by side with their weights written in, and one colour scale.

    Parameters
    ----------
    kernels : mapping of str to array_like, shape (window, window)
        A title and the weights of each.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each kernel.
    """
    alt = _("Kernels: {titles}").format(titles=", ".join(kernels))
    figure = canvas(figure, (2.3 * len(kernels), 2.6), alt)
    largest = max(np.abs(np.asarray(kernel)).max() for kernel in kernels.values())
    axes = figure.subplots(1, len(kernels), squeeze=False)[0]
    for ax, (title, kernel) in zip(axes, kernels.items(), strict=True):
        _draw_numbers(ax, np.asarray(kernel, dtype=np.float64), SIGNED, -largest, largest)
        ax.set_title(title)
    return figure


@words_in_pictures()
def animate_convolution(
    image: ArrayLike, kernel: ArrayLike, bias: float = 0.0, *, seconds: float = 1.5
) -> Animation:
    """Slide a window over a small image and fill the feature map, with same padding.

    Parameters
    ----------
    image : array_like, shape (height, width) or (height, width, 1)
        Numbers; at most about 6×6 cells, as each cell is a frame.
    kernel : array_like, shape (window, window)
        The weights of one filter.
    bias : float
        Its bias.
    seconds : float
        How long a frame is shown.

    Returns
    -------
    Animation
        A frame for each cell of the feature map: the image with the window, the filter, and the
        map so far, above the sum of the products that are not 0. A notebook plays it.
    """
    grey, kernel, feature_map = _convolved(image, kernel, bias)
    around = [padded_cells(size, len(kernel), padding="same") for size in grey.shape]
    padded = np.pad(grey, around)
    is_padding = np.pad(np.zeros_like(grey, bool), around, constant_values=True)
    largest = max(np.abs(feature_map).max(), np.abs(kernel).max())
    frames = []
    filled = np.full_like(feature_map, np.nan)
    for (row, column), total in np.ndenumerate(feature_map):
        figure = Figure(figsize=(9.4, 4), dpi=72, layout="constrained")
        widths = padded.shape[1], len(kernel), grey.shape[1]
        image_ax, kernel_ax, map_ax = figure.subplots(1, 3, width_ratios=widths)
        _draw_numbers(image_ax, padded, "gray", 0, max(1.0, grey.max()), "{:g}", is_padding)
        image_ax.add_patch(_outline(row, column, len(kernel)))
        image_ax.set_title(_("image, with one cell of padding"))
        _draw_numbers(kernel_ax, kernel, SIGNED, -largest, largest, "{:g}")
        kernel_ax.set_title(_("filter"))
        filled[row, column] = total
        _draw_numbers(map_ax, filled, SIGNED, -largest, largest, "{:g}")
        map_ax.add_patch(_outline(row, column, 1))
        map_ax.set_title(_("feature map"))
        window = padded[row : row + len(kernel), column : column + len(kernel)]
        terms = " + ".join(
            f"{pixel:g}×{weight:g}" if weight > 0 else f"{pixel:g}×({weight:g})"
            for pixel, weight in zip(window.flat, kernel.flat, strict=True)
            if pixel and weight
        )
        added = f" {bias:+g}" if bias else ""
        figure.supxlabel(f"{terms or '0'}{added} = {total:g}", fontsize=17)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        frames.append(Image.open(buffer).convert("RGB"))
    palette = frames[len(frames) // 2].quantize(24)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    alt = _("A window slides over an image of {n} cells and fills the feature map cell by cell")
    return Animation(frames, seconds, alt.format(n=grey.size))


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
            for row, column in np.ndindex(*is_padding.shape):
                ax.add_patch(_cell(row - before, column - before, bool(is_padding[row, column])))
            first, last = -before, -before + (places - 1) * stride
            middles = first + (window - 1) / 2 + stride * np.arange(places)
            ax.plot(*np.meshgrid(middles, middles), "o", color=BLUE, markersize=5)
            ax.add_patch(_outline(first, first, window))
            ax.add_patch(_outline(last, last, window, linestyle="--"))
            ax.set(xlim=(-window / 2 - 0.1, size + window / 2 - 0.9), aspect="equal")
            ax.set_ylim(*ax.get_xlim()[::-1])
            ax.axis("off")
            title = _("{padding}, stride {stride}").format(padding=word, stride=stride)
            ax.set_title(f"{title}\n{size}×{size} → {places}×{places}", fontsize=11)
    return figure


@words_in_pictures()
def plot_pooling(
    feature_map: ArrayLike, window: int = 2, *, figure: Figure | None = None
) -> Figure:
    """Draw a feature map beside its max pooling and its average pooling.

    Parameters
    ----------
    feature_map : array_like, shape (height, width)
        Any numbers; a small map is written out cell by cell.
    window : int
        Side of the window, and its stride.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels with one colour scale.
    """
    cells = np.asarray(feature_map, dtype=np.float64)
    seen = windows(cells, window, stride=window)[..., 0]
    panels = {
        _("feature map"): cells,
        _("max pooling"): seen.max(axis=(2, 3)),
        _("average pooling"): seen.mean(axis=(2, 3)),
    }
    figure = canvas(figure, (9.5, 3.4), ", ".join(panels))
    largest, is_small = np.abs(cells).max(), cells.size <= 100  # else numbers are illegible
    axes = figure.subplots(1, 3, subplot_kw=BARE)
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        if is_small:
            _draw_numbers(ax, values, SIGNED, -largest, largest, "{:g}")
        else:
            ax.imshow(values, cmap=SIGNED, vmin=-largest, vmax=largest)
        ax.set_title(f"{title}\n{values.shape[0]}×{values.shape[1]}", fontsize=11)
    if is_small:
        for row, column in np.ndindex(*seen.shape[:2]):
            axes[0].add_patch(_outline(row * window, column * window, window))
    return figure


def _convolved(
    image: ArrayLike, kernel: ArrayLike, bias: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return an image of one channel, a kernel and the feature map, each with two axes."""
    kernel = np.asarray(kernel, dtype=np.float64)
    maps = convolve(image, kernel[..., np.newaxis, np.newaxis], [bias])  # refuses other shapes
    grey = np.asarray(image, dtype=np.float64).reshape(maps.shape[:2])
    return grey, kernel, maps[..., 0]


def _draw_products(
    axes: Sequence[Axes], window: NDArray[np.float64], kernel: NDArray[np.float64], colors: str
) -> None:
    """Draw a window, the weights on it and their products, from left to right."""
    window_ax, kernel_ax, product_ax = axes
    highest = max(1.0, np.abs(window).max())
    lowest = 0.0 if colors == "gray" else -highest
    _draw_numbers(window_ax, window, colors, lowest, highest)
    window_ax.set_title(_("window") + " ×")
    products = window * kernel
    largest = max(np.abs(kernel).max(), np.abs(products).max())
    _draw_numbers(kernel_ax, kernel, SIGNED, -largest, largest)
    kernel_ax.set_title(_("filter") + " =")
    _draw_numbers(product_ax, products, SIGNED, -largest, largest)
    product_ax.set_title(_("products"))


def _sum_text(total: float, bias: float, relu: bool) -> str:
    text = _("sum {total:.3f}").format(total=total)
    if bias:
        text += ",  " + _("bias {bias:+.3f}").format(bias=bias)
    if relu:
        value = max(0.0, total + bias)
        text += f",  ReLU({total + bias:.3f}) = {value:.3f}"
    return text


def _draw_numbers(
    ax: Axes,
    values: NDArray[np.float64],
    cmap: str,
    low: float,
    high: float,
    number: str = "{:.2f}",
    is_padding: NDArray[np.bool_] | None = None,
) -> None:
    """Draw coloured cells with their numbers in them; NaN is an empty cell."""
    values = values + 0.0  # no -0.00
    colors = ax.imshow(values, cmap=cmap, vmin=low, vmax=high).to_rgba(values)
    ax.set(xticks=[], yticks=[])
    for (row, column), value in np.ndenumerate(values):
        padding = is_padding is not None and bool(is_padding[row, column])
        red, green, blue = colors[row, column][:3]
        is_light = padding or 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
        ax.add_patch(_cell(row, column, padding, fill=padding))
        if not np.isnan(value):
            color = "black" if is_light else "white"
            ax.text(column, row, number.format(value), ha="center", va="center", color=color)


def _cell(row: float, column: float, is_padding: bool, *, fill: bool = True) -> Rectangle:
    """Return one cell: framed, and hatched if it is padding."""
    style: dict[str, Any] = {"fc": "#E4E4E4", "hatch": "///"} if is_padding else {"fc": "white"}
    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=fill, ec=GREY, lw=0.8, **style)


def _outline(row: float, column: float, size: int, linestyle: str = "-") -> Rectangle:
    """Return a frame around `size` cells down and across, the first at (row, column)."""
    style: dict[str, Any] = {"edgecolor": GREEN, "linewidth": 2.5, "linestyle": linestyle}
    return Rectangle((column - 0.5, row - 0.5), size, size, fill=False, zorder=3, **style)
