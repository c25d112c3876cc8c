"""One function per picture of the tutorial.

One convention holds for every Matplotlib plot. A plot of one axes takes ``ax=``, a plot of several
takes ``figure=``; without it, it draws on a new figure. It returns what it drew on, and leaves
showing and saving to you. Its words are in the language that `use_language` chose, and it carries
an alternative text, which notebooks keep for readers who cannot see it.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from fashion_cnn.images import CLASS_NAMES
from fashion_cnn.language import class_names, words_in_pictures
from fashion_cnn.language import gettext as _
from fashion_cnn.prediction import Prediction
from fashion_cnn.quiet import without_machine_notes

if TYPE_CHECKING:
    import keras
    import pygraphviz

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#B5B5B5"
SIGNED = "PuOr"  # weights and maps in every picture: violet above 0, white at 0, orange below
SVG_DPI, PNG_DPI = 72, 200


class Picture(Figure):
    """A figure whose label is its alternative text in a notebook."""

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {"image/png": {"alt": self.get_label()}}


def canvas(figure: Figure | None, size: tuple[float, float], alt: str) -> Figure:
    """Return the figure to draw on, by default a new one, with its alternative text."""
    if figure is None:
        figure = plt.figure(FigureClass=Picture, figsize=size, layout="constrained")
    figure.set_label(alt)
    return figure


def draw_image(ax: Axes, image: ArrayLike) -> None:
    """Draw grey values, 0 as black and 1 as white."""
    ax.imshow(np.squeeze(np.asarray(image)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def draw_probabilities(ax: Axes, probabilities: ArrayLike, label: int, color: str) -> Any:
    """Draw ten bars with the class names, that of `label` in `color`; return the bars."""
    names = class_names()
    bars = ax.barh(range(len(names)), np.asarray(probabilities), color=GREY)
    bars[label].set_color(color)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(_("probability"))
    ax.spines[["top", "right"]].set_visible(False)
    return bars


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
    """
    import keras  # heavy, and every other plot does without it
    import pygraphviz  # a compiled library; every other plot does without it

    class Graph(pygraphviz.AGraph):
        def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            layers = ", ".join(f"{layer.name} {layer.output.shape[1:]}" for layer in model.layers)
            alt = _("The layers with their outputs: {layers}").format(layers=layers)
            return super()._repr_mimebundle_(**kwargs), {"image/svg+xml": {"alt": alt}}

    if to_file is not None and Path(to_file).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"expected to_file to end in .png or .svg, got {str(to_file)!r}")
    dot = keras.utils.model_to_dot(model, show_shapes=True, dpi=SVG_DPI)
    with without_machine_notes():
        graph = Graph(string=dot.to_string())
        graph.layout(prog="dot")
        if to_file is not None:
            path = Path(to_file).expanduser()
            graph.draw(str(path), args=f"-Gdpi={PNG_DPI}" if path.suffix.lower() == ".png" else "")
    return graph


@words_in_pictures()
def plot_images(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    predicted_labels: ArrayLike | None = None,
    confidences: ArrayLike | None = None,
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
    confidences : array_like, shape (n,), optional
        The probabilities of the predicted labels, in [0, 1], written beside them.
    columns : int
        The most images in a row.
    """
    images, names = np.asarray(images), class_names()
    titles = [""] * len(images)
    if labels is not None:
        titles = [names[label] for label in np.asarray(labels)]
    if predicted_labels is not None:
        for i, predicted_label in enumerate(np.asarray(predicted_labels)):
            is_wrong = labels is not None and predicted_label != np.asarray(labels)[i]
            said = names[predicted_label]
            if confidences is not None:
                said += f" {np.asarray(confidences)[i]:.0%}"
            titles[i] = f"{titles[i]}\n{'✗ ' if is_wrong else ''}{said}".lstrip()
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    title_lines = (labels is not None) + (predicted_labels is not None)
    said = ", ".join(title.replace("\n", " ") for title in titles if title)
    alt = _("Images: {titles}").format(titles=said or f"{len(images)} × 28×28")
    figure = canvas(figure, (1.15 * columns, (1.15 + 0.2 * title_lines) * rows), alt)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, image, title in zip(axes, images, titles, strict=False):
        draw_image(ax, image)
        ax.set_title(title, fontsize=8, pad=3)
    return figure


@words_in_pictures()
def plot_history(history: "keras.callbacks.History", *, figure: Figure | None = None) -> Figure:
    """Draw loss and accuracy over the epochs and mark the best epoch.

    Parameters
    ----------
    history : keras.callbacks.History
        What `train` or ``model.fit`` returned, with validation data.

    Returns
    -------
    matplotlib.figure.Figure
        Loss on the left, accuracy on the right. The best epoch is the one with the lowest
        validation loss.
    """
    records = history.history
    epochs = np.arange(1, len(records["loss"]) + 1)
    best = int(np.argmin(records["val_loss"]))
    alt = _("Loss and accuracy by epoch ({n} in all); the best is epoch {best}").format(
        n=len(epochs), best=best + 1
    )
    figure = canvas(figure, (9, 3.4), alt)
    words = {"loss": _("loss"), "accuracy": _("accuracy")}
    best_epoch = _("best epoch: {n} ({measure} {value:.4f})")
    for ax, (measure, word) in zip(figure.subplots(1, 2), words.items(), strict=True):
        validation = records[f"val_{measure}"]
        ax.plot(epochs, records[measure], "o--", color=BLUE, markersize=4, label=_("train"))
        ax.plot(epochs, validation, "s-", color=ORANGE, markersize=4, label=_("validation"))
        ax.axvline(epochs[best], color=GREY, linewidth=1, zorder=0)
        ax.plot(
            epochs[best],
            validation[best],
            "*",
            color=ORANGE,
            markersize=15,
            markeredgecolor="black",
            label=best_epoch.format(n=epochs[best], measure=word, value=validation[best]),
        )
        ax.set(xlabel=_("epoch"), ylabel=word)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="y", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=9)
    return figure


@words_in_pictures()
def plot_prediction(
    image: ArrayLike,
    prediction: Prediction,
    true_label: int | None = None,
    *,
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

    Returns
    -------
    matplotlib.figure.Figure
        The image on the left, labelled bars on the right.
    """
    names = list(class_names())
    is_right = true_label is None or prediction.label == true_label
    title = f"{names[prediction.label]}, {prediction.probability:.1%}"
    if true_label is not None:
        truth = _("but it is: {name}").format(name=names[true_label])
        title = f"✓ {title}" if is_right else f"✗ {title}\n{truth}"
    figure = canvas(figure, (7.5, 3.2), _("Image and probabilities: {title}").format(title=title))
    image_ax, bar_ax = figure.subplots(1, 2, width_ratios=(1, 1.6))
    image_ax.axis("off")
    image_ax.set_title(title)
    draw_image(image_ax, image)
    bars = draw_probabilities(
        bar_ax, prediction.probabilities, prediction.label, BLUE if is_right else ORANGE
    )
    bars[prediction.label].set_hatch(None if is_right else "///")
    if true_label is not None:
        names[true_label] = _("{name} (true)").format(name=names[true_label])
        bar_ax.set_yticks(range(len(names)), names)
    texts = [f"{p:.1%}" if p >= 0.0005 else "" for p in prediction.probabilities]
    bar_ax.bar_label(bars, texts, padding=3)
    bar_ax.set(xlim=(0, 1.18), xticks=np.arange(0, 1.1, 0.25))
    bar_ax.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


@words_in_pictures()
def plot_confusion_matrix(
    true_labels: ArrayLike, predicted_labels: ArrayLike, *, ax: Axes | None = None
) -> Axes:
    """Draw how many images of each class were predicted as each class.

    Parameters
    ----------
    true_labels, predicted_labels : array_like of int, shape (n,)
        Labels 0 to 9.

    Returns
    -------
    matplotlib.axes.Axes
        A row for each true label, a column for each predicted one, right answers on the diagonal.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix  # heavy

    counts = confusion_matrix(true_labels, predicted_labels, labels=range(len(CLASS_NAMES)))
    if ax is None:
        alt = _("Confusion matrix: {right} of {n} images on the diagonal").format(
            right=f"{np.trace(counts):,}", n=f"{counts.sum():,}"
        )
        ax = canvas(None, (6.6, 6), alt).subplots()
    display = ConfusionMatrixDisplay(counts, display_labels=class_names())
    # The mistakes set the scale, so that they stand out beside the many right answers.
    most_mistakes = (counts - np.diag(np.diag(counts))).max()
    scale: dict[str, Any] = {"vmin": 0, "vmax": max(2 * most_mistakes, 1)}
    display.plot(ax=ax, cmap="Blues", colorbar=False, xticks_rotation=45, im_kw=scale)
    for text in display.text_.ravel():
        if text.get_text() == "0":
            text.set_color(GREY)
    ax.set_xticklabels(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel=_("predicted label"), ylabel=_("true label"))
    for text in ax.findobj(Text):  # some were made with the axes, before the font was chosen
        text.set_fontfamily(plt.rcParams["font.family"])
    return ax
