"""A drawing of trousers, which the tests of photos share."""

import numpy as np
from PIL import Image, ImageDraw

WHITE, CREAM, NAVY, BLACK = (255, 255, 255), (240, 230, 210), (30, 40, 80), (0, 0, 0)


def drawn_trousers(background=WHITE, garment=NAVY, size=(400, 300), place=(140, 40), scale=1.0):
    """Trousers of 100 × 200 pixels: a band and two legs."""
    image = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(image)
    x, y = place
    for left, top, right, bottom in ((0, 0, 100, 50), (0, 50, 40, 200), (60, 50, 100, 200)):
        box = (x + left * scale, y + top * scale, x + right * scale - 1, y + bottom * scale - 1)
        draw.rectangle(box, fill=garment)
    return image


def assert_close(image, other, most=0.04):
    """Check that two images differ by antialiasing at most, not by position."""
    assert image.shape == other.shape == (28, 28, 1)
    assert image.dtype == np.float32
    assert np.abs(image - other).mean() <= most
