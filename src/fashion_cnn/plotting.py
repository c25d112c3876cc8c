"""One function per picture of the tutorial.

Every Matplotlib plot draws in a new figure, or where ``ax=`` or ``figure=`` says, returns what it
drew on, and leaves showing and saving to you. Its words are in the language that `use_language`
chose, and its figure carries an alternative text, which notebooks keep.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from fashion_cnn.images import as_batch, as_images, as_labels
from fashion_cnn.language import class_names, words_in_pictures
from fashion_cnn.language import gettext as _
from fashion_cnn.prediction import Prediction

if TYPE_CHECKING:
    import keras
    import pygraphviz

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#B5B5B5"
SIGNED = "PuOr"  # weights and maps in every picture: violet above 0, white at 0, orange below


class Picture(Figure):
    """A figure that a notebook shows once, with its label as alternative text."""

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if "inline" in plt.get_backend():  # which shows what pyplot holds at the end of the cell
            plt.close(self)
        return {}, {"image/png": {"alt": self.get_label()}}


def canvas(figure: Figure | None, size: tuple[float, float], alt: str) -> Figure:
    """Return the figure to draw on, by default a new one, with its alternative text."""
    if figure is None:
        with warnings.catch_warnings():  # pyplot warns about a 21st figure; a loop may want many
            warnings.filterwarnings("ignore", "More than .* figures have been opened")
            figure = plt.figure(FigureClass=Picture, figsize=size, layout="constrained")
    figure.set_label(alt)
    return figure


def draw_image(ax: Axes, image: ArrayLike, title: str = "", **style: Any) -> None:
    """Draw grey values, 0 as black and 1 as white, under a title."""
    ax.imshow(np.squeeze(np.asarray(image)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title, **style)


def draw_bars(
    ax: Axes, probabilities: ArrayLike, names: Sequence[str], label: int, color: str
) -> Any:
    """Draw a bar under each name, that of `label` in `color`; return the bars."""
    bars = ax.barh(range(len(names)), np.asarray(probabilities), color=GREY)
    bars[label].set_color(color)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel(_("probability"))
    ax.spines[["top", "right"]].set_visible(False)
    return bars


def plot_model(
    model: keras.Model, to_file: str | os.PathLike[str] | None = None
) -> pygraphviz.AGraph:
    """Draw the layers and shapes as ``keras.utils.plot_model`` does, without the program ``dot``.

    Parameters
    ----------
    model : keras.Model
        A built model.
    to_file : path, optional
        Where to save the picture as well; the name ends in the format, one of Graphviz's.

    Returns
    -------
    pygraphviz.AGraph
        The graph, laid out; a notebook shows it as a sharp SVG.
    """
    import keras  # heavy
    import pygraphviz  # brings Graphviz along

    class Graph(pygraphviz.AGraph):
        def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            words = [layer.name for layer in model.layers]
            if getattr(model, "inputs", None):  # else the outputs of its layers are unknown
                shapes = (getattr(layer.output, "shape", "") for layer in model.layers)
                words = [f"{n} {shape[1:]}".strip() for n, shape in zip(words, shapes, strict=True)]
            alt = _("The layers with their outputs: {layers}").format(layers=", ".join(words))
            return super()._repr_mimebundle_(**kwargs), {"image/svg+xml": {"alt": alt}}

    dot = keras.utils.model_to_dot(model, show_shapes=True, dpi=72)  # as large as on a page
    graph = Graph(string=dot.to_string())
    graph.layout(prog="dot")
    if to_file is not None:
        path = os.path.expanduser(to_file)
        graph.draw(path, args="-Gdpi=200" if path.lower().endswith(".png") else "")
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
    images : array_like, shape (n, 28, 28, 1) or (n, 28, 28), or one image
        Grey values, light on dark: floats in [0, 1], or integers from 0 to 255.
    labels : array_like of int, shape (n,), optional
        The true labels, 0 to 9.
    predicted_labels : array_like of int, shape (n,), optional
        Predicted labels, written under the true ones; a wrong one is marked with ✗.
    confidences : array_like of float, shape (n,), optional
        The probabilities of the predicted labels, in [0, 1], written at the end.
    columns : int
        The largest number of images in a row.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        An axes for each place in the grid, row by row.

    Raises
    ------
    ValueError
        If the images, or the labels or confidences for them, are not as expected.
    """
    images, names = as_images(images), class_names()
    n = len(images)
    titles = [""] * n
    if labels is not None:
        labels = as_labels(labels, n)
        titles = [names[label] for label in labels]
    if predicted_labels is not None:
        for i, predicted_label in enumerate(as_labels(predicted_labels, n, "predicted labels")):
            is_wrong = labels is not None and predicted_label != labels[i]
            titles[i] += f"\n{'✗ ' if is_wrong else ''}{names[predicted_label]}"
    if confidences is not None:
        confidences = np.atleast_1d(confidences)
        if confidences.shape != (n,):
            raise ValueError(f"expected {n} confidences, got an array of shape {confidences.shape}")
        titles = [f"{title} {p:.0%}" for title, p in zip(titles, confidences, strict=True)]
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    title_lines = (labels is not None) + (predicted_labels is not None)
    described = ", ".join(" ".join(title.split()) for title in titles if title)
    alt = _("Images: {titles}").format(titles=described or f"{n} × 28×28")
    figure = canvas(figure, (1.15 * columns, (1.15 + 0.2 * title_lines) * rows), alt)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    for ax, image, title in zip(axes, images, titles, strict=False):
        draw_image(ax, image, title.strip(), fontsize=8, pad=3)
    return figure


@words_in_pictures()
def plot_history(
    history: keras.callbacks.History | Mapping[str, Sequence[float]],
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw loss and accuracy over the epochs and mark the best epoch.

    Parameters
    ----------
    history : keras.callbacks.History, or its ``history``
        What `train` or ``model.fit`` returned. Without validation data no epoch is marked.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        Loss on the left, accuracy on the right if it was measured. The best epoch is the one with
        the lowest validation loss.

    Raises
    ------
    ValueError
        If there is no loss, or a measure was not taken in every epoch.
    """
    records = getattr(history, "history", history)
    if not isinstance(records, Mapping) or not np.size(records.get("loss", [])):
        expected = "what train or model.fit returned, with the loss of each epoch"
        raise ValueError(f"expected {expected}, got {records!r:.80}")
    epochs = np.arange(1, len(records["loss"]) + 1)
    accuracy = [name for name in records if "acc" in name and not name.startswith("val_")][:1]
    words = dict(zip(["loss", *accuracy], [_("loss"), _("accuracy")], strict=False))
    losses = np.asarray(records.get("val_loss", []), float)
    best = None if np.isnan(losses).all() else int(np.nanargmin(losses)) + 1
    alt = _("Loss and accuracy by epoch ({n} in all)")
    if best is not None:
        alt = _("Loss and accuracy by epoch ({n} in all); the best is epoch {best}")
    alt = alt.format(n=len(epochs), best=best)
    figure = canvas(figure, (4.5 * len(words), 3.4), alt)
    axes = figure.subplots(1, len(words), squeeze=False)[0]
    for ax, (measure, word) in zip(axes, words.items(), strict=True):
        ax.plot(epochs, records[measure], "o--", color=BLUE, markersize=4, label=_("train"))
        validation = records.get(f"val_{measure}")
        if validation is not None:
            ax.plot(epochs, validation, "s-", color=ORANGE, markersize=4, label=_("validation"))
        if validation is not None and best is not None:
            value, label = validation[best - 1], _("best epoch: {n} ({measure} {value:.4f})")
            label = label.format(n=best, measure=word, value=value)
            ax.axvline(best, color=GREY, linewidth=1, zorder=0)
            ax.plot(best, value, "*", c=ORANGE, markersize=15, markeredgecolor="black", label=label)
        ax.set(xlabel=_("epoch"), ylabel=word)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
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
    image : array_like, shape (28, 28), (28, 28, 1) or (1, 28, 28, 1)
        The image that was predicted, as `predict` takes it.
    prediction : Prediction
        What `predict` returned for it.
    true_label : int, optional
        The true label. The title then says whether the prediction is right (✓) or wrong (✗),
        and the true class is marked among the bars.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new one.

    Returns
    -------
    matplotlib.figure.Figure
        The image on the left, labelled bars on the right.

    Raises
    ------
    TypeError, ValueError
        If the image, the prediction or the label is not as expected.
    """
    if not isinstance(prediction, Prediction):
        call = "plot_prediction(image, predict(model, image))"
        raise TypeError(
            f"expected a Prediction second, got {type(prediction).__name__}; call {call}"
        )
    image, names, is_right = as_batch(image), list(class_names()), True
    title = f"{names[prediction.label]}, {prediction.probability:.1%}"
    if true_label is not None:
        (true_label,) = as_labels(true_label, 1, "the true label")
        is_right = prediction.label == true_label
        truth = _("but it is: {name}").format(name=names[true_label])
        title = f"✓ {title}" if is_right else f"✗ {title}\n{truth}"
        names[true_label] = _("{name} (true)").format(name=names[true_label])
    figure = canvas(figure, (7.5, 3.2), _("Image and probabilities: {title}").format(title=title))
    image_ax, bar_ax = figure.subplots(1, 2, width_ratios=(1, 1.6))
    image_ax.axis("off")
    draw_image(image_ax, image, title)
    color = BLUE if is_right else ORANGE
    bars = draw_bars(bar_ax, prediction.probabilities, names, prediction.label, color)
    if not is_right:
        bars[prediction.label].set(hatch="///", edgecolor="white")
    bar_ax.bar_label(bars, fmt=lambda p: f"{p:.1%}" if p >= 0.0005 else "", padding=3)
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
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A row for each true label, a column for each predicted one, right answers on the diagonal.

    Raises
    ------
    ValueError
        If they are not as many integers from 0 to 9.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix  # heavy

    true_labels = as_labels(true_labels, np.size(true_labels), "true labels")
    predicted_labels = as_labels(predicted_labels, len(true_labels), "predicted labels")
    counts = confusion_matrix(true_labels, predicted_labels, labels=range(len(class_names())))
    alt = _("Confusion matrix: {right:,} of {n:,} images on the diagonal")
    alt = alt.format(right=np.trace(counts), n=counts.sum())
    ax = ax or canvas(None, (6.6, 6), alt).subplots()
    display = ConfusionMatrixDisplay(counts, display_labels=class_names())
    display.plot(ax=ax, cmap="Blues", colorbar=False, xticks_rotation=45)
    # The mistakes set the scale, so that they stand out beside the many right answers.
    mistakes = counts - np.diag(np.diag(counts))
    display.im_.set_clim(0, max(2 * mistakes.max(), 1))
    for text in display.text_[counts == 0]:
        text.set_color(GREY)
    ax.set_xticklabels(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel=_("predicted label"), ylabel=_("true label"))
    return ax
