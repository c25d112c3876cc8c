"""Turn a photo into an image like those of Fashion-MNIST (without TensorFlow)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fashion_cnn.images import IMAGE_SHAPE
from fashion_cnn.language import gettext as _
from fashion_cnn.language import words_in_pictures
from fashion_cnn.photo import garment
from fashion_cnn.photo.reading import Photo, read_photo
from fashion_cnn.photo.reading import PhotoError as PhotoError
from fashion_cnn.plotting import canvas, draw_image
from fashion_cnn.prediction import predict

if TYPE_CHECKING:
    import keras
    import pandas as pd


class PhotoSteps(NamedTuple):
    """The steps from a photo to an image like the data set's, each float32 in [0, 1].

    Attributes
    ----------
    upright : ndarray, shape (h, w, 3)
        The photo in RGB, turned upright, at most 224 pixels a side, no longer transparent, without
        a frame, bars, or axes around it.
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

    @property
    def remark(self) -> str:
        """What to do about this photo if its prediction is not to be relied on, or nothing."""
        return "" if self.mask.shape == IMAGE_SHAPE else garment.fault_of(self.mask > 0)

    def __repr__(self) -> str:
        """Return the size of each step, width first."""
        sizes = (f"{name} {x.shape[1]}×{x.shape[0]}" for name, x in self._asdict().items())
        return f"PhotoSteps({', '.join(sizes)})"


def prepare_photo(photo: Photo) -> NDArray[np.float32]:
    """Turn a photo of one garment on a plain background into an image like the data set's.

    The garment is separated from its background, whatever their colours, turned into grey values
    on black, and scaled to 28 pixels, as by Fashion-MNIST's makers (arXiv:1708.07747, section 2).
    `photo_steps` returns each step, `plot_photo_steps` draws them. A picture of 28×28 pixels is
    taken for an image of the data set, or its negative, and stays as it is.

    Parameters
    ----------
    photo : path, bytes, PIL.Image.Image or array_like
        A JPEG, PNG, GIF, BMP, WEBP, TIFF, AVIF or PPM file of at most 80 million pixels, or, with
        the extra ``[heic]``, a phone's HEIC; the bytes of such a file; a PIL image of any mode; or
        an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4): booleans, integers of 8 bits
        or more, scaled by the bits that they use, or floats in [0, 1]. The garment may be dark on
        light or light on dark, or an outline on paper. Of an animation, the first frame is used.

    Returns
    -------
    ndarray of float32, shape (28, 28, 1)
        Grey values in [0, 1], light on dark.

    Raises
    ------
    OSError
        If the file cannot be opened; FileNotFoundError if there is none.
    ValueError
        If the photo cannot be read, is too large or too small, or if nothing stands out from its
        background.

    Examples
    --------
    >>> prepare_photo("notebooks/drawings/dress.png").shape
    (28, 28, 1)
    """
    return photo_steps(photo).centred


def photo_steps(photo: Photo) -> PhotoSteps:
    """Prepare a photo as `prepare_photo` does, with the same errors, and return every step."""
    upright, is_opaque = garment.flattened(read_photo(photo))
    if upright.shape[:2] == IMAGE_SHAPE:  # one of the data set's, or its negative
        mask, grey = np.ones(IMAGE_SHAPE, bool), garment.light_on_dark(upright)
    else:
        if is_opaque.all():
            upright = garment.without_frame(upright)
            is_opaque = np.ones(upright.shape[:2], bool)
        mask = garment.find_garment(upright, is_opaque)
        grey = garment.grey_on_black(upright, mask)
    box = garment.box(mask)
    trimmed = garment.sleeves_drawn_in(grey[box], mask[box])
    return PhotoSteps(upright, mask.astype(np.float32), grey, trimmed, garment.centred(trimmed))


def predict_photos(
    photos: Iterable[str | os.PathLike[str]], model: keras.Model | None = None
) -> pd.DataFrame:
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
        ``unlikeness`` (above 1: do not rely on the answer), and ``remark``: a sentence that says
        why not to rely on the answer and what to do about the photo, or why there is no answer;
        otherwise empty.

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
            steps = photo_steps(path)
            made = predict(model, steps.centred)
            remark = made.remark and "; ".join(filter(None, (made.remark, steps.remark)))
            rows.append((made.class_name, made.probability, made.unlikeness, remark))
        except (OSError, ValueError) as error:
            rows.append(("", np.nan, np.nan, str(error)))
    columns = ["class_name", "probability", "unlikeness", "remark"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(paths, name="photo"))


@words_in_pictures()
def plot_photo_steps(photo: PhotoSteps | Photo, *, figure: Figure | None = None) -> Figure:
    """Draw how a photo becomes an image like the data set's, a panel for each step.

    Parameters
    ----------
    photo : path, bytes, PIL.Image.Image, array_like or PhotoSteps
        A photo as for `prepare_photo`, which raises the same errors, or the steps of one.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure of pyplot.

    Returns
    -------
    matplotlib.figure.Figure
        The upright photo on the left, the image for `predict` on the right.
    """
    steps = photo if isinstance(photo, PhotoSteps) else photo_steps(photo)
    words = [_("upright"), _("mask"), _("grey"), _("trimmed"), _("centred")]
    alt = _("A photo becomes an image of 28×28 pixels: {steps}").format(steps=", ".join(words))
    figure = canvas(figure, (12, 2.6), alt)
    for ax, word, image in zip(figure.subplots(1, len(steps)), words, steps, strict=True):
        draw_image(ax, image, f"{word}, {image.shape[1]}×{image.shape[0]}", fontsize=9)
        ax.axis("off")
    return figure
