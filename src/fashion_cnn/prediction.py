"""Evaluate a model on a split, and predict the class of one image."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, Split, as_batch, checked_split
from fashion_cnn.language import class_names
from fashion_cnn.language import gettext as _
from fashion_cnn.unlikeness import UnlikeDataWarning, unlike_message, unlikeness

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH_SIZE = 500
SURE = 0.6  # a probability: real photos told with less are wrong half of the time


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
        """Return one line, without the other nine probabilities."""
        return (
            f"Prediction(label={self.label}, class_name={self.class_name!r}, "
            f"probability={self.probability:.4f}, unlikeness={self.unlikeness:.2f})"
        )

    @property
    def remark(self) -> str:
        """Why not to rely on it, in a sentence, in the language in use; empty if there is none."""
        if self.unlikeness > 1:
            return unlike_message()
        if self.probability < SURE:
            second = class_names()[int(self.probabilities.argsort()[-2])]
            return _("I am not sure: it could also be {second}").format(second=second)
        return ""


def evaluate(model: "keras.Model", split: Split) -> Evaluation:
    """Compute loss and accuracy over all images of a split.

    Parameters
    ----------
    model : keras.Model
        A network that gives probabilities of shape (n, 10), compiled or not.
    split : Split
        Images (n, 28, 28, 1) in [0, 1] and labels (n,), such as ``data.validation``.

    Returns
    -------
    Evaluation
        ``loss`` and ``accuracy``.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If the images or labels are not as expected, or the model does not give probabilities of
        ten classes; the message says how to fix them.

    Examples
    --------
    >>> evaluation = evaluate(model, data.validation)
    >>> 0 <= evaluation.accuracy <= 1
    True
    """
    import keras  # heavy

    _check_model(model, "evaluate(model, split)")
    images, labels = checked_split(split, "the")
    probabilities = _probabilities(model, images)
    loss = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    return Evaluation(
        loss=float(loss), accuracy=float(np.mean(probabilities.argmax(axis=1) == labels))
    )


def predict(model: "keras.Model", image: ArrayLike, *, warn: bool = True) -> Prediction:
    """Predict the class of one image, in about a millisecond once the model is warm.

    Parameters
    ----------
    model : keras.Model
        A network from `build_cnn` or `load_model`.
    image : array_like, shape (28, 28), (28, 28, 1) or (1, 28, 28, 1)
        Light on dark as in Fashion-MNIST: integers 0 to 255, or floats in [0, 1].
    warn : bool
        Whether to warn of an image unlike the data set's; False for callers that read
        ``unlikeness`` themselves.

    Returns
    -------
    Prediction
        Label, class name, its probability, all ten probabilities, and unlikeness.

    Warns
    -----
    UnlikeDataWarning
        If the image is unlike the data set's, whatever the probability.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If the image has another shape, a value out of range or NaN, or is not made of numbers; or
        if the model does not give probabilities of ten classes.

    Examples
    --------
    >>> bag = data.validation.images[data.validation.labels == 8][0]
    >>> predict(model, bag, warn=False).class_name
    'Bag'
    """
    _check_model(model, "predict(model, image)")
    batch = as_batch(image)
    probabilities = _probabilities(model, batch)[0]
    measure = float(unlikeness(batch)[0])
    if warn and measure > 1:
        warnings.warn(unlike_message(), UnlikeDataWarning, stacklevel=2)
    label = int(probabilities.argmax())
    return Prediction(
        label, class_names()[label], float(probabilities[label]), probabilities, measure
    )


def _check_model(model: object, call: str) -> None:
    """Refuse what is no Keras model of images (n, 28, 28, 1)."""
    import keras  # heavy

    if not isinstance(model, keras.Model):
        raise TypeError(f"expected a Keras model first, got {type(model).__name__}; call {call}")
    wanted = (None, *IMAGE_SHAPE, 1)
    takes = getattr(model, "input_shape", wanted)
    if len(takes) != 4 or any(n not in (None, m) for n, m in zip(takes, wanted, strict=True)):
        raise ValueError(f"expected a model that takes images (n, 28, 28, 1), got one for {takes}")


def _probabilities(model: "keras.Model", images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ask a model for the probabilities (n, 10) of images, and refuse other answers."""
    # Quicker than model.predict, which sets up an input pipeline first.
    batches = [
        model.predict_on_batch(images[start : start + EVALUATION_BATCH_SIZE])
        for start in range(0, len(images), EVALUATION_BATCH_SIZE)
    ]
    is_array = isinstance(batches[0], np.ndarray) and batches[0].ndim > 0
    probabilities = np.concatenate(batches).astype(np.float32) if is_array else np.empty(0)
    if probabilities.shape != (len(images), len(CLASS_NAMES)):
        raise ValueError(
            "expected a model with one output of shape (n, 10), a probability for each class, got "
            f"{getattr(model, 'output_shape', type(batches[0]).__name__)}"
        )
    sums = probabilities.sum(axis=1)
    if not (np.abs(sums - 1) < 0.02).all() or probabilities.min() < 0:  # NaN fails, too
        raise ValueError(
            "expected a model that gives probabilities, which sum to 1 for each image, got sums "
            f"from {sums.min():.3g} to {sums.max():.3g}; its last layer needs softmax, and its "
            "weights must be finite"
        )
    return probabilities
