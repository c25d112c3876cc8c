"""Turn a photo into an image like those of Fashion-MNIST (without TensorFlow)."""

import io
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

from fashion_cnn.images import IMAGE_SHAPE, check_values
from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.plotting import canvas, draw_image

# None of them starts another program, as EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "PPM")
SIDE = IMAGE_SHAPE[0]
MOST_PIXELS = 50_000_000
MOST_SIDE = 50_000  # pixels
MOST_BYTES = 160_000_000  # of a file: MOST_PIXELS in RGB, uncompressed
MOST_SECONDS = 10  # of reading a file
READ_BYTES = 4_096  # between two looks at the clock
TILE_WIDTH, TILE_HEIGHT = 322, 323  # TIFF's tags
WORKING_SIDE = 320  # larger pictures are reduced by an integer factor, to 320 to 639 pixels
ORIENTATION = 0x0112  # EXIF's tag

SMOOTHING = 1 / 300  # of the longer side: noise is averaged, outlines stay
TOLERANCES = (0.12, 0.08, 0.05, 0.03)  # around the fitted background, from start to end
MOST_BORDER = 1_500  # pixels to fit
LEAST_CONTRAST = 2 / 255
OUTLINE = 0.3  # of the object's median grey: where an outline blurred by the lens is trimmed
NOISES = 5  # standard deviations from the background, above which something stands out
LEAST_OBJECT = 1 / 20  # of the picture's longer side
LEAST_PART = 1 / 50  # of the largest part's area; smaller ones are specks
MARGIN = 1 / 100  # of the longer side, kept around the object for its soft outline
LIGHT = 0.8  # mean grey above which an opaque part would vanish on white
SHARPENING = 0.5
SHARPENING_RADIUS = 1.0  # pixels, as in the paper


class PhotoSteps(NamedTuple):
    """The steps from a photo to an image like the data set's, each float32 in [0, 1].

    Attributes
    ----------
    upright : ndarray, shape (h, w, 3)
        The photo in RGB, turned upright, at most 639 pixels a side, no longer transparent.
    grey : ndarray, shape (h, w)
        Light on dark: 0 is the background, whatever its colour and shade were.
    trimmed : ndarray, shape (h', w')
        What stands out from the background.
    resized : ndarray
        The same, its longer side 28 pixels.
    sharpened : ndarray
        The same, stretched to the full range of grey values and sharpened.
    centred : ndarray, shape (28, 28, 1)
        In the middle of a black square, in steps of 1/255: ready for `predict`.
    """

    upright: NDArray[np.float32]
    grey: NDArray[np.float32]
    trimmed: NDArray[np.float32]
    resized: NDArray[np.float32]
    sharpened: NDArray[np.float32]
    centred: NDArray[np.float32]


def prepare_photo(photo: str | os.PathLike[str] | Image.Image | ArrayLike) -> NDArray[np.float32]:
    """Turn a photo of one garment on an even background into an image like the data set's.

    The steps are those of Fashion-MNIST's makers (arXiv:1708.07747, section 2); `photo_steps`
    returns each, `plot_photo_steps` draws them. An image of the data set stays as it is.

    Parameters
    ----------
    photo : path, PIL.Image.Image or array_like
        A JPEG, PNG, GIF, BMP, WEBP, TIFF, AVIF or PPM file of at most 50 million pixels; a PIL
        image of any mode; or an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4):
        uint8, uint16 or floats in [0, 1]. The garment may be dark on light or light on dark. Of an
        animation, the first frame is used.

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
    >>> prepare_photo("notebooks/photos/dress.png").shape
    (28, 28, 1)
    """
    return photo_steps(photo).centred


def photo_steps(photo: str | os.PathLike[str] | Image.Image | ArrayLike) -> PhotoSteps:
    """Prepare a photo as `prepare_photo` does, and return every step.

    Parameters
    ----------
    photo : path, PIL.Image.Image or array_like
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
    upright = _over_white_or_black(_small_and_upright(photo))
    grey, mask = _grey_on_black(upright)
    # A 28×28 picture has the right size already; trimming would lose its faint edges.
    trimmed = grey if grey.shape == IMAGE_SHAPE else _trimmed(grey, mask)
    resized = _resized(trimmed)
    # Only shrinking blurs, so only a shrunken image is sharpened.
    was_shrunk = max(trimmed.shape) > SIDE
    stretched = _stretched(resized)
    sharpened = _sharpened(stretched) if was_shrunk else stretched
    return PhotoSteps(upright, grey, trimmed, resized, sharpened, _centred(sharpened))


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
    words = [_("upright"), _("grey"), _("trimmed"), _("resized"), _("sharpened"), _("centred")]
    alt = _("A photo becomes an image of 28×28 pixels: {steps}").format(steps=", ".join(words))
    figure = canvas(figure, (12, 2.6), alt)
    for ax, word, image in zip(figure.subplots(1, len(steps)), words, steps, strict=True):
        draw_image(ax, image)
        ax.set_title(f"{word}, {image.shape[1]}×{image.shape[0]}", fontsize=9)
        ax.axis("off")
    return figure


def _small_and_upright(photo: str | os.PathLike[str] | Image.Image | ArrayLike) -> Image.Image:
    """Return an RGB or RGBA image of at most 639 pixels a side."""
    if isinstance(photo, Image.Image):
        return _read(photo, "the image")
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
    return _read(path, str(path))


def _read(source: Path | Image.Image, name: str) -> Image.Image:
    """Decode, reduce and turn a picture; raise ValueError for whatever Pillow fails on."""
    try:
        if isinstance(source, Image.Image):
            _check_size(source.size)
            return _decoded(source)
        Image.init()
        formats = [name for name in FORMATS if name in Image.OPEN]  # AVIF is not always there
        with _BoundedFile(source) as file, Image.open(file, formats=formats) as image:
            _check_size(image.size)
            tags = getattr(image, "tag_v2", {})  # of a TIFF file, which is unpacked tile by tile
            _check_size((tags.get(TILE_WIDTH, SIDE), tags.get(TILE_HEIGHT, SIDE)))
            image.decodermaxblock = READ_BYTES
            image.draft(None, (WORKING_SIDE, WORKING_SIDE))  # a large JPEG: 1/2, 1/4 or 1/8
            return _decoded(image)
    except _RefusedError as refusal:
        raise ValueError(str(refusal)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"expected at most {MOST_PIXELS:,} pixels, got more in {name}: {error}"
        ) from None
    # Damaged files make Pillow's decoders raise almost anything, SyntaxError and IndexError too.
    except Exception as error:
        is_other = isinstance(error, UnidentifiedImageError)
        reason = "it is of another kind" if is_other else str(error) or type(error).__name__
        raise ValueError(
            f"expected an intact picture in {', '.join(FORMATS)}, got {name}, which cannot be read "
            f"({reason}); save it again as JPEG or PNG"
        ) from error


class _RefusedError(Exception):
    """A picture that was read and is refused; the message says why."""


class _BoundedFile(io.FileIO):
    """A file that stops a decoder which takes too long or reads the same again and again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.deadline = time.monotonic() + MOST_SECONDS
        self.left = 2 * path.stat().st_size + READ_BYTES  # some decoders look at parts twice

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, unless the time is up."""
        content = super().read(size)
        self.left -= len(content)
        if time.monotonic() > self.deadline or self.left < 0:
            raise _RefusedError(
                f"expected a picture that takes at most {MOST_SECONDS} s to decode and is read "
                "only once; save it again"
            )
        return content


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
    factor = max(image.size) // WORKING_SIDE
    return image.reduce(factor) if factor > 1 else image.copy()


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


def _grey_on_black(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the grey values of what stands out, on a background of 0, and its mask."""
    longer_side = max(rgb.shape[:2])
    sigma = SMOOTHING * longer_side
    smooth = ndimage.gaussian_filter(rgb, (sigma, sigma, 0))
    background, noise = _background(smooth)
    stands_out = np.abs(smooth - background).max(axis=2) > max(LEAST_CONTRAST, NOISES * noise)
    mask = _without_specks(stands_out, longer_side)

    grey, shade = _grey(rgb), _grey(background)
    if (grey - shade)[mask].mean() < 0:  # dark on light: invert both
        grey, shade = 1 - grey, 1 - shade
    on_black = np.clip((grey - shade) / np.maximum(1 - shade, 0.1), 0, 1)
    around = 2 * round(MARGIN * longer_side) + 1
    return on_black * ndimage.maximum_filter(mask, around), mask


def _background(smooth: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Fit a smoothly changing shade to the border, where most of the pixels are background.

    The object may reach the border: a fit starts from each of several border colours and drops
    what is far from it; the fit that agrees with most of the border wins.

    Returns
    -------
    background : ndarray of float32, shape (h, w, 3)
        The colour that the background would have at every pixel without the object.
    noise : float
        Standard deviation of the smoothed background around that colour.
    """
    height, width = smooth.shape[:2]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).astype(np.float32)
    thickness = 1 + max(height, width) // 100
    border = np.ones((height, width), bool)
    border[thickness:-thickness, thickness:-thickness] = False
    step = 1 + border.sum() // MOST_BORDER
    colours, at = smooth[border][::step], terms[border][::step]

    fits = [_fitted(colours, at, start) for start in _border_colours(smooth)]
    fit, near = max(fits, key=lambda fit_and_near: fit_and_near[1].sum())
    off = np.median(np.abs(colours - at @ fit)[near], axis=0)
    return terms @ fit, 1.4826 * float(off.max())  # a normal distribution's median and deviation


def _border_colours(smooth: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the median colour of each sixteenth of the border."""
    sides = (smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1])
    parts = [part for side in sides for part in np.array_split(side, 4) if len(part)]
    return [np.median(part, axis=0) for part in parts]


def _fitted(
    colours: NDArray[np.float32], at: NDArray[np.float32], start: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Fit the colours near `start` and narrow down; return the fit and what is near it."""
    fit = np.outer(np.eye(at.shape[1], dtype=np.float32)[0], start)
    near = _is_near(colours, at @ fit, TOLERANCES[0])
    for tolerance in TOLERANCES[1:]:
        # Regularized towards an even colour, for where the border says nothing.
        draw = np.diag([0.01, 1, 1, 1, 1, 1]).astype(np.float32) * (0.01 * int(near.sum()) + 1)
        fit = fit + np.linalg.solve(
            at[near].T @ at[near] + draw, at[near].T @ (colours - at @ fit)[near]
        )
        near = _is_near(colours, at @ fit, tolerance)
    return fit, near


def _is_near(
    colours: NDArray[np.float32], others: NDArray[np.float32], tolerance: float
) -> NDArray[np.bool_]:
    off = np.abs(colours - others)
    # Three comparisons are several times as quick as the maximum over an axis of three.
    return (off[:, 0] < tolerance) & (off[:, 1] < tolerance) & (off[:, 2] < tolerance)


def _without_specks(stands_out: NDArray[np.bool_], longer_side: int) -> NDArray[np.bool_]:
    labels, n = ndimage.label(stands_out, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=2)
    areas[0] = 0
    mask = (areas >= LEAST_PART * areas.max())[labels] & (labels > 0)
    if n == 0 or max(_extent(mask)) < LEAST_OBJECT * longer_side:
        raise ValueError(
            "expected something that stands out from an even background, found nothing; "
            "photograph one garment on a plain background of a different brightness"
        )
    return mask


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = _box(mask)
    return rows.stop - rows.start, columns.stop - columns.start


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest box around the true pixels."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return box


def _trimmed(grey: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return grey[_box(mask & (grey > OUTLINE * np.median(grey[mask])))]


def _resized(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the longer side to 28 pixels, averaging everything that falls on a pixel.

    The makers took single pixels of a 51×73 picture; in a photo ten times as large, single pixels
    are noise.
    """
    height, width = grey.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(resized), 0, 1)


def _sharpened(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    blurred = ndimage.gaussian_filter(grey, SHARPENING_RADIUS, mode="constant")
    return np.clip(grey + SHARPENING * (grey - blurred), 0, 1)


def _stretched(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale the lightest pixel to 1, as in every image of the data set."""
    return grey / max(grey.max(), np.float32(1 / 255))


def _centred(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = grey.shape
    top, left = (SIDE - height + 1) // 2, (SIDE - width + 1) // 2
    canvas = np.zeros((SIDE, SIDE, 1), np.float32)
    canvas[top : top + height, left : left + width, 0] = np.rint(grey * 255) / 255
    return canvas
