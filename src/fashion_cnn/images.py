"""Define what images, labels and splits are, and check them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGE_SHAPE = (28, 28)


class Split(NamedTuple):
    """Images and their labels; a tuple, so that ``model.fit(*split)`` works.

    Attributes
    ----------
    images : ndarray of float32, shape (n, 28, 28, 1)
        Grey values in [0, 1]; 0 is the black background.
    labels : ndarray of int64, shape (n,)
        Index into ``CLASS_NAMES``, 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __repr__(self) -> str:
        """Return one line with the shapes, not the pixels."""
        return f"Split(images of shape {np.shape(self.images)}, {len(self.labels):,} labels)"


def as_images(images: ArrayLike, name: str = "images") -> NDArray[np.float32]:
    """Return one image or several in one form: the check at the door of every function.

    Parameters
    ----------
    images : array_like, shape (28, 28), (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1)
        Grey values, light on dark: floats in [0, 1], or integers from 0 to 255.
    name : str
        What to call them in an error.

    Returns
    -------
    ndarray of float32, shape (n, 28, 28, 1)
        The same in [0, 1]. It is the given array itself if that has this form already.

    Raises
    ------
    ValueError
        If the shape, the type or a value is another; the message says how to fix it.

    Examples
    --------
    >>> as_images(np.full((28, 28), 255, np.uint8)).max()
    np.float32(1.0)
    """
    try:
        array = np.asarray(images)
    except ValueError as error:  # lists whose rows differ in length
        raise ValueError(f"expected {name} of shape (n, 28, 28, 1): {error}") from None
    shape = array.shape[:-1] if array.shape[-1:] == (1,) else array.shape
    if len(shape) not in (2, 3) or shape[-2:] != IMAGE_SHAPE or array.size == 0:
        raise ValueError(
            f"expected {name} of 28×28 pixels, in shape (n, 28, 28, 1), got {array.shape}. "
            f"{_shape_fix(array)}"
        )
    scaled = array if check_values(array, name) == 1 else np.divide(array, 255, dtype=np.float32)
    return np.ascontiguousarray(scaled, np.float32).reshape(-1, *IMAGE_SHAPE, 1)


def as_batch(image: ArrayLike) -> NDArray[np.float32]:
    """Return one image as `as_images` does, as a batch (1, 28, 28, 1); refuse several."""
    batch = as_images(image, "an image")
    if len(batch) != 1:
        raise ValueError(
            f"expected one image, got {len(batch)}; pass images[0], or use model.predict(images)"
        )
    return batch


def as_labels(labels: ArrayLike, n: int, name: str = "labels") -> NDArray[np.int64]:
    """Return n labels from 0 to 9 as int64 (n,); refuse others in a ValueError that helps."""
    array = np.atleast_1d(labels)
    if array.shape != (n,):
        fix = "use labels.argmax(axis=1)" if array.ndim == 2 else "each image needs one label"
        raise ValueError(f"expected {name} of shape ({n},), got {array.shape}; {fix}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"expected {name} of an integer dtype, got {array.dtype}; "
            "convert them with labels.astype(int)"
        )
    if array.min() < 0 or array.max() >= len(CLASS_NAMES):
        raise ValueError(
            f"expected {name} from 0 to {len(CLASS_NAMES) - 1}, "
            f"got {array.min()} to {array.max()}; each label is an index into CLASS_NAMES"
        )
    return np.ascontiguousarray(array, np.int64)


def checked_split(split: Split, name: str) -> Split:
    """Return a split's images and labels as `as_images` and `as_labels` do."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        got = f"{len(split)} parts" if isinstance(split, tuple) else type(split).__name__
        raise ValueError(
            f"expected a pair of images and labels, such as data.validation, "
            f"got {got}; pass one split, not the whole data set"
        )
    images = as_images(split[0], f"{name} images")
    return Split(images, as_labels(split[1], len(images), f"{name} labels"))


def check_values(array: NDArray[np.generic], name: str) -> int:
    """Refuse values that are no grey values; return what stands for white, 1 or 255 (integers)."""
    is_integer = np.issubdtype(array.dtype, np.integer)
    if not (is_integer or np.issubdtype(array.dtype, np.floating)):
        raise ValueError(
            f"expected {name} of floats in [0, 1] or integers from 0 to 255, got dtype "
            f"{array.dtype}; convert them with np.asarray(images, dtype=np.float32)"
        )
    white = 255 if is_integer else 1
    low, high = array.min(), array.max()  # NaN if any value is NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"expected finite values in {name}, got NaN or infinity; find out where they come from"
        )
    if low < 0 or high > white:
        fix = "scale them to that range" if is_integer else "divide by 255 if they were 0 to 255"
        raise ValueError(
            f"expected {name} of floats in [0, 1] or integers from 0 to 255, "
            f"got {array.dtype} from {low:.9g} to {high:.9g}; {fix}"
        )
    if 0 < high <= np.float32(white / 255):
        raise ValueError(
            f"expected {name} with values up to {white}, got values up to {high:.3g}; "
            "they may have been divided by 255 twice"
        )
    return white


def _shape_fix(array: NDArray[np.generic]) -> str:
    """Say what to do with an array that does not hold images."""
    if array.ndim == 0:
        return "For a photo, use prepare_photo(path)."
    if array.size == 0:
        return "The array is empty."
    if array.shape[-3:] == (1, *IMAGE_SHAPE):
        return "Move the channel axis to the end: np.moveaxis(images, -3, -1)."
    return "Resize to 28×28 grey pixels."
