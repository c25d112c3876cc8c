"""Turn a photo into an image like those of Fashion-MNIST (without TensorFlow)."""

import contextlib
import importlib
import io
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fashion_cnn.images import IMAGE_SHAPE, check_values
from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.plotting import canvas, draw_image
from fashion_cnn.prediction import predict

if TYPE_CHECKING:
    import keras
    import pandas as pd

# None of them starts another program, as EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM", "HEIF")
SIDE = IMAGE_SHAPE[0]
NOTHING_FOUND = (
    "expected something that stands out from its background, found nothing; photograph one garment "
    "on a plain background of another colour, with some background all around it"
)
# Of a phone's .heic file, too, unless pillow-heif is installed.
OF_ANOTHER_KIND = 'it is of another kind; .heic needs: pip install "fashion-cnn[heic]"'
MOST_PIXELS = 50_000_000
MOST_SIDE = 50_000  # pixels
MOST_BYTES = 160_000_000  # of a file: MOST_PIXELS in RGB, uncompressed
MOST_SECONDS = 10  # of reading a file
READ_BYTES = 4_096  # between two looks at the clock
TILE_WIDTH, TILE_HEIGHT = 322, 323  # TIFF's tags
WORKING_SIDE = 224  # pixels; larger pictures are reduced
ORIENTATION = 0x0112  # EXIF's tag

BORDER = 0.03  # of the longer side: background
ROUNDS = 4  # of GrabCut
LEAST_CONTRAST = 10  # of 255, in CIELAB, between the lightest and darkest part or in colour
OUTLYING = 6.0  # times the median difference of the border's colours from their median
EVEN = 22.0  # standard deviation of a plain background, in CIELAB
NOISE = 3.0  # standard deviation, in CIELAB
LEAST_AREA, LEAST_SOLIDITY = 0.06, 0.55  # of the picture, and of the convex hull
LEAST_GROWTH = 1.3  # of what was assumed in the middle; less, and there is no garment
OPENING = 0.008  # of the longer side: thinner things, such as the hook of a hanger, go
LEAST_PART = 0.15  # of the largest part's area; smaller ones are other things
LEAST_HOLE = 0.02  # of the garment's area; smaller holes are patterns
LEAST_OBJECT = 1 / 20  # of the picture's longer side
OPAQUE = 128  # alpha, of 255
LIGHT = 0.8  # mean grey above which an opaque part would vanish on white
SMOOTHING = 0.02  # of the square root of the garment's area
DARK = 0.25  # median grey below which a background counts as black
GREY, DARKEST = 0.6, 0.12  # the median of every garment, and its darkest value
BODY, LEAST_BODY = 0.5, 0.6  # of the fullest column; of the garment's width
LEAST_SYMMETRY = 0.3  # of the wider sleeve


class PhotoSteps(NamedTuple):
    """The steps from a photo to an image like the data set's, each float32 in [0, 1].

    Attributes
    ----------
    upright : ndarray, shape (h, w, 3)
        The photo in RGB, turned upright, at most 224 pixels a side, no longer transparent.
    mask : ndarray, shape (h, w)
        1 where the garment is, 0 elsewhere.
    grey : ndarray, shape (h, w)
        The garment as a soft negative around a middle grey, on black.
    trimmed : ndarray, shape (h', w')
        The same, cut to the garment, its spread sleeves narrowed.
    centred : ndarray, shape (28, 28, 1)
        Its longer side 28 pixels, in the middle of a black square, in steps of 1/255: ready for
        `predict`.
    """

    upright: NDArray[np.float32]
    mask: NDArray[np.float32]
    grey: NDArray[np.float32]
    trimmed: NDArray[np.float32]
    centred: NDArray[np.float32]

    def __repr__(self) -> str:
        """Return the size of each step, width first."""
        sizes = (
            f"{name} {x.shape[1]}×{x.shape[0]}" for name, x in zip(self._fields, self, strict=True)
        )
        return f"PhotoSteps({', '.join(sizes)})"


def prepare_photo(
    photo: str | os.PathLike[str] | bytes | Image.Image | ArrayLike,
) -> NDArray[np.float32]:
    """Turn a photo of one garment on a plain background into an image like the data set's.

    The garment is told from its background, whatever their colours, turned into grey values on
    black, and scaled to 28 pixels, as Fashion-MNIST's makers did (arXiv:1708.07747, section 2).
    `photo_steps` returns each step, `plot_photo_steps` draws them. A picture of 28×28 pixels is
    taken for an image of the data set, or its negative, and stays as it is.

    Parameters
    ----------
    photo : path, bytes, PIL.Image.Image or array_like
        A JPEG, PNG, GIF, BMP, WEBP, TIFF, AVIF or PPM file of at most 50 million pixels, or, with
        the extra ``[heic]``, a phone's HEIC; the bytes of such a file; a PIL image of any mode; or
        an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): uint8, uint16 or floats in
        [0, 1]. The garment may be dark on light or light on dark. Of an animation, the first frame
        is used.

    Returns
    -------
    ndarray of float32, shape (28, 28, 1)
        Grey values in [0, 1], light on dark.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the photo cannot be read, is too large or too small, or if nothing stands out from its
        background.

    Examples
    --------
    >>> prepare_photo("notebooks/drawings/dress.png").shape
    (28, 28, 1)
    """
    return photo_steps(photo).centred


def photo_steps(photo: str | os.PathLike[str] | bytes | Image.Image | ArrayLike) -> PhotoSteps:
    """Prepare a photo as `prepare_photo` does, and return every step.

    Parameters
    ----------
    photo : path, bytes, PIL.Image.Image or array_like
        As for `prepare_photo`.

    Returns
    -------
    PhotoSteps
        The photo after each step; ``centred``, the last, is what `prepare_photo` returns.

    Raises
    ------
    FileNotFoundError, ValueError
        As `prepare_photo` does.
    """
    image = _small_and_upright(photo)
    upright = _over_white_or_black(image)
    if upright.shape[:2] == IMAGE_SHAPE:  # one of the data set's, or its negative
        mask, grey = np.ones(IMAGE_SHAPE, bool), _light_on_dark(_grey(upright))
    else:
        mask = _without_specks(_opaque(image) if _is_cut_out(image) else _garment(upright))
        grey = _grey_on_black(upright, mask)
    box = _box(mask)
    trimmed = grey if mask.all() else _sleeves_drawn_in(grey[box], mask[box])
    return PhotoSteps(upright, mask.astype(np.float32), grey, trimmed, _centred(trimmed))


def predict_photos(
    photos: Iterable[str | os.PathLike[str]], model: "keras.Model | None" = None
) -> "pd.DataFrame":
    """Predict the class of each of many photos.

    Parameters
    ----------
    photos : iterable of path
        Picture files, as for `prepare_photo`.
    model : keras.Model, optional
        By default the network that comes with the package.

    Returns
    -------
    pandas.DataFrame
        A row for each photo, in order, with ``class_name``, its ``probability`` in [0, 1],
        ``unlikeness`` (above 1: do not rely on the answer), and ``remark``: empty, or in a sentence
        why not to rely on the answer, or why there is none, where the file cannot be read.

    Raises
    ------
    TypeError
        If `photos` is a single path, or `model` is not a Keras model.

    Examples
    --------
    >>> table = predict_photos(["notebooks/drawings/jeans.png", "notebooks/drawings/dress.png"])
    >>> list(table.class_name)
    ['Trouser', 'Dress']
    """
    import pandas as pd  # heavy, as Keras is

    from fashion_cnn.model import load_model

    if isinstance(photos, str | os.PathLike) or not isinstance(photos, Iterable):
        raise TypeError(f"expected several paths, got {photos!r}; call predict_photos([path])")
    paths = [str(photo) for photo in photos]
    model = load_model() if model is None else model
    rows = []
    for path in paths:
        try:
            made = predict(model, prepare_photo(path), warn=False)
        except (OSError, ValueError) as error:
            rows.append(("", np.nan, np.nan, str(error)))
        else:
            rows.append((made.class_name, made.probability, made.unlikeness, made.remark))
    columns = ["class_name", "probability", "unlikeness", "remark"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(paths, name="photo"))


@words_in_pictures()
def plot_photo_steps(
    photo: PhotoSteps | str | os.PathLike[str] | Image.Image | ArrayLike,
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw how a photo becomes an image like the data set's, a panel for each step.

    Parameters
    ----------
    photo : path, PIL.Image.Image, array_like or PhotoSteps
        A photo as for `prepare_photo`, or what `photo_steps` returned for it.

    Returns
    -------
    matplotlib.figure.Figure
        The upright photo on the left, the image for `predict` on the right.

    Raises
    ------
    FileNotFoundError, ValueError
        As `prepare_photo` does.
    """
    steps = photo if isinstance(photo, PhotoSteps) else photo_steps(photo)
    words = [_("upright"), _("mask"), _("grey"), _("trimmed"), _("centred")]
    alt = _("A photo becomes an image of 28×28 pixels: {steps}").format(steps=", ".join(words))
    figure = canvas(figure, (12, 2.6), alt)
    for ax, word, image in zip(figure.subplots(1, len(steps)), words, steps, strict=True):
        draw_image(ax, image)
        ax.set_title(f"{word}, {image.shape[1]}×{image.shape[0]}", fontsize=9)
        ax.axis("off")
    return figure


def upright_photo(content: bytes) -> Image.Image:
    """Decode the bytes of a picture file in full size, to turn or crop it before `photo_steps`.

    Parameters
    ----------
    content : bytes
        A picture file, as for `prepare_photo`.

    Returns
    -------
    PIL.Image.Image
        The picture in its own mode, turned as its EXIF orientation says.

    Raises
    ------
    ValueError
        If it cannot be read, or is too large or too small.
    """
    return _read(content, "the picture", ImageOps.exif_transpose, draft=None)


def _small_and_upright(
    photo: str | os.PathLike[str] | bytes | Image.Image | ArrayLike,
) -> Image.Image:
    """Return an RGB or RGBA image of at most 224 pixels a side."""
    draft = (WORKING_SIDE, WORKING_SIDE)  # a large JPEG: 1/2, 1/4 or 1/8
    if isinstance(photo, Image.Image | bytes):
        return _read(photo, "the picture", _decoded, draft)
    if not isinstance(photo, str | os.PathLike):
        return _reduced(_image_of_array(np.asarray(photo)))
    path = Path(os.path.expanduser(photo))
    size = path.stat().st_size  # FileNotFoundError says which file
    if not path.is_file():
        raise ValueError(f"expected a picture file, got {path}, which is not a file")
    if size > MOST_BYTES:
        raise ValueError(
            f"expected a file of at most {MOST_BYTES:,} bytes, got {size:,} in {path}; "
            "make the picture smaller"
        )
    return _read(path, str(path), _decoded, draft)


def _read(
    source: Path | bytes | Image.Image,
    name: str,
    decode: Callable[[Image.Image], Image.Image],
    draft: tuple[int, int] | None,
) -> Image.Image:
    """Decode and turn a picture; raise ValueError for whatever Pillow fails on."""
    try:
        if isinstance(source, Image.Image):
            _check_size(source.size)
            return decode(source)
        Image.init()
        with contextlib.suppress(ImportError):  # the extra [heic]
            importlib.import_module("pillow_heif").register_heif_opener()
        formats = [name for name in FORMATS if name in Image.OPEN]
        with _bounded(source) as file, Image.open(file, formats=formats) as image:
            _check_size(image.size)
            tags = getattr(image, "tag_v2", {})  # of a TIFF file, which is unpacked tile by tile
            _check_size((tags.get(TILE_WIDTH, SIDE), tags.get(TILE_HEIGHT, SIDE)))
            image.decodermaxblock = READ_BYTES
            image.draft(None, draft)
            return decode(image)
    except _RefusedError as refusal:
        raise ValueError(str(refusal)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"expected at most {MOST_PIXELS:,} pixels, got more in {name}: {error}"
        ) from None
    # Damaged files make Pillow's decoders raise almost anything, SyntaxError and IndexError too.
    except Exception as error:
        is_other = isinstance(error, UnidentifiedImageError)
        reason = OF_ANOTHER_KIND if is_other else str(error) or type(error).__name__
        raise ValueError(
            f"expected an intact picture in {', '.join(FORMATS[:-1])}, got {name}, which cannot be "
            f"read ({reason}); save it again as JPEG or PNG"
        ) from error


class _RefusedError(Exception):
    """A picture that was read and is refused; the message says why."""


class _Bounded:
    """Stops a decoder which takes too long or reads a file again and again."""

    def bound(self, size: int) -> None:
        """Start the clock; `size` is that of the file."""
        self.deadline = time.monotonic() + MOST_SECONDS
        self.left = 2 * size + READ_BYTES  # some decoders look at parts twice

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, unless the time is up."""
        content: bytes = super().read(size)  # type: ignore[misc]
        self.left -= len(content)
        if time.monotonic() > self.deadline or self.left < 0:
            raise _RefusedError(
                f"expected a picture that takes at most {MOST_SECONDS} s to decode and is read "
                "only once; save it again"
            )
        return content


class _BoundedFile(_Bounded, io.FileIO):
    pass


class _BoundedBytes(_Bounded, io.BytesIO):
    pass


def _bounded(source: Path | bytes) -> _BoundedFile | _BoundedBytes:
    """Open a file, or the bytes of one."""
    file: _BoundedFile | _BoundedBytes
    if isinstance(source, bytes):
        file, size = _BoundedBytes(source), len(source)
    else:
        file, size = _BoundedFile(source), source.stat().st_size
    file.bound(size)
    return file


def _decoded(image: Image.Image) -> Image.Image:
    image.load()
    exif_orientation = image.getexif().get(ORIENTATION, 1)  # a TIFF file is upright by now
    if image.mode.startswith(("I", "F")):
        image = _image_of_array(_values_of_deep_grey(image))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    image = _reduced(image)
    image.info.clear()  # some odd metadata can be read but not written
    image.getexif()[ORIENTATION] = exif_orientation
    return ImageOps.exif_transpose(image)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS or max(size) > MOST_SIDE:
        raise _RefusedError(
            f"expected at most {MOST_PIXELS:,} pixels and {MOST_SIDE:,} a side, "
            f"got {width:,} × {height:,}; make the picture smaller"
        )
    if max(size) < SIDE or min(size) < 1:
        raise _RefusedError(
            f"expected a longer side of at least {SIDE} pixels, got {width} × {height}; "
            "take a larger picture"
        )


def _values_of_deep_grey(image: Image.Image) -> NDArray[Any]:
    """Return a picture of more than 8 bits as an array of uint8, uint16 or floats in [0, 1]."""
    values = np.asarray(image)
    low, high = values.min(), values.max()  # NaN if any value is
    if image.mode == "F" and low >= 0 and high <= 1:
        return values
    if low >= 0 and high <= 255:
        return np.rint(values).astype(np.uint8)
    if image.mode != "F" and low >= 0 and high <= 65535:
        return values.astype(np.uint16)
    raise _RefusedError(
        f"expected values from 0 to 255 (or to 65535, or to 1 if they are floats), "
        f"got {low:g} to {high:g}; rescale the picture"
    )


def _image_of_array(array: NDArray[Any]) -> Image.Image:
    """Return an 8-bit image of an array in one of the accepted shapes and types."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(
            "expected an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), "
            f"got {array.shape}; pass one picture, its colours in the last axis"
        )
    try:
        _check_size((array.shape[1], array.shape[0]))
    except _RefusedError as refusal:
        raise ValueError(str(refusal)) from None
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)  # 65535 becomes 255
    elif array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"expected an array of uint8, uint16 or floats in [0, 1], got {array.dtype}; "
                "convert values from 0 to 255 with array.astype(np.uint8)"
            )
        check_values(array, "the photo's values")
        pixels = np.empty(array.shape, np.uint8)
        for row, values in zip(pixels, array, strict=True):  # never all of it as floats once more
            row[:] = np.rint(values * 255)
        array = pixels
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def _reduced(image: Image.Image) -> Image.Image:
    factor = min(1, WORKING_SIDE / max(image.size))
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX, reducing_gap=2)


def _over_white_or_black(image: Image.Image) -> NDArray[np.float32]:
    """Return the picture in RGB, its transparent parts white, or black if the rest is light."""
    if image.mode != "RGBA":
        return np.divide(np.asarray(image.convert("RGB")), 255, dtype=np.float32)
    rgba = np.divide(np.asarray(image), 255, dtype=np.float32)
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    is_light = (_grey(rgb) * alpha[..., 0]).sum() > LIGHT * alpha.sum()
    return rgb * alpha + (0 if is_light else 1) * (1 - alpha)


def _grey(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    return rgb @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's L


def _is_cut_out(image: Image.Image) -> bool:
    """Tell whether some of a picture is transparent."""
    return image.mode == "RGBA" and bool((np.asarray(image.getchannel("A")) < OPAQUE).any())


def _opaque(image: Image.Image) -> NDArray[np.bool_]:
    return np.asarray(image.getchannel("A")) >= OPAQUE


def _light_on_dark(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a small picture or its negative, whichever has the darker border."""
    if grey.max() == grey.min():
        raise ValueError(NOTHING_FOUND)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return grey if np.median(border) < 0.5 else 1 - grey


def _garment(rgb: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find what differs from the picture's border, by GrabCut (Rother et al., 2004)."""
    lab = cv2.medianBlur(cv2.cvtColor(np.rint(rgb * 255).astype(np.uint8), cv2.COLOR_RGB2LAB), 3)
    height, width = lab.shape[:2]
    if np.ptp(lab, axis=(0, 1)).max() < LEAST_CONTRAST:
        return np.zeros((height, width), bool)
    # Without noise, the background may not vary at all, and all that differs a bit is garment.
    noise = np.random.default_rng(0).normal(0, NOISE, lab.shape)
    lab = np.clip(lab + noise, 0, 255).astype(np.uint8)
    border = max(1, round(BORDER * max(height, width)))
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    labels[border:-border, border:-border] = cv2.GC_PR_FGD
    at_border = labels == cv2.GC_BGD
    from_median = np.linalg.norm(lab - np.median(lab[at_border], axis=0), axis=2)
    usual = max(NOISE, float(np.median(from_median[at_border])))
    labels[from_median > OUTLYING * usual] = cv2.GC_PR_FGD  # a garment may reach the edge
    mask = _cut(lab, labels)
    is_even = np.linalg.norm(lab[labels == cv2.GC_BGD].std(axis=0)) < EVEN
    if not is_even and (mask.mean() < LEAST_AREA or _solidity(mask) < LEAST_SOLIDITY):
        # Only a print or some stripes differ. Garments are mostly in the middle.
        labels[height // 3 : -(height // 3), width // 3 : -(width // 3)] = cv2.GC_FGD
        other = _cut(lab, labels)
        is_more = other.sum() * _solidity(other) > mask.sum() * _solidity(mask)
        if is_more and other.sum() > LEAST_GROWTH * (labels == cv2.GC_FGD).sum():
            return other
    return mask


def _cut(lab: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell garment from background, from what is known (FGD, BGD) and assumed (PR_FGD)."""
    labels = labels.copy()
    cv2.setRNGSeed(0)  # of this thread: the same photo gives the same image
    # From empty models, GC_EVAL makes each side one Gaussian in place of five: half as much work,
    # and a print stays with its shirt.
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(lab, labels, (0, 0, 0, 0), *models, ROUNDS, cv2.GC_EVAL)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _solidity(mask: NDArray[np.bool_]) -> float:
    """Return the part of the convex hull that is filled: much of a shirt, little of its print."""
    if not mask.any():
        return 0.0
    hull = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
    return mask.sum() / max(1.0, cv2.contourArea(hull))


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop what is thin or small, and fill small holes."""
    size = 2 * round(OPENING * max(mask.shape)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    labels, areas = _components(opened)
    whole = (labels > 0) & (areas >= LEAST_PART * areas[1:].max(initial=0))[labels]
    labels, areas = _components(~whole)
    whole |= (areas < LEAST_HOLE * whole.sum())[labels]
    if max(_size(_box(whole))) < LEAST_OBJECT * max(mask.shape):
        raise ValueError(NOTHING_FOUND)
    return whole


def _components(mask: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the connected parts of a mask, numbered from 1, and the area of each number."""
    found = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray(found[1], np.int32), np.asarray(found[2][:, cv2.CC_STAT_AREA], np.int32)


def _grey_on_black(rgb: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the garment around the same grey for all garments; on light, it is its negative.

    It is blurred, but not across its outline, where the background shines through: in 28 pixels,
    the folds and prints of a garment that lies on a bed look like nothing in the data set.
    """
    grey = _grey(rgb)
    if mask.all() or np.median(grey[~mask]) >= DARK:  # else it is light on black, as the data is
        grey = 1 - grey
    within = cv2.erode(np.pad(mask.astype(np.uint8), 1), np.ones((3, 3)))[1:-1, 1:-1]
    within = (within if within.any() else mask).astype(np.float32)
    sigma = SMOOTHING * float(mask.sum()) ** 0.5
    weights = np.maximum(cv2.GaussianBlur(within, (0, 0), sigma), 1e-6)
    blurred = cv2.GaussianBlur(grey * within, (0, 0), sigma) / weights
    return np.where(mask, np.clip(GREY + blurred - np.median(blurred[mask]), DARKEST, 1), 0)


def _sleeves_drawn_in(grey: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Narrow sleeves that are spread, which would leave few pixels to the body.

    In the data set sleeves hang down, and the body, from the first to the last column that is at
    least half as full as the fullest one, takes at least 60 % of the width.
    """
    held = mask.sum(axis=0)
    body = np.flatnonzero(held >= BODY * held.max())
    left, right = body[0], len(held) - 1 - body[-1]
    if min(left, right) < LEAST_SYMMETRY * max(left, right):  # a shoe has no sleeves
        return grey
    is_body = np.zeros(len(held), bool)
    is_body[body[0] : body[-1] + 1] = True
    wide = is_body.sum() * (1 - LEAST_BODY) / LEAST_BODY  # what the sleeves may take
    narrowing = min(1.0, wide / max(1, left + right))
    edges = np.concatenate([[0], np.cumsum(np.where(is_body, 1, narrowing))])
    width = max(1, round(edges[-1]))
    middles = (np.arange(width) + 0.5) * edges[-1] / width
    columns = np.interp(middles, edges, np.arange(len(edges))) - 0.5
    x, y = np.meshgrid(columns.astype(np.float32), np.arange(len(grey), dtype=np.float32))
    narrowed = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(narrowed, np.float32)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest box around the true pixels."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(top, top + height), slice(left, left + width)


def _size(box: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _centred(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the longer side to 28 pixels, in the middle of a black square."""
    scale = SIDE / max(grey.shape)
    height, width = (max(1, round(side * scale)) for side in grey.shape)
    resized = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))
    top, left = (SIDE - height + 1) // 2, (SIDE - width + 1) // 2
    canvas = np.zeros((SIDE, SIDE, 1), np.float32)
    canvas[top : top + height, left : left + width, 0] = np.rint(resized * 255) / 255
    return canvas
