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


def checked_split(split: Split, name: str) -> Split:
    """Return images (n, 28, 28, 1) in [0, 1] as float32 and n labels from 0 to 9 as int64.

    Arrays of these types are not copied; other numbers are converted; all else is refused.
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        got = f"{len(split)} parts" if isinstance(split, tuple) else type(split).__name__
        raise ValueError(
            f"expected a pair of images and labels, such as data.validation, "
            f"got {got}; pass one split, not the whole data set"
        )
    try:
        images, labels = (np.asarray(part) for part in split)
    except ValueError as error:  # lists whose rows differ in length
        raise ValueError(f"expected {name} images and labels as arrays: {error}") from None
    if images.shape[1:] != (*IMAGE_SHAPE, 1) or images.size == 0:
        raise ValueError(
            f"expected {name} images of shape (n, 28, 28, 1), got {images.shape}. "
            f"{_shape_fix(images)}"
        )
    check_values(images, f"{name} images")
    if labels.shape != (len(images),):
        fix = "use labels.argmax(axis=1)" if labels.ndim == 2 else "each image needs one label"
        raise ValueError(
            f"expected {name} labels of shape ({len(images)},), got {labels.shape}; {fix}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"expected {name} labels of an integer dtype, got {labels.dtype}; "
            "convert them with labels.astype(int)"
        )
    if labels.min() < 0 or labels.max() >= len(CLASS_NAMES):
        raise ValueError(
            f"expected {name} labels from 0 to {len(CLASS_NAMES) - 1}, "
            f"got {labels.min()} to {labels.max()}; each label is an index into CLASS_NAMES"
        )
    return Split(np.ascontiguousarray(images, np.float32), np.ascontiguousarray(labels, np.int64))


def check_values(images: NDArray[np.generic], name: str) -> None:
    """Refuse images that are not floats in [0, 1]; the ValueError says how to fix them."""
    if not np.issubdtype(images.dtype, np.floating):
        fix = (
            "divide them by 255 if they hold 0 to 255"
            if np.issubdtype(images.dtype, np.integer)
            else "convert them with np.asarray(images, dtype=np.float32)"
        )
        raise ValueError(f"expected {name} of floats in [0, 1], got dtype {images.dtype}; {fix}")
    low, high = images.min(), images.max()  # NaN if any value is NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(
            f"expected finite values in {name}, got NaN or infinity; find out where they come from"
        )
    if low < 0 or high > 1:
        raise ValueError(
            f"expected {name} in [0, 1], got values from {low:.9g} to {high:.9g}; "
            "divide by 255 if they were 0 to 255"
        )
    if 0 < high <= np.float32(1 / 255):
        raise ValueError(
            f"expected {name} with values up to 1, got values up to {high:g}; "
            "they may have been divided by 255 twice"
        )


def as_batch(image: ArrayLike) -> NDArray[np.float32]:
    """Return one image, integers from 0 to 255 or floats in [0, 1], as a batch (1, 28, 28, 1)."""
    try:
        array = np.asarray(image)
    except ValueError as error:  # lists whose rows differ in length
        raise ValueError(f"expected an image of shape (28, 28): {error}") from None
    if array.shape not in (IMAGE_SHAPE, (*IMAGE_SHAPE, 1), (1, *IMAGE_SHAPE, 1)):
        raise ValueError(
            "expected one image of shape (28, 28), (28, 28, 1) or (1, 28, 28, 1), "
            f"got shape {array.shape}. {_shape_fix(array)}"
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


def _shape_fix(array: NDArray[np.generic]) -> str:
    """Say what to do with an array that is neither images (n, 28, 28, 1) nor one image."""
    if array.ndim == 0:
        return "For a photo, use predict(model, prepare_photo(path))."
    if array.size == 0:
        return "The array is empty."
    if array.shape[-3:] == (1, *IMAGE_SHAPE):
        return "Move the channel axis to the end: np.moveaxis(images, -3, -1)."
    if array.shape in (IMAGE_SHAPE, (*IMAGE_SHAPE, 1)):
        return "For one image, use predict(model, image)."
    if array.shape[1:] == IMAGE_SHAPE:
        return "Add the channel axis, images[..., np.newaxis]; predict takes one image, images[0]."
    if array.shape[1:] == (*IMAGE_SHAPE, 1):
        return "predict takes one image, images[0]; for several, use model.predict(images)."
    return "Resize to 28×28 grey pixels."
