"""Draw data/tiny: ten kinds of garment in Fashion-MNIST's file format, for tests and offline use.

1,000 training and 200 test images of 28x28 pixels, light on black, in ten balanced classes. Every
pixel is drawn here, none comes from Fashion-MNIST. Run it from anywhere; it takes a second and
rewrites the directory `tiny` beside itself. Pillow before 11.2.1 draws some edges differently.

    python data/make_tiny.py
"""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 28
SCALE = 8  # pictures are drawn this much larger, then averaged down, for soft edges
SEED = 42
TRAIN_IMAGES_PER_CLASS = 100
TEST_IMAGES_PER_CLASS = 20
FILE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

FABRIC = ("plain", "plain", "shaded", "stripes across", "stripes down", "checks")
LEATHER = ("plain", "shaded")
Points = list[tuple[float, float]]


class Sketch:
    """A picture in the making: x from -14 to 14, y from 0 (top) to 28, shade from 0 to 255."""

    def __init__(self, rng: np.random.RandomState) -> None:
        self.rng = rng
        self.image = Image.new("L", (SIDE * SCALE, SIDE * SCALE))
        self.pen = ImageDraw.Draw(self.image)
        self.origin = rng.randint(-SCALE, SCALE + 1, size=2) + (SIDE * SCALE // 2, 0)

    def between(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def chance(self, probability: float) -> bool:
        return self.rng.uniform() < probability

    def place(self, points: Points, wobble: int = 0) -> list[tuple[int, int]]:
        """Round to whole pixels, so that no processor's last bit can move an edge."""
        moves = self.rng.randint(-wobble, wobble + 1, size=(len(points), 2))
        pixels = np.rint(np.array(points) * SCALE).astype(int) + self.origin + moves
        return [(x, y) for x, y in pixels.tolist()]

    def fill(self, outline: Points, shade: float = 255) -> None:
        self.pen.polygon(self.place(outline, wobble=2), round(shade))

    def fill_pair(self, outline: Points, shade: float = 255) -> None:
        """Fill a shape and its mirror image."""
        self.fill(outline, shade)
        self.fill([(-x, y) for x, y in outline], shade)

    def fill_symmetric(self, half: Points, shade: float = 255) -> None:
        """Fill one shape, given the right half of its outline."""
        self.fill(half + [(-x, y) for x, y in half[::-1]], shade)

    def box(self, left: float, top: float, right: float, bottom: float, shade: float) -> None:
        self.fill([(left, top), (right, top), (right, bottom), (left, bottom)], shade)

    def ellipse(self, left: float, top: float, right: float, bottom: float, shade: float) -> None:
        self.pen.ellipse(self.place([(left, top), (right, bottom)]), round(shade))

    def line(self, points: Points, shade: float, width: float = 0.7) -> None:
        self.pen.line(self.place(points), round(shade), round(width * SCALE), joint="curve")

    def pixels(self, cloth: np.ndarray) -> np.ndarray:
        """Average down to 28x28, and give what was drawn the shades of the cloth."""
        drawn = np.asarray(self.image.reduce(SCALE), np.uint16)
        return (drawn * cloth // 255).astype(np.uint8)


def weave(rng: np.random.RandomState, patterns: tuple[str, ...]) -> np.ndarray:
    """Return 28x28 shades of cloth, uint16 up to 255, in one of the patterns."""
    row, column = np.indices((SIDE, SIDE))
    light, period = rng.randint(130, 256), rng.randint(3, 7)
    dark = light * rng.randint(45, 90) // 100
    across, down = row % period < period // 2, column % period < period // 2
    darkness = {
        "plain": 0,
        "shaded": (row if rng.randint(2) else column) / SIDE,
        "stripes across": across,
        "stripes down": down,
        "checks": np.mean([across, down], axis=0),
    }[patterns[rng.randint(len(patterns))]]
    return np.rint(light - (light - dark) * darkness).astype(np.uint16)


def draw_top(s: Sketch, sleeve: float, hem: float, flare: float, width: float = 7) -> float:
    """Draw a body with sleeves, from 0 (none) to 1 (to the wrist), and return its upper edge."""
    top, neck, depth = s.between(1.5, 3), s.between(2.4, 3.6), s.between(1, 3.2)
    shoulder = width + s.between(-0.7, 0.7)
    chest = shoulder - s.between(0, 1.2)
    if sleeve > 0.05:
        x, y = shoulder + s.between(2.6, 4.2), top + 4 + sleeve * s.between(15.5, 18)
        cuff = [(x, y), (x - s.between(2.2, 3.2), y + 1)]
        s.fill_pair([(neck, top), (shoulder, top + 1.2), *cuff, (shoulder - 2, top + 6)], 225)
        s.fill_pair([(shoulder - 1, top + 6), (shoulder, top + 3), (shoulder - 1, hem)], 90)
    shoulders = [(neck, top), (shoulder - 0.4, top + 1.2)]
    s.fill_symmetric([*shoulders, (chest, top + 7), (chest + flare, hem)])
    s.fill_symmetric([(0, top + depth), (neck * 0.6, top + depth * 0.7), (neck, top - 1)], 0)
    return top


def draw_t_shirt(s: Sketch) -> None:
    sleeve, hem, flare = s.between(0, 0.3), s.between(22, 26.5), s.between(-0.5, 1.2)
    top = draw_top(s, sleeve, hem, flare, width=s.between(5.4, 7.4))
    if s.chance(0.4):  # a printed chest
        x, y = s.between(2, 4), top + s.between(6, 8)
        s.box(-x, y, x, y + s.between(3, 7), s.between(60, 220))


def draw_trousers(s: Sketch) -> None:
    top, waist, hip = s.between(1, 2.5), s.between(3.4, 5), s.between(4.6, 6.2)
    hem, gap, leg = s.between(25, 26.5), s.between(0.8, 2.2), s.between(2.5, 4.2)
    crotch, shade = top + s.between(7, 9), s.between(90, 220)
    outside, inside = [(waist, top), (hip, crotch), (gap + leg, hem)], [(gap, hem), (0, crotch)]
    s.fill_pair([(0, top), *outside, *inside])
    s.box(-waist, top + 1.4, waist, top + 2, shade)
    s.line([(0, top + 1.5), (0, crotch - 1)], shade)


def draw_pullover(s: Sketch) -> None:
    hem = s.between(23, 26.5)
    top = draw_top(s, s.between(0.75, 1), hem, s.between(-1, 0.5))
    if s.chance(0.3):  # a rolled collar
        s.box(-2.8, top - 1.3, 2.8, top + 1.5, s.between(180, 255))
    if s.chance(0.6):  # a ribbed hem
        s.line([(-6, hem - 2.2), (6, hem - 2.2)], s.between(80, 200))


def draw_dress(s: Sketch) -> None:
    shoulder, waist, hem = s.between(3.4, 5.2), s.between(2.8, 4.8), s.between(4, 9)
    top, middle, bottom = s.between(1, 2.5), s.between(9.5, 13), s.between(25.5, 27)
    if s.chance(0.4):  # sleeves
        x, y = shoulder + s.between(1.5, 3), top + s.between(4, 16)
        s.fill_pair([(2, top), (shoulder, top + 1), (x, y), (x - 2, y), (2, top + 5)], 215)
    bodice = [(shoulder, top), (shoulder - 0.4, top + 4), (waist, middle)]
    s.fill_symmetric([*bodice, (hem, bottom)])
    s.fill_symmetric([(0, top + s.between(1, 4)), (shoulder - s.between(1, 2), top - 1)], 0)
    if s.chance(0.5):  # a belt
        s.box(-waist, middle, waist, middle + 1.3, s.between(60, 190))
    if s.chance(0.4):  # folds of the skirt
        for x in (-0.4, 0, 0.4):
            s.line([(x * waist, middle + 2), (x * hem, bottom)], s.between(140, 210))


def draw_coat(s: Sketch) -> None:
    hem, shade = s.between(24.5, 27), s.between(20, 180)
    top = draw_top(s, s.between(0.85, 1), hem, s.between(-0.3, 2), width=7.3)
    s.line([(0, top + 2), (0, hem)], shade, s.between(0.7, 1.3))
    if s.chance(0.6):  # lapels
        s.fill_symmetric([(0, top + s.between(6, 9)), (2.6, top)], shade)
    for y in np.linspace(top + 10, hem - 4, s.rng.randint(1, 4)):  # buttons
        s.ellipse(1, y, 2.2, y + 1.2, shade)
    if s.chance(0.6):  # pockets
        y = s.between(17, 19)
        s.fill_pair([(3, y), (5.6, y - 0.6), (5.6, y + 0.4), (3, y + 1)], shade)


def draw_shirt(s: Sketch) -> None:
    hem, shade = s.between(23, 26.5), s.between(40, 205)
    sleeve = s.between(0.1, 0.4) if s.chance(0.35) else s.between(0.7, 1)
    top = draw_top(s, sleeve, hem, s.between(-0.3, 1))
    s.fill_pair([(0, top + 2), (2.6, top - 1), (4, top + 1), (2.2, top + 4.8)], (shade + 200) / 2)
    s.fill_pair([(0, top + 1.8), (2.6, top - 1), (3.4, top + 1), (1.8, top + 3.6)])  # the collar
    s.line([(0, top + 2), (0, hem)], (shade + 255) / 2)
    for y in np.linspace(top + 4, hem - 2, s.rng.randint(4, 7)):  # buttons
        s.ellipse(-0.6, y - 0.6, 0.6, y + 0.6, shade)
    if s.chance(0.4):  # a breast pocket
        s.box(2, top + 7, 5, top + 10, shade)


def draw_sandal(s: Sketch) -> None:
    ground, lift, thick = s.between(19.5, 22.5), s.between(0, 7), s.between(1.2, 2.4)
    toe, heel, bed, back = s.between(-13, -11.5), s.between(11, 13), ground - thick, ground - lift
    insole = [(toe, bed), (-4, bed), (heel, back - thick)]
    s.fill([*insole, (heel, back), (-3, ground), (toe, ground)])
    s.box(heel - s.between(1.5, 9), back - 0.3, heel, ground, 200)
    width, shade = s.between(1.1, 1.9), s.between(170, 255)
    for x in np.linspace(toe + 2, -5, s.rng.randint(1, 4)):  # straps over the toes
        s.line([(x, bed), (x + 2, bed - 3), (x + 4, bed - 2.5), (x + 5, bed)], shade, width)
    if s.chance(0.8):  # a strap round the ankle and down the instep
        ankle, front = back - s.between(7, 9.5), s.between(1, 4)
        s.line([(heel - 0.7, back - 1), (heel - 1.2, ankle), (front, ankle + 1)], shade, width)
        s.line([(front, ankle + 1), (s.between(-4, 0), bed - 1)], shade, width)


def draw_sneaker(s: Sketch) -> None:
    ground, toe, heel = s.between(19, 23), s.between(-13, -11.5), s.between(11.5, 13)
    top, tongue, sole = (
        ground - s.between(7, 14),
        s.between(-1.5, 1.5),
        ground - s.between(1.5, 2.6),
    )
    front = [(toe, ground - 2), (toe + 1, ground - 4), (toe + 5, ground - 5), (tongue, top + 1)]
    opening = [(tongue + 2.5, top - 0.5), (tongue + 4, top + 2), (heel - 4, top + 2)]
    s.fill([*front, *opening, (heel - 1, top), (heel, ground - 3), (heel, ground)], 220)
    s.box(toe, sole, heel, ground, 255 if s.chance(0.6) else 110)
    s.line([(toe, sole), (heel, sole)], 70, 0.5)
    for step in np.linspace(0.2, 0.9, s.rng.randint(2, 5)):  # laces
        x, y = toe + 5 + step * (tongue - toe - 5), ground - 5 + step * (top + 6 - ground)
        s.line([(x, y), (x + 2, y + 1.6)], 60)
    if s.chance(0.6):  # stripes at the side
        for x in np.linspace(tongue + 1, tongue + 5, s.rng.randint(1, 4)):
            s.line([(x + 1.5, top + 3.5), (x - 1, sole - 0.5)], s.between(60, 140), 0.9)


def draw_bag(s: Sketch) -> None:
    top, bottom, shade = s.between(9, 13), s.between(22, 26), s.between(60, 190)
    upper, lower = s.between(8, 12), s.between(9.5, 12.5)
    if s.chance(0.85):  # a handle: a ring, half of it behind the bag
        x, y, width = s.between(3.5, upper - 1), s.between(1.5, 6), s.between(0.9, 1.7)
        s.ellipse(-x, y, x, 2 * top - y, s.between(180, 255))
        s.ellipse(width - x, y + width, x - width, 2 * top - y, 0)
    corners = [(upper - 0.8, top), (upper, top + 1), (lower, bottom - 1), (lower - 0.8, bottom)]
    s.fill_symmetric(corners)
    if s.chance(0.5):  # a flap with a clasp, otherwise a zip
        edge, y = upper - 3, top + 6
        s.line([(-upper, top + 1), (-edge, y), (edge, y), (upper, top + 1)], shade)
        s.ellipse(-1, y - 1, 1, y + 1, shade)
    else:
        s.line([(-upper, top + 2), (upper, top + 2)], shade)


def draw_ankle_boot(s: Sketch) -> None:
    ground, lift, top = s.between(22, 25.5), s.between(0.8, 4.5), s.between(2, 10)
    toe, heel, shin = s.between(-13, -10.5), s.between(10, 12.5), s.between(-1, 2)
    foot = [(toe, ground), (toe + 1, ground - 3.5), (toe + 5, ground - 5.5)]
    instep = (shin - 1, ground - 9)
    shaft = [(shin, top), (heel - 0.5, top - 0.8), (heel - 1, ground - 9), (heel, ground - lift)]
    s.fill([*foot, instep, *shaft, (heel - 6, ground - lift), (-3, ground)])
    s.box(toe, ground - 1, -2, ground, 190)
    s.box(heel - s.between(2, 6), ground - lift, heel, ground, 190)
    shade, detail = s.between(50, 180), s.rng.randint(3)
    if detail == 0:  # an elastic panel
        s.fill([(shin + 3, top), (shin + 6, top), (shin + 5, ground - 9)], shade)
    elif detail == 1:  # laces
        for y in np.linspace(top + 2, ground - 10, 4):
            s.line([(shin, y), (shin + 3, y + 0.8)], shade)


GARMENTS = (  # in label order
    (draw_t_shirt, FABRIC),
    (draw_trousers, FABRIC),
    (draw_pullover, FABRIC),
    (draw_dress, FABRIC),
    (draw_coat, FABRIC),
    (draw_sandal, LEATHER),
    (draw_shirt, FABRIC),
    (draw_sneaker, LEATHER),
    (draw_bag, FABRIC),
    (draw_ankle_boot, LEATHER),
)


def draw_split(rng: np.random.RandomState, images_per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled images, uint8 (n, 28, 28), and their labels, uint8 (n,)."""
    labels = rng.permutation(np.repeat(np.arange(len(GARMENTS), dtype=np.uint8), images_per_class))
    images = []
    for label in labels:
        sketch = Sketch(rng)
        draw, patterns = GARMENTS[label]
        draw(sketch)
        images.append(sketch.pixels(weave(rng, patterns)))
    return np.stack(images), labels


def draw_tiny() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the images and labels for training, then those for the test, without writing them."""
    rng = np.random.RandomState(SEED)  # unlike default_rng, its stream is promised never to change
    return *draw_split(rng, TRAIN_IMAGES_PER_CLASS), *draw_split(rng, TEST_IMAGES_PER_CLASS)


def idx_bytes(array: np.ndarray) -> bytes:
    """Return uint8 data in the IDX format: type 8 (uint8), dimensions, sizes, then the values."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_tiny(directory: Path) -> None:
    """Write the four files and their SHA256SUMS."""
    directory.mkdir(parents=True, exist_ok=True)
    sums = []
    for name, array in zip(FILE_NAMES, draw_tiny(), strict=True):
        packed = gzip.compress(idx_bytes(array), mtime=0)
        (directory / name).write_bytes(packed)
        sums.append(f"{hashlib.sha256(packed).hexdigest()}  {name}\n")
    (directory / "SHA256SUMS").write_text("".join(sums), encoding="utf-8", newline="\n")


def main() -> None:
    directory = Path(__file__).parent / "tiny"
    write_tiny(directory)
    print(f"Wrote {directory}")


if __name__ == "__main__":
    main()
