"""Open a picture in any accepted form, as a small upright image."""

import contextlib
import importlib
import io
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from fashion_cnn.images import IMAGE_SHAPE, white_value
from fashion_cnn.language import gettext as _
from fashion_cnn.language import on_disk

# None of them starts another program, as EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MAX_PIXELS = 80_000_000
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
        return _decoded(on_disk(photo).read_bytes(), str(photo))
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
        message = _("expected at most {most} pixels, got more in {name}: {why}")
        message = message.format(most=f"{MAX_PIXELS:,}", name=name, why=error)
        raise PhotoError(message, "large") from None
    # Damaged files make Pillow's decoders raise almost anything, SyntaxError and IndexError too.
    except Exception as error:
        message = _("expected an intact picture, got {name}, which cannot be read: {why}")
        why = _why_unreadable(content, error)
        raise PhotoError(message.format(name=name, why=why)) from error


def _why_unreadable(content: bytes, error: Exception) -> str:
    if not content:
        return _("it is empty; copy or download it again")
    is_heic = content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS
    if is_heic and "HEIF" not in Image.OPEN:
        return _('it is HEIC, which needs: pip install "fashion-cnn[heic]"')
    if isinstance(error, UnidentifiedImageError) and not is_heic:
        why = _("it is of another kind than {formats}; save it again as JPEG or PNG")
        return why.format(formats=", ".join(FORMATS))
    why = _("it is damaged ({error}); copy it again, or save it again as JPEG or PNG")
    return why.format(error=str(error) or type(error).__name__)


def _upright(image: Image.Image) -> Image.Image:
    _check_size(image.size)
    has_16_bits = ";16" in str(getattr(image, "tile", ""))  # of colours, Pillow reads the upper 8
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # a TIFF is upright by now
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        image = _image_of(values.astype(np.int64) if 1 < values.max() < 2**32 else values)
    image = image.convert("LA") if image.mode == "La" else image  # Pillow goes no further at once
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if has_16_bits:
        image = Image.fromarray(_in_8_bits(np.asarray(image), 1))
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX, reducing_gap=2)
    image.info.clear()  # some odd metadata can be read but not written
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        message, reason = _("expected at most {most} pixels, got {size}; make it smaller"), "large"
    elif max(size) < IMAGE_SHAPE[0] or min(size) < 1:
        message = _("expected at least {least} pixels on the longer side, got {size}")
        reason = "small"
    else:
        return
    size_text = f"{width:,} × {height:,}"
    limits = {"most": f"{MAX_PIXELS:,}", "least": IMAGE_SHAPE[0]}
    raise PhotoError(message.format(size=size_text, **limits), reason)


def _image_of(array: NDArray[Any]) -> Image.Image:
    """Return an 8-bit image of an array of 8 or 16 bits, as its values tell, or of floats."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "expected an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), "
            f"got {array.shape}; pass one picture, its colours in the last axis"
        )
    if array.dtype == bool:
        array = array * np.uint8(255)
    if np.issubdtype(array.dtype, np.integer):
        array = _in_8_bits(np.atleast_3d(array))
    white = white_value(array, "the photo's values")
    pixels = (np.rint(array * 255) if white == 1 else array).astype(np.uint8, copy=False)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)


def _in_8_bits(array: NDArray[Any], at_least: int = 8) -> NDArray[Any]:
    """Scale integers (h, w, n) by the bits that they use, colours and transparency each."""
    parts = []
    for part in (array[..., :3], array[..., 3:]):
        bits = max(at_least, int(part.max(initial=0)).bit_length())
        parts.append(part << 8 - bits if bits < 8 else part >> bits - 8)
    return np.concatenate(parts, axis=-1)
