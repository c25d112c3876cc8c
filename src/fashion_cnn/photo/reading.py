"""Open a picture in any accepted form, as a small upright image."""

import contextlib
import importlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fashion_cnn.images import IMAGE_SHAPE, white_value

# None of them starts another program, as EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")
MAX_PIXELS = 50_000_000
MAX_SIDE = 224  # to which larger pictures are reduced

Photo = str | os.PathLike[str] | bytes | Image.Image | ArrayLike


class PhotoError(ValueError):
    """A picture that cannot be prepared; the message says why, and what to do.

    Attributes
    ----------
    reason : str
        The same in a word: ``"large"``, ``"small"``, ``"nothing"`` (found) or ``"unreadable"``.
    """

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


def read_photo(photo: Photo) -> Image.Image:
    """Return what `prepare_photo` accepts upright, in RGB or RGBA, at most 224 pixels a side."""
    if isinstance(photo, bytes):
        return _decoded(photo, "the picture")
    if isinstance(photo, str | os.PathLike):
        return _decoded(Path(photo).expanduser().read_bytes(), str(photo))
    return _upright(photo if isinstance(photo, Image.Image) else _image_of(np.asarray(photo)))


def _decoded(content: bytes, name: str) -> Image.Image:
    formats = list(FORMATS)
    with contextlib.suppress(ImportError):  # the extra [heic]
        importlib.import_module("pillow_heif").register_heif_opener()
        formats.append("HEIF")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            _check_size(image.size)
            image.draft(None, (MAX_SIDE, MAX_SIDE))  # a large JPEG: 1/2, 1/4 or 1/8
            return _upright(image)
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        message = f"expected at most {MAX_PIXELS:,} pixels, got more in {name}: {error}"
        raise PhotoError(message, "large") from None
    # Damaged files make Pillow's decoders raise almost anything, SyntaxError and IndexError too.
    except Exception as error:
        why = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            why = 'it is of another kind; .heic needs: pip install "fashion-cnn[heic]"'
        raise PhotoError(
            f"expected an intact picture in {', '.join(FORMATS)}, got {name}, which cannot be "
            f"read ({why}); save it again as JPEG or PNG"
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    _check_size(image.size)
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # a TIFF is upright by now
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        image = _image_of(values.astype(int) if values.max() > 1 else values)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX, reducing_gap=2)
    image.info.clear()  # some odd metadata can be read but not written
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    is_large = width * height > MAX_PIXELS
    if is_large or max(size) < IMAGE_SHAPE[0] or min(size) < 1:
        message = (
            f"expected at most {MAX_PIXELS:,} pixels, and at least {IMAGE_SHAPE[0]} on the longer "
            f"side, got {width:,} × {height:,}"
        )
        raise PhotoError(message, "large" if is_large else "small")


def _image_of(array: NDArray[Any]) -> Image.Image:
    """Return an 8-bit image of an array of 8 or 16 bits, as its values tell, or of floats."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "expected an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), "
            f"got {array.shape}; pass one picture, its colours in the last axis"
        )
    if np.issubdtype(array.dtype, np.integer) and 255 < array.max() < 2**16:
        array = array // 257  # 65535 becomes 255
    white = white_value(array, "the photo's values")
    pixels = (np.rint(array * 255) if white == 1 else array).astype(np.uint8, copy=False)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
