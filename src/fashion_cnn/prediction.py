"""Evaluate a model on a split, and predict the class of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, Split, as_batch, checked_split
from fashion_cnn.language import class_names
from fashion_cnn.language import gettext as _
from fashion_cnn.unlikeness import unlikeness

if TYPE_CHECKING:
    import keras


class Evaluation(NamedTuple):
    """How well a model does on a split: mean cross-entropy in nats, and accuracy in [0, 1]."""

    loss: float
    accuracy: float


class Prediction(NamedTuple):
    """What a model says about one image.

    Attributes
    ----------
    label : int
        The predicted label, 0 to 9.
    class_name : str
        Its name, in the language in use.
    probability : float
        The probability of that label, in [0, 1].
    probabilities : ndarray of float32, shape (10,)
        The probability of each label; they sum to 1.
    unlikeness : float
        How unlike the data set the image is, whatever the model says, in [0, 2]: near 0 for a
        typical image of the data set; above 1, do not rely on the prediction.
    """

    label: int
    class_name: str
    probability: float
    probabilities: NDArray[np.float32]
    unlikeness: float

    def __repr__(self) -> str:
        """Return one line, without the other nine probabilities but with the remark, if any."""
        remark = f", remark={self.remark!r}" if self.remark else ""
        return (
            f"Prediction(label={self.label}, class_name={self.class_name!r}, "
            f"probability={self.probability:.4f}, unlikeness={self.unlikeness:.2f}{remark})"
        )

    @property
    def remark(self) -> str:
        """Why not to rely on it: a sentence in the language in use, or an empty string."""
        if self.unlikeness > 1:
            return _(
                "This does not look like the clothes I learned from: try one garment on a plain "
                "background, from the front, or one shoe from the side"
            )
        if self.probability < 0.6:  # half of such answers to photographs are wrong
            second = class_names()[int(self.probabilities.argsort()[-2])]
            return _("I am not sure: it could also be {second}").format(second=second)
        return ""


def evaluate(model: keras.Model, split: Split) -> Evaluation:
    """Compute loss and accuracy over all images of a split.

    Parameters
    ----------
    model : keras.Model
        A network that gives probabilities of shape (n, 10), compiled or not.
    split : Split
        Images (n, 28, 28, 1) and labels (n,), such as ``data.validation``. As for `predict`, the
        images may be floats in [0, 1] or integers from 0 to 255.

    Returns
    -------
    Evaluation
        ``loss`` and ``accuracy``.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If the images or labels are not as expected, or the model does not give the probabilities
        of ten classes.

    Examples
    --------
    >>> evaluation = evaluate(model, data.validation)
    >>> 0 <= evaluation.accuracy <= 1
    True
    """
    import keras  # heavy

    check_model(model, "evaluate(model, split)")
    images, labels = checked_split(split, "evaluated")
    probabilities = class_probabilities(model, images)
    loss = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    accuracy = np.mean(probabilities.argmax(axis=1) == labels)
    return Evaluation(float(loss), float(accuracy))


def predict(model: keras.Model, image: ArrayLike) -> Prediction:
    """Predict the class of one image.

    Parameters
    ----------
    model : keras.Model
        A network from `build_cnn` or `load_model`.
    image : array_like, shape (28, 28), (28, 28, 1) or (1, 28, 28, 1)
        Light on dark as in Fashion-MNIST: integers from 0 to 255, or floats in [0, 1].

    Returns
    -------
    Prediction
        Label, class name, its probability, all ten probabilities, and unlikeness. Its ``remark``
        says in a sentence why not to rely on it, if there is a reason.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If the image has another shape, a value out of range or NaN, or is not made of numbers; or
        if the model does not give the probabilities of ten classes.

    Examples
    --------
    >>> bag = data.validation.images[data.validation.labels == 8][0]
    >>> predict(model, bag).class_name
    'Bag'
    """
    check_model(model, "predict(model, image)")
    batch = as_batch(image)
    (probabilities,), (measure,) = class_probabilities(model, batch), unlikeness(batch)
    label = int(probabilities.argmax())
    probability = float(probabilities[label])
    return Prediction(label, class_names()[label], probability, probabilities, float(measure))


def check_model(model: object, call: str) -> None:
    """Refuse what is not a Keras model of images (n, 28, 28, 1); `call` is the right call."""
    import keras  # heavy

    if not isinstance(model, keras.Model):
        raise TypeError(f"expected a Keras model first, got {type(model).__name__}; call {call}")
    shape = getattr(model, "input_shape", ()) if model.built else ()
    # Keras itself drops the last axis for a network that takes images (n, 28, 28).
    sides = zip(list(shape)[1:], (*IMAGE_SHAPE, 1), strict=False)
    if any(side not in (None, expected) for side, expected in sides):
        raise ValueError(f"expected a model that takes images (n, 28, 28, 1), got one for {shape}")


def class_probabilities(model: keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities (n, 10) that a model gives images; refuse any other output."""
    batches = np.split(images, range(500, len(images), 500))
    # Quicker than model.predict, which sets up an input pipeline first.
    answers = [model.predict_on_batch(batch) for batch in batches]
    if getattr(answers[0], "shape", ())[1:] != (len(CLASS_NAMES),):
        raise ValueError(
            "expected a model with one output of shape (n, 10), a probability for each class, got "
            f"{getattr(model, 'output_shape', type(answers[0]).__name__)}"
        )
    # Where a model runs on several devices, each of them answers the whole batch.
    answers = [answer[: len(batch)] for answer, batch in zip(answers, batches, strict=True)]
    probabilities = np.concatenate(answers).astype(np.float32)
    sums = probabilities.sum(axis=1)
    if not (np.abs(sums - 1) < 0.02).all() or probabilities.min() < 0:  # NaN fails, too
        raise ValueError(
            "expected a model that gives probabilities, which sum to 1 for each image, got sums "
            f"from {sums.min():.3g} to {sums.max():.3g}; its weights must be finite, and it "
            "must end in softmax, as after model.add(keras.layers.Softmax())"
        )
    return probabilities
