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
    """Return one image or several as float32 (n, 28, 28, 1) in [0, 1]; every function uses it.

    They may have shape (28, 28), (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1), and be floats in
    [0, 1] or integers from 0 to 255; others are refused in a ValueError that says how to fix them.
    Images that have that form already are not copied.

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
    scaled = array if white_value(array, name) == 1 else np.divide(array, 255, dtype=np.float32)
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
            f"expected a pair of images and labels, such as data.validation, "
            f"got {got}; pass one split, not the whole data set"
        )
    images = as_images(split[0], f"{name} images")
    return Split(images, as_labels(split[1], len(images), f"{name} labels"))


def white_value(array: NDArray[np.generic], name: str) -> int:
    """Return the value of white, 1 for floats and 255 for integers; refuse other values."""
    is_number = array.dtype.kind in "iuf"
    white = 1 if array.dtype.kind == "f" else 255
    low, high = (array.min(), array.max()) if is_number else (0, 0)  # NaN if any value is NaN
    if not is_number:
        problem = f"dtype {array.dtype}; convert them with np.asarray(images, dtype=np.float32)"
    elif not (np.isfinite(low) and np.isfinite(high)):
        problem = "NaN or infinity; find out where they come from"
    elif low < 0 or high > white:
        fix = "divide by 255 if they were 0 to 255" if white == 1 else "scale them to that range"
        problem = f"{array.dtype} from {low:.9g} to {high:.9g}; {fix}"
    elif 0 < high <= np.float32(white / 255):
        problem = f"values up to {high:.3g}; they may have been divided by 255 twice"
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
    return "Resize to 28×28 grey pixels."
