"""Draw the examples of the live page: ``src/fashion_cnn/page/examples.json``.

Every picture is our own: the drawings of ``notebooks/drawings`` as `prepare_photo` sees them,
garments of ``make_tiny.py``, and some that are meant to mislead. It takes a few seconds.

    python data/make_examples.py
"""

import base64
import json
from pathlib import Path

import numpy as np
from make_tiny import GARMENTS, SCALE, SIDE, Sketch, weave
from PIL import Image, ImageDraw

import fashion_cnn as fc

ROOT = Path(__file__).resolve().parents[1]
DRAWINGS = ROOT / "notebooks" / "drawings"
EXAMPLES = ROOT / "src" / "fashion_cnn" / "page" / "examples.json"
T_SHIRT, TROUSER, PULLOVER, DRESS, COAT, SANDAL, SHIRT, SNEAKER, BAG, BOOT = range(10)

PREPARED = (  # file, label
    ("t-shirt", T_SHIRT), ("jeans", TROUSER), ("pullover", PULLOVER), ("dress", DRESS),
    ("coat", COAT), ("sandal", SANDAL), ("shirt", SHIRT), ("sneaker", SNEAKER), ("handbag", BAG),
    ("ankle-boot", BOOT), ("striped-top", T_SHIRT), ("winter-boot", BOOT),
)  # fmt: skip
DRAWN = (  # label, seed
    (BOOT, 6), (DRESS, 3), (SANDAL, 6), (BAG, 3), (SNEAKER, 2), (TROUSER, 4), (T_SHIRT, 7),
    (COAT, 8), (SHIRT, 7), (BAG, 4), (PULLOVER, 4), (DRESS, 5),
    (SNEAKER, 3), (T_SHIRT, 6), (SHIRT, 2),  # taken for a boot, a dress and a coat
)  # fmt: skip
FIRST = (0, 9, 16, 8, 13, 6, 32, 33)  # which the page shows before it is asked for more


def prepared(name: str) -> np.ndarray:
    """Return a drawing as the network sees it, uint8 (28, 28)."""
    image = fc.prepare_photo(DRAWINGS / f"{name}.png")
    return np.rint(255 * np.squeeze(image)).astype(np.uint8)


def drawn(label: int, seed: int) -> np.ndarray:
    """Return a garment of the stand-in data, uint8 (28, 28)."""
    sketch = Sketch(np.random.RandomState(seed))
    draw, patterns = GARMENTS[label]
    draw(sketch)
    return sketch.pixels(weave(sketch.rng, patterns))


def hat() -> np.ndarray:
    """Draw what the network knows no name for."""
    image = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
    pen = ImageDraw.Draw(image)
    pen.ellipse((8, 128, 216, 176), 190)
    pen.rounded_rectangle((56, 56, 168, 152), 24, 220)
    pen.rectangle((56, 124, 168, 142), 60)
    return np.asarray(image.reduce(SCALE))


def cup() -> np.ndarray:
    """Draw what the network knows no name for."""
    image = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
    pen = ImageDraw.Draw(image)
    pen.ellipse((136, 72, 208, 152), 200)
    pen.ellipse((152, 88, 192, 136), 0)
    pen.rounded_rectangle((32, 48, 160, 192), 20, 230)
    return np.asarray(image.reduce(SCALE))


def examples() -> list[tuple[int | None, np.ndarray]]:
    """Return labels, None for what is no garment, and pictures."""
    by_name = {name: (label, prepared(name)) for name, label in PREPARED}
    garments = [(label, drawn(label, seed)) for label, seed in DRAWN]
    mirrored = [(by_name[n][0], by_name[n][1][:, ::-1]) for n in ("sneaker", "ankle-boot")]
    upside_down = [(by_name[n][0], by_name[n][1][::-1]) for n in ("jeans", "dress")]
    negative = [(T_SHIRT, 255 - by_name["t-shirt"][1])]
    others = [(None, hat()), (None, cup())]
    pictures = [*by_name.values(), *garments, *mirrored, *upside_down, *negative, *others]
    return [pictures[n] for n in FIRST] + [
        picture for n, picture in enumerate(pictures) if n not in FIRST
    ]


def main() -> None:
    """Write the file."""
    written = [
        {"label": label, "pixels": base64.b64encode(image.tobytes()).decode()}
        for label, image in examples()
    ]
    EXAMPLES.write_text(json.dumps(written, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"Wrote {EXAMPLES}")


if __name__ == "__main__":
    main()
