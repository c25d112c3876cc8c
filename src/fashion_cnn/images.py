"""Define what images, labels and splits are, and check them."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGE_SHAPE = (28, 28)


class Split(NamedTuple):
    """Images and their labels; a tuple of two, so that ``model.fit(*split)`` works.

    A slice, a mask or an array of indices gives the split of those images.

    Attributes
    ----------
    images : ndarray of float32, shape (n, 28, 28, 1)
        Grey values in [0, 1]; 0 is the black background.
    labels : ndarray of int64, shape (n,)
        Index into ``CLASS_NAMES``, 0 to 9.

    Examples
    --------
    >>> few = data._replace(train=data.train[:100])  # for a quick experiment
    >>> few.train.size
    100
    >>> data.test[data.test.labels == 8]
    Split(images of shape (20, 28, 28, 1), labels of shape (20,))
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __getitem__(self, key: Any) -> Any:
        """Return the images for 0, the labels for 1, and for any other key the split it selects."""
        try:
            return tuple.__getitem__(self, operator.index(key))
        except TypeError:  # it is no integer
            return Split(np.asarray(self.images)[key], np.asarray(self.labels)[key])
        except IndexError:
            message = (
                "expected 0 for the images, 1 for the labels, or a slice, got {n}; use .images[{n}]"
            )
            raise IndexError(message.format(n=key)) from None

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Return one line with the shapes; TensorFlow also makes splits of tensors and specs."""
        return "Split(images of shape {}, labels of shape {})".format(
            *(getattr(part, "shape", part) for part in self)
        )


def as_images(images: ArrayLike, name: str = "images") -> NDArray[np.float32]:
    """Return one image or several as float32 (n, 28, 28, 1) in [0, 1]; copy only to convert.

    Takes floats in [0, 1], integers from 0 to 255, or bool, where True is white, of shape (28, 28),
    (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1); a ValueError says how to fix others.

    Examples
    --------
    >>> as_images(np.full((28, 28), 255, np.uint8)).max().item()
    1.0
    """
    expected = f"expected {name} of 28×28 pixels, of shape (n, 28, 28, 1)"
    try:
        array = np.asarray(images)
    except ValueError:
        problem = "a split or other parts that differ in length"
        raise ValueError(f"{expected}, such as split.images, got {problem}") from None
    shape = array.shape[:-1] if array.shape[-1:] == (1,) else array.shape
    if len(shape) not in (2, 3) or shape[-2:] != IMAGE_SHAPE or array.size == 0:
        raise ValueError(f"{expected}, got {array.shape}. {_shape_fix(array)}")
    scaled = array if white_value(array, name) == 1 else np.divide(array, 255, dtype=np.float32)
    return np.ascontiguousarray(scaled, np.float32).reshape(-1, *IMAGE_SHAPE, 1)


def as_batch(image: ArrayLike) -> NDArray[np.float32]:
    """Return one image as `as_images` does, as a batch (1, 28, 28, 1); refuse several."""
    batch = as_images(image, "an image")
    if len(batch) != 1:
        raise ValueError(
            f"expected one image, got {len(batch)}; pass images[0], or get the labels of many, in "
            "[0, 1], with model.predict(images).argmax(axis=1)"
        )
    return batch


def as_labels(labels: ArrayLike, n: int, name: str = "labels") -> NDArray[np.int64]:
    """Return labels as int64 (n,); raise a ValueError unless they are n integers from 0 to 9."""
    array = np.atleast_1d(labels)
    if array.shape != (n,):
        fix = "use labels.argmax(axis=1)" if array.ndim == 2 else "each image needs one label"
        problem = f"{array.shape}; {fix}"
    elif not np.issubdtype(array.dtype, np.integer):
        problem = f"dtype {array.dtype}, no integers; convert them with labels.astype(int)"
    elif array.min() < 0 or array.max() >= len(CLASS_NAMES):
        problem = f"{array.min()} to {array.max()}; each label is an index into CLASS_NAMES"
    else:
        return np.ascontiguousarray(array, np.int64)
    raise ValueError(f"expected {name} from 0 to 9 of shape ({n},), got {problem}")


def checked_split(split: tuple[ArrayLike, ArrayLike], name: str) -> Split:
    """Return a split's images and labels as `as_images` and `as_labels` do."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        got = f"{len(split)} parts" if isinstance(split, tuple) else type(split).__name__
        raise ValueError(
            f"expected a pair of images and labels, such as data.validation, got {got}"
        )
    images = as_images(split[0], f"{name} images")
    return Split(images, as_labels(split[1], len(images), f"{name} labels"))


def white_value(array: NDArray[np.generic], name: str) -> int:
    """Return the value of white, 255 for integers, else 1; refuse values outside 0 to white."""
    is_number = array.dtype.kind in "biuf"
    white = 255 if array.dtype.kind in "iu" else 1
    low, high = (array.min(), array.max()) if is_number else (0, 0)  # NaN if any value is NaN
    if not is_number:
        problem = f"dtype {array.dtype}; convert them with np.asarray(images, dtype=np.float32)"
    elif not (np.isfinite(low) and np.isfinite(high)):
        problem = "NaN or infinity; find out where they come from"
    elif low < 0 or high > white:
        fix = "divide by 255 if they were 0 to 255" if white == 1 else "scale them to that range"
        problem = f"{array.dtype} from {low:.9g} to {high:.9g}; {fix}"
    elif 0 < high <= np.float32(white / 255):
        fix = "they may have been divided by 255 twice" if white == 1 else "use bool for 0 and 1"
        problem = f"{array.dtype} up to {high:.3g}; {fix}"
    else:
        return white
    expected = f"{name} of floats in [0, 1] or integers from 0 to 255"
    raise ValueError(f"expected {expected}, got {problem}")


def _shape_fix(array: NDArray[np.generic]) -> str:
    if array.ndim == 0:
        return "For a photo, use prepare_photo(path)."
    if array.size == 0:
        return "The array is empty."
    if array.shape[-3:] == (1, *IMAGE_SHAPE):
        return "Move the channel axis to the end: np.moveaxis(images, -3, -1)."
    if array.shape[-1] == np.prod(IMAGE_SHAPE):
        return "Reshape rows of 784 pixels: np.reshape(images, (-1, 28, 28))."
    return "Resize to 28×28 grey pixels, as prepare_photo(image) does for a photo or a drawing."
