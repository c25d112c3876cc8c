"""Evaluate a model on a split, and predict the class of one image."""

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.images import Split, as_batch, check_split
from fashion_cnn.language import class_names
from fashion_cnn.language import gettext as _
from fashion_cnn.unlikeness import (
    WARNED_OF_FASHION_MNIST,
    WARNED_OF_OTHER_THINGS,
    UnlikeDataWarning,
    unlikeness,
)

if TYPE_CHECKING:
    import keras

EVALUATION_BATCH_SIZE = 500


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
        How unlike the data set the image is, whatever the model says: about 0.4 for a typical
        image of the data set; above 1, do not rely on the prediction.
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
        If the images or labels are not as expected; the message says how to fix them.

    Examples
    --------
    >>> evaluation = evaluate(model, data.validation)
    >>> 0 <= evaluation.accuracy <= 1
    True
    """
    import keras  # heavy: prediction's other functions need only the model

    _check_model(model, "evaluate(model, split)")
    check_split(split, "the")
    images, labels = split
    batches = range(0, len(labels), EVALUATION_BATCH_SIZE)
    # Quicker than model.predict, which sets up an input pipeline first.
    probabilities = np.concatenate(
        [model.predict_on_batch(images[n : n + EVALUATION_BATCH_SIZE]) for n in batches]
    )
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
        If the image has another shape, a value out of range or NaN, or is not made of numbers.

    Examples
    --------
    >>> bag = data.validation.images[data.validation.labels == 8][0]
    >>> predict(model, bag, warn=False).class_name
    'Bag'
    """
    _check_model(model, "predict(model, image)")
    batch = as_batch(image)
    measure = float(unlikeness(batch)[0])
    if warn and measure > 1:
        message = _(
            "expected an image like Fashion-MNIST's, got one that is {measure:.2f} times as far "
            "from the nearest class (by its grey values in 7×7 cells) as 99 % of its images are at "
            "most; do not rely on the prediction. Of 100 images of the data set about {of_data} "
            "gets this warning, of 100 pictures of other things about {of_others}. Look at the "
            "image: it should show one garment, upright, light on dark; prepare_photo makes it "
            "from a photo, plot_photo_steps shows how"
        ).format(measure=measure, of_data=WARNED_OF_FASHION_MNIST, of_others=WARNED_OF_OTHER_THINGS)
        warnings.warn(message, UnlikeDataWarning, stacklevel=2)
    probabilities = np.asarray(model.predict_on_batch(batch))[0]
    label = int(probabilities.argmax())
    return Prediction(
        label, class_names()[label], float(probabilities[label]), probabilities, measure
    )


def _check_model(model: object, call: str) -> None:
    if not hasattr(model, "predict_on_batch"):
        raise TypeError(f"expected a Keras model first, got {type(model).__name__}; call {call}")
