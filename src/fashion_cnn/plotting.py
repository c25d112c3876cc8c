"""One function per picture. Each returns what it drew and leaves showing and saving to you."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from fashion_cnn.data import CLASS_NAMES
from fashion_cnn.photo import PhotoSteps, photo_steps
from fashion_cnn.prediction import Prediction

if TYPE_CHECKING:
    import keras
    import pygraphviz
    from PIL import Image

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#B5B5B5"
SVG_DPI, PNG_DPI = 72, 200


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
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes, images, strict=False)):
        _draw_image(ax, image)
        lines = []
        if labels is not None:
            lines.append(CLASS_NAMES[np.asarray(labels)[i]])
        if predicted_labels is not None:
            predicted_label = np.asarray(predicted_labels)[i]
            wrong = labels is not None and predicted_label != np.asarray(labels)[i]
            lines.append(("✗ " if wrong else "") + CLASS_NAMES[predicted_label])
        ax.set_title("\n".join(lines), fontsize=8, pad=3)
    return figure


def plot_history(history: "keras.callbacks.History", figure: Figure | None = None) -> Figure:
    """Draw loss and accuracy over the epochs and mark the best epoch.

    Parameters
    ----------
    history : keras.callbacks.History
        What `train` or ``model.fit`` returned, with validation data.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.

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
    for ax, measure in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        ax.plot(epochs, records[measure], "o--", color=BLUE, markersize=4, label="train")
        validation = records[f"val_{measure}"]
        ax.plot(epochs, validation, "s-", color=ORANGE, markersize=4, label="validation")
        ax.axvline(epochs[best], color=GREY, linewidth=1, zorder=0)
        ax.plot(
            epochs[best],
            validation[best],
            "*",
            color=ORANGE,
            markersize=15,
            markeredgecolor="black",
            label=f"best epoch: {epochs[best]} ({measure} {validation[best]:.4f})",
        )
        ax.set(xlabel="epoch", ylabel=measure)
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

    Returns
    -------
    matplotlib.figure.Figure
        The figure: the image on the left, labelled bars on the right.
    """
    if figure is None:
        figure = plt.figure(figsize=(7.5, 3.2), layout="constrained")
    image_ax, bar_ax = figure.subplots(1, 2, width_ratios=(1, 1.6))
    image_ax.axis("off")
    _draw_image(image_ax, image)

    percent = f"{prediction.class_name}, {prediction.probability:.1%}"
    right = true_label is None or prediction.label == true_label
    if true_label is None:
        image_ax.set_title(percent)
    elif right:
        image_ax.set_title(f"✓ {percent}")
    else:
        image_ax.set_title(f"✗ {percent}\nbut it is: {CLASS_NAMES[true_label]}")

    bars = bar_ax.barh(CLASS_NAMES, prediction.probabilities, color=GREY)
    bars[prediction.label].set(color=BLUE if right else ORANGE, hatch=None if right else "///")
    names = list(CLASS_NAMES)
    if true_label is not None:
        names[true_label] += " (true)"
    bar_ax.set_yticks(range(len(names)), names)
    bar_ax.bar_label(
        bars, [f"{p:.1%}" if p >= 0.0005 else "" for p in prediction.probabilities], padding=3
    )
    bar_ax.invert_yaxis()
    bar_ax.set(xlabel="probability", xlim=(0, 1.18), xticks=np.arange(0, 1.1, 0.25))
    bar_ax.xaxis.set_major_formatter(PercentFormatter(1))
    bar_ax.spines[["top", "right"]].set_visible(False)
    return figure


def plot_confusion_matrix(
    true_labels: ArrayLike, predicted_labels: ArrayLike, ax: Axes | None = None
) -> Axes:
    """Draw how many images of each class were predicted as each class.

    Parameters
    ----------
    true_labels, predicted_labels : array_like of int, shape (n,)
        Labels 0 to 9.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The axes: true labels down, predicted labels across, right answers on the diagonal.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    if ax is None:
        ax = plt.figure(figsize=(6.6, 6), layout="constrained").subplots()
    counts = confusion_matrix(true_labels, predicted_labels, labels=range(len(CLASS_NAMES)))
    display = ConfusionMatrixDisplay(counts, display_labels=CLASS_NAMES)
    # The mistakes set the scale, so that they stand out beside the many right answers.
    most_mistakes = (counts - np.diag(np.diag(counts))).max()
    scale: dict[str, Any] = {"vmin": 0, "vmax": max(2 * most_mistakes, 1)}
    display.plot(ax=ax, cmap="Blues", colorbar=False, xticks_rotation=45, im_kw=scale)
    for text in display.text_.ravel():
        if text.get_text() == "0":
            text.set_color(GREY)
    ax.set_xticklabels(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted label", ylabel="true label")
    return ax


def _draw_image(ax: Axes, image: ArrayLike) -> None:
    ax.imshow(np.squeeze(np.asarray(image)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def plot_photo_steps(
    photo: "PhotoSteps | str | os.PathLike[str] | Image.Image | ArrayLike",
    figure: Figure | None = None,
) -> Figure:
    """Draw how a photo becomes an image like the data set's, a panel for each step.

    Parameters
    ----------
    photo : path, PIL.Image.Image, array_like or PhotoSteps
        A photo as for `prepare_photo`, or what `photo_steps` returned for it.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure.

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
    for ax, (name, image) in zip(
        figure.subplots(1, len(steps)), steps._asdict().items(), strict=True
    ):
        _draw_image(ax, image)
        ax.set_title(f"{name}, {image.shape[1]}×{image.shape[0]}", fontsize=9)
        ax.axis("off")
    return figure
