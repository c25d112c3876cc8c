"""Evaluate a model on a split and predict the class of one image."""

import warnings
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fashion_cnn.data import CLASS_NAMES, IMAGE_SHAPE, Split, check_split, check_values
from fashion_cnn.unlikeness import (
    WARNED_OF_FASHION_MNIST,
    WARNED_OF_OTHER_THINGS,
    UnlikeDataWarning,
    unlikeness,
)

EVALUATION_BATCH_SIZE = 500


class Evaluation(NamedTuple):
    """How a model does on a split.

    Attributes
    ----------
    loss : float
        Mean cross-entropy, in nats.
    accuracy : float
        The part of the images whose predicted label is the true one, in [0, 1].
    """

    loss: float
    accuracy: float


class Prediction(NamedTuple):
    """What a model says about one image.

    Attributes
    ----------
    label : int
        The predicted label, 0 to 9.
    class_name : str
        Its name, from ``CLASS_NAMES``.
    probability : float
        The probability of that label, in [0, 1].
    probabilities : ndarray of float32, shape (10,)
        The probability of each label; they sum to 1.
    """

    label: int
    class_name: str
    probability: float
    probabilities: NDArray[np.float32]


def evaluate(model: keras.Model, split: Split) -> Evaluation:
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
    ValueError
        If the images are not floats in [0, 1] of that shape, or the labels not n integers from
        0 to 9; the message names the mend.
    """
    check_split(split, "the")
    images, labels = split
    batches = range(0, len(labels), EVALUATION_BATCH_SIZE)
    # Quicker than model.predict, which first sets up an input pipeline.
    probabilities = np.concatenate(
        [model.predict_on_batch(images[n : n + EVALUATION_BATCH_SIZE]) for n in batches]
    )
    loss = keras.losses.SparseCategoricalCrossentropy()(labels, probabilities)
    return Evaluation(
        loss=float(loss), accuracy=float(np.mean(probabilities.argmax(axis=1) == labels))
    )


def expected_calibration_error(
    true_labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10
) -> float:
    """Compute how far a network's confidence is from its accuracy, on average.

    The images are sorted by confidence, the probability of the predicted label, into bins of equal
    width; in each, accuracy and mean confidence are compared (Guo et al. 2017, arXiv:1706.04599).

    Parameters
    ----------
    true_labels : array_like of int, shape (n,)
        Labels 0 to 9.
    probabilities : array_like, shape (n, 10)
        What ``model.predict`` gave.
    bins : int
        How many bins, at least 1.

    Returns
    -------
    float
        Mean distance of accuracy and confidence, each bin weighted by its images, in [0, 1].

    Raises
    ------
    ValueError
        If there are not as many labels as rows of probabilities, at least one.
    """
    true_labels, probabilities = np.asarray(true_labels), np.asarray(probabilities)
    if probabilities.ndim != 2 or not 0 < len(probabilities) == len(true_labels):
        raise ValueError(
            "expected labels of shape (n,) and probabilities of shape (n, 10), "
            f"got {true_labels.shape} and {probabilities.shape}"
        )
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == true_labels
    bin_numbers = np.minimum((confidence * bins).astype(int), bins - 1)
    too_sure = np.bincount(bin_numbers, weights=confidence - is_right)  # in sum, for each bin
    return float(np.abs(too_sure).sum() / len(true_labels))


def predict(model: keras.Model, image: ArrayLike) -> Prediction:
    """Predict the class of one image, in about a millisecond once the model is warm.

    Parameters
    ----------
    model : keras.Model
        A network from `build_cnn` or `load_model`.
    image : array_like, shape (28, 28), (28, 28, 1) or (1, 28, 28, 1)
        Light on dark as in Fashion-MNIST: integers 0 to 255, or floats in [0, 1].

    Returns
    -------
    Prediction
        Label, class name, its probability and all ten probabilities.

    Warns
    -----
    UnlikeDataWarning
        If the image is unlike the data set's, whatever the probability; the message says how
        that was measured and how often it is right.

    Raises
    ------
    ValueError
        If the image has another shape, a value out of range or NaN, or is not made of numbers.

    Examples
    --------
    >>> predict(model, data.validation.images[0]).class_name     # doctest: +SKIP
    'Bag'
    """
    batch = as_batch(image)
    _warn_if_unlike(batch)
    probabilities = np.asarray(model.predict_on_batch(batch))[0]
    label = int(probabilities.argmax())
    return Prediction(label, CLASS_NAMES[label], float(probabilities[label]), probabilities)


def _warn_if_unlike(batch: NDArray[np.float32]) -> None:
    (measure,) = unlikeness(batch)
    if measure > 1:
        warnings.warn(
            f"expected an image like Fashion-MNIST's, got one that is {measure:.2f} times as far "
            "from the nearest class (by its shades in 7×7 cells) as 99 % of its images are at "
            "most; do not rely on the prediction. Of 100 images of the data set about "
            f"{WARNED_OF_FASHION_MNIST} gets this warning, of 100 pictures of other things about "
            f"{WARNED_OF_OTHER_THINGS}. Look at the image: it should be one garment, upright, "
            "light on dark; prepare_photo makes it from a photo, plot_photo_steps shows how",
            UnlikeDataWarning,
            stacklevel=3,
        )


def as_batch(image: ArrayLike) -> NDArray[np.float32]:
    """Return a float32 batch (1, 28, 28, 1) in [0, 1] of one image, or say what is wrong."""
    array = np.asarray(image)
    one_image_shapes = (IMAGE_SHAPE, (*IMAGE_SHAPE, 1), (1, *IMAGE_SHAPE, 1))
    if array.shape not in one_image_shapes:
        raise ValueError(
            "expected one image of shape (28, 28), (28, 28, 1) or (1, 28, 28, 1), "
            f"got shape {array.shape}. {_shape_advice(array)}"
        )
    if np.issubdtype(array.dtype, np.integer):
        if array.min() < 0 or array.max() > 255:
            raise ValueError(
                "expected integers from 0 to 255, "
                f"got values from {array.min()} to {array.max()}; rescale the image to 0 to 255"
            )
        array = np.divide(array, 255, dtype=np.float32)
    else:
        check_values(array, "image values")
    return array.astype(np.float32, copy=False).reshape(1, *IMAGE_SHAPE, 1)


def _shape_advice(array: NDArray[np.generic]) -> str:
    if array.ndim == 0:
        return "For a photo, use predict(model, prepare_photo(path))."
    if array.size == 0:
        return "The array is empty."
    if array.shape in ((1, *IMAGE_SHAPE), (1, 1, *IMAGE_SHAPE)):
        return "Take the channel axis off or move it to the end: image.reshape(28, 28)."
    if array.shape[1:] in (IMAGE_SHAPE, (*IMAGE_SHAPE, 1)):
        return "For several images use model.predict(images), or pass one: images[0]."
    return "Resize the image to 28×28 grey pixels."
