"""One function per picture. Each returns what it drew and leaves showing and saving to you."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.data import CLASS_NAMES
from fashion_cnn.language import words_for_plots
from fashion_cnn.photo import PhotoSteps, photo_steps
from fashion_cnn.prediction import Prediction, expected_calibration_error

if TYPE_CHECKING:
    import keras
    import pygraphviz
    from PIL import Image

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#B5B5B5"
SVG_DPI, PNG_DPI = 72, 200
STRONGEST_COLOR = 0.97  # of the weights have a colour of their own, the others the end colours


def plot_model(
    model: "keras.Model", to_file: str | os.PathLike[str] | None = None
) -> "pygraphviz.AGraph":
    """Draw the layers with their input and output shapes, as ``keras.utils.plot_model`` does.

    Graphviz comes with the pygraphviz wheel, so no ``dot`` program is needed.

    Parameters
    ----------
    model : keras.Model
        A built model.
    to_file : path, optional
        Where to save the picture, too: a name that ends in ``.png`` or ``.svg``.

    Returns
    -------
    pygraphviz.AGraph
        The graph, laid out; a notebook shows it as a sharp SVG.

    Raises
    ------
    ValueError
        If `to_file` ends otherwise.
    """
    import keras
    import pygraphviz

    if to_file is not None and Path(to_file).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"expected to_file to end in .png or .svg, got {str(to_file)!r}")
    dot = keras.utils.model_to_dot(model, show_shapes=True, dpi=SVG_DPI)
    graph = pygraphviz.AGraph(string=dot.to_string())
    graph.layout(prog="dot")
    if to_file is not None:
        path = Path(to_file).expanduser()
        graph.draw(str(path), args=f"-Gdpi={PNG_DPI}" if path.suffix.lower() == ".png" else "")
    return graph


def plot_images(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    predicted_labels: ArrayLike | None = None,
    *,
    columns: int = 10,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Draw images in a grid, each under its class name.

    Parameters
    ----------
    images : array_like, shape (n, 28, 28, 1) or (n, 28, 28)
        Grey values in [0, 1].
    labels : array_like of int, shape (n,), optional
        The true labels.
    predicted_labels : array_like of int, shape (n,), optional
        Predicted labels, written under the true ones; a wrong one is marked with ✗.
    columns : int
        The most images in a row.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure of a fitting size.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.
    """
    images = np.asarray(images)
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    if figure is None:
        title_lines = (labels is not None) + (predicted_labels is not None)
        size = (1.15 * columns, (1.15 + 0.2 * title_lines) * rows)
        figure = plt.figure(figsize=size, layout="constrained")
    with words_for_plots(language) as (names, _):
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        for i, (ax, image) in enumerate(zip(axes, images, strict=False)):
            _draw_image(ax, image)
            lines = []
            if labels is not None:
                lines.append(names[np.asarray(labels)[i]])
            if predicted_labels is not None:
                predicted_label = np.asarray(predicted_labels)[i]
                wrong = labels is not None and predicted_label != np.asarray(labels)[i]
                lines.append(("✗ " if wrong else "") + names[predicted_label])
            ax.set_title("\n".join(lines), fontsize=8, pad=3)
    return figure


def plot_history(
    history: "keras.callbacks.History", figure: Figure | None = None, *, language: str = "en"
) -> Figure:
    """Draw loss and accuracy over the epochs and mark the best epoch.

    Parameters
    ----------
    history : keras.callbacks.History
        What `train` or ``model.fit`` returned, with validation data.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: loss on the left, accuracy on the right. The best epoch is the one with the
        lowest validation loss.
    """
    if figure is None:
        figure = plt.figure(figsize=(9, 3.4), layout="constrained")
    records = history.history
    epochs = np.arange(1, len(records["loss"]) + 1)
    best = int(np.argmin(records["val_loss"]))
    with words_for_plots(language) as (_, say):
        for ax, measure in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            ax.plot(epochs, records[measure], "o--", color=BLUE, markersize=4, label=say("train"))
            validation = records[f"val_{measure}"]
            ax.plot(epochs, validation, "s-", color=ORANGE, markersize=4, label=say("validation"))
            ax.axvline(epochs[best], color=GREY, linewidth=1, zorder=0)
            ax.plot(
                epochs[best],
                validation[best],
                "*",
                color=ORANGE,
                markersize=15,
                markeredgecolor="black",
                label=(
                    f"{say('best epoch')}: {epochs[best]} ({say(measure)} {validation[best]:.4f})"
                ),
            )
            ax.set(xlabel=say("epoch"), ylabel=say(measure))
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(axis="y", alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
            ax.legend(frameon=False, fontsize=9)
    return figure


def plot_prediction(
    image: ArrayLike,
    prediction: Prediction,
    true_label: int | None = None,
    figure: Figure | None = None,
    *,
    language: str = "en",
) -> Figure:
    """Draw an image beside the ten probabilities that a model gave it.

    Parameters
    ----------
    image : array_like, shape (28, 28, 1) or (28, 28)
        The image that was predicted.
    prediction : Prediction
        What `predict` returned for it.
    true_label : int, optional
        The true label. The title then says whether the prediction is right (✓) or wrong (✗),
        and the true class is marked among the bars.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: the image on the left, labelled bars on the right.
    """
    if figure is None:
        figure = plt.figure(figsize=(7.5, 3.2), layout="constrained")
    right = true_label is None or prediction.label == true_label
    with words_for_plots(language) as (names, say):
        image_ax, bar_ax = figure.subplots(1, 2, width_ratios=(1, 1.6))
        image_ax.axis("off")
        _draw_image(image_ax, image)
        percent = f"{names[prediction.label]}, {prediction.probability:.1%}"
        if true_label is None:
            image_ax.set_title(percent)
        elif right:
            image_ax.set_title(f"✓ {percent}")
        else:
            image_ax.set_title(f"✗ {percent}\n{say('but it is')}: {names[true_label]}")

        bars = bar_ax.barh(range(len(names)), prediction.probabilities, color=GREY)
        bars[prediction.label].set(color=BLUE if right else ORANGE, hatch=None if right else "///")
        bar_names = list(names)
        if true_label is not None:
            bar_names[true_label] += f" ({say('true')})"
        bar_ax.set_yticks(range(len(names)), bar_names)
        bar_ax.bar_label(
            bars, [f"{p:.1%}" if p >= 0.0005 else "" for p in prediction.probabilities], padding=3
        )
        bar_ax.invert_yaxis()
        bar_ax.set(xlabel=say("probability"), xlim=(0, 1.18), xticks=np.arange(0, 1.1, 0.25))
        bar_ax.xaxis.set_major_formatter(PercentFormatter(1))
        bar_ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_confusion_matrix(
    true_labels: ArrayLike,
    predicted_labels: ArrayLike,
    ax: Axes | None = None,
    *,
    language: str = "en",
) -> Axes:
    """Draw how many images of each class were predicted as each class.

    Parameters
    ----------
    true_labels, predicted_labels : array_like of int, shape (n,)
        Labels 0 to 9.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.axes.Axes
        The axes: true labels down, predicted labels across, right answers on the diagonal.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    if ax is None:
        ax = plt.figure(figsize=(6.6, 6), layout="constrained").subplots()
    counts = confusion_matrix(true_labels, predicted_labels, labels=range(len(CLASS_NAMES)))
    with words_for_plots(language) as (names, say):
        display = ConfusionMatrixDisplay(counts, display_labels=names)
        # The mistakes set the scale, so that they stand out beside the many right answers.
        most_mistakes = (counts - np.diag(np.diag(counts))).max()
        scale: dict[str, Any] = {"vmin": 0, "vmax": max(2 * most_mistakes, 1)}
        display.plot(ax=ax, cmap="Blues", colorbar=False, xticks_rotation=45, im_kw=scale)
        for text in display.text_.ravel():
            if text.get_text() == "0":
                text.set_color(GREY)
        ax.set_xticklabels(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
        ax.set(xlabel=say("predicted label"), ylabel=say("true label"))
        for text in ax.findobj(Text):  # some were made with the axes, before the font was chosen
            text.set_fontfamily(plt.rcParams["font.family"])
    return ax


def plot_reliability(
    true_labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    bins: int = 10,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Draw how often a network is right against how sure it was: a reliability diagram.

    Parameters
    ----------
    true_labels : array_like of int, shape (n,)
        Labels 0 to 9.
    probabilities : array_like, shape (n, 10)
        What ``model.predict`` gave.
    bins : int
        Parts of equal width into which the confidence is sorted.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        On the left, a dot a bin: its mean confidence and its accuracy; on the dashed line both are
        equal. On the right, how many images each bin holds. The title has the expected calibration
        error.
    """
    from sklearn.calibration import calibration_curve

    probabilities = np.asarray(probabilities)
    confidence = np.clip(probabilities.max(axis=1), 0, 1)
    is_right = probabilities.argmax(axis=1) == np.asarray(true_labels)
    accuracies, confidences = calibration_curve(is_right, confidence, n_bins=bins)
    error = expected_calibration_error(true_labels, probabilities, bins=bins)
    if figure is None:
        figure = plt.figure(figsize=(9, 3.8), layout="constrained")
    with words_for_plots(language) as (_, say):
        curve_ax, count_ax = figure.subplots(1, 2, sharex=True)
        curve_ax.plot([0, 1], [0, 1], "--", color=GREY, zorder=0)
        curve_ax.plot(confidences, accuracies, "o-", color=BLUE)
        curve_ax.set(ylabel=say("accuracy"), title=f"ECE {error:.4f}")
        counts, edges = np.histogram(confidence, bins, (0, 1))
        bars = count_ax.bar(edges[:-1], counts, 1 / bins, align="edge", color=GREY, edgecolor="w")
        count_ax.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=8)
        count_ax.set(ylabel=say("images"))
        for ax in (curve_ax, count_ax):
            ax.set(xlabel=say("confidence: probability of the predicted label"), xlim=(0, 1))
            ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_filters(
    model: "keras.Sequential",
    untrained: "keras.Sequential",
    *,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Draw the first convolution's filters before and after training, with one colour scale.

    Parameters
    ----------
    model : keras.Sequential
        A trained network whose layer ``conv1`` looks at one channel.
    untrained : keras.Sequential
        The same network before training, such as a new one from `build_cnn`.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        Above, before training, below, after: a histogram of the weights beside the filters, 16 in
        a row. The scale is that of the trained network's weights; the largest 3 % of them have its
        end colours.
    """
    kernels = [np.asarray(net.get_layer("conv1").kernel)[:, :, 0] for net in (untrained, model)]
    largest = max(np.abs(kernel).max() for kernel in kernels)
    # A few large weights would make all others pale.
    strongest = max(np.quantile(np.abs(kernel), STRONGEST_COLOR) for kernel in kernels)
    if figure is None:
        figure = plt.figure(figsize=(12, 3.9), layout="constrained")
    with words_for_plots(language) as (_, say):
        parts: Any = figure.subfigures(2, 1)
        for part, kernel, when in zip(parts, kernels, ("before", "after"), strict=True):
            histogram_part, grid_part = part.subfigures(1, 2, width_ratios=(1, 3))
            ax = histogram_part.subplots()
            ax.hist(kernel.ravel(), np.linspace(-largest, largest, 31), color=BLUE)
            ax.set(xlabel=say("weight"), ylabel=say("number of weights"), title=say(when))
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
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each filter, with its number; dark is 0.
    """
    maps = np.asarray(feature_maps)
    rows = -(-maps.shape[-1] // columns)
    if figure is None:
        figure = plt.figure(figsize=(1.1 * columns, 1.25 * rows), layout="constrained")
    axes = _draw_mosaic(figure, maps, columns, cmap="viridis", vmin=0, vmax=max(maps.max(), 1e-9))
    for number, ax in enumerate(axes):
        ax.set_title(str(number), fontsize=7, pad=2)
    return figure


def plot_layers(
    image: ArrayLike,
    outputs: Mapping[str, ArrayLike],
    *,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Follow one image through all layers to the ten probabilities, in one picture.

    Parameters
    ----------
    image : array_like, shape (28, 28, 1) or (28, 28)
        The image.
    outputs : mapping of str to array_like
        What `layer_outputs` returned for it.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the image and one for each layer, named and with its shape. Feature maps lie
        side by side in a square; a row of numbers is broken into the lines of one. The
        probabilities are bars.
    """
    if figure is None:
        figure = plt.figure(figsize=(10, 9), layout="constrained")
    *inner, last = outputs
    with words_for_plots(language) as (names, say):
        columns = -(-(len(outputs) + 1) // 3)
        axes = figure.subplots(3, columns).ravel()
        _draw_image(axes[0], image)
        axes[0].set_title(f"{say('input')}\n{_by(np.shape(image))}")
        for ax, name in zip(axes[1:], inner, strict=False):
            output = np.asarray(outputs[name])[0]
            ax.imshow(side_by_side(output), cmap="viridis", vmin=0, interpolation="nearest")
            ax.set_title(f"{name}\n{_by(output.shape)}")
        for ax in axes[: len(outputs)]:
            ax.set(xticks=[], yticks=[])
        for ax in axes[len(outputs) + 1 :]:
            ax.axis("off")
        bar_ax = axes[len(outputs)]
        probabilities = np.asarray(outputs[last])[0]
        bars = bar_ax.barh(range(len(names)), probabilities, color=GREY)
        bars[int(probabilities.argmax())].set_color(BLUE)
        bar_ax.set_yticks(range(len(names)), names, fontsize=8)
        bar_ax.invert_yaxis()
        bar_ax.set(xlim=(0, 1), title=f"{last}\n{_by(probabilities.shape)}")
        bar_ax.set_xlabel(say("probability"))
        bar_ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_occlusion(
    image: ArrayLike,
    drops: ArrayLike,
    *,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Draw where a black patch on an image changes the probability of a label, and how much.

    Parameters
    ----------
    image : array_like, shape (28, 28, 1) or (28, 28)
        The image.
    drops : array_like, shape (28, 28)
        What `occlusion_map` returned for it.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the class names and the other words in the picture. Where no Korean font is installed,
        they are English, with a warning.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the image; on the right orange where the patch lowers the probability and
        violet where it raises it, with the outline of what the image shows.
    """
    if figure is None:
        figure = plt.figure(figsize=(7, 3.3), layout="constrained")
    drops = np.asarray(drops)
    largest = max(np.abs(drops).max(), 1e-9)
    with words_for_plots(language) as (_, say):
        image_ax, drop_ax = figure.subplots(1, 2)
        _draw_image(image_ax, image)
        colors = drop_ax.imshow(drops, cmap="PuOr_r", vmin=-largest, vmax=largest)
        grey = np.squeeze(np.asarray(image))
        drop_ax.contour(grey, levels=[0.15], colors="black", linewidths=0.8)
        figure.colorbar(colors, ax=drop_ax, label=say("drop in the probability"))
        for ax in (image_ax, drop_ax):
            ax.set(xticks=[], yticks=[])
    return figure


def plot_photo_steps(
    photo: "PhotoSteps | str | os.PathLike[str] | Image.Image | ArrayLike",
    *,
    figure: Figure | None = None,
    language: str = "en",
) -> Figure:
    """Draw how a photo becomes an image like the data set's, a panel for each step.

    Parameters
    ----------
    photo : path, PIL.Image.Image, array_like or PhotoSteps
        A photo as for `prepare_photo`, or what `photo_steps` returned for it.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.
    language : {"en", "ko"}
        Of the names of the steps.

    Returns
    -------
    matplotlib.figure.Figure
        The figure: the upright photo on the left, the image for `predict` on the right.

    Raises
    ------
    FileNotFoundError, ValueError
        As `prepare_photo` does.
    """
    steps = photo if isinstance(photo, PhotoSteps) else photo_steps(photo)
    if figure is None:
        figure = plt.figure(figsize=(12, 2.6), layout="constrained")
    with words_for_plots(language) as (_, say):
        axes = figure.subplots(1, len(steps))
        for ax, (name, image) in zip(axes, steps._asdict().items(), strict=True):
            _draw_image(ax, image)
            ax.set_title(f"{say(name)}, {image.shape[1]}×{image.shape[0]}", fontsize=9)
            ax.axis("off")
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


def side_by_side(output: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Lay feature maps (height, width, n), or n numbers, side by side in about a square."""
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


def _draw_image(ax: Axes, image: ArrayLike) -> None:
    ax.imshow(np.squeeze(np.asarray(image)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
