"""Measure `prepare_photo`."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photo_like(image: NDArray[np.float32], random: np.random.Generator) -> bytes:
    """Return a JPEG file of a photo that could have led to an image of the data set.

    300 to 900 pixels a side, off-centre, on a tinted background with a soft gradient, with a
    sensor's noise; every fourth is turned by EXIF, every fourth light on dark.
    """
    height, width = random.integers(300, 901, size=2)
    side = int(random.uniform(0.4, 0.9) * min(height, width))
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    large = Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
    garment = np.zeros((height, width, 1), np.float32)
    garment[top : top + side, left : left + side, 0] = np.clip(np.asarray(large), 0, 1)

    light_on_dark = random.random() < 0.25
    tint = random.uniform(0.03, 0.25, 3) if light_on_dark else random.uniform(0.75, 0.98, 3)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope_x, slope_y, bend = random.uniform(-0.08, 0.08, 3)
    shade = tint * (1 + slope_x * x + slope_y * y + bend * (x * x + y * y) / 2)[..., np.newaxis]
    photo = shade + garment * (1 - shade) if light_on_dark else shade * (1 - garment)
    photo += random.normal(0, random.uniform(0.005, 0.025), photo.shape)
    picture = Image.fromarray(np.rint(np.clip(photo, 0, 1) * 255).astype(np.uint8))

    exif = Image.Exif()
    if random.random() < 0.25:
        orientation, turn = TURNS[random.integers(len(TURNS))]
        picture = picture.transpose(turn)
        exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(random.integers(60, 96)), exif=exif)
    return file.getvalue()


# An EXIF orientation, and how a camera held that way stores the picture.
TURNS = (
    (3, Image.Transpose.ROTATE_180),
    (6, Image.Transpose.ROTATE_90),
    (8, Image.Transpose.ROTATE_270),
)
