"""Measure how often photos are told rightly and warned about, with the network of the package.

``make bench PARTS=photos PHOTOS=path``, where the path is the directory of real photos that
docs/photos.md describes. Besides these, it measures our own drawings, photo-like pictures made from
the test split, and pictures of other things.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from measure import ROOT, below_table, machine, write_table
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from real_photos import GARMENTS, RIGHT, RealPhotos, read_photos
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, load_sample_images

import fashion_cnn as fc
from fashion_cnn import CLASS_NAMES
from fashion_cnn.language import current_language, words_in_pictures

N_PHOTOS, N_OTHERS = 2_000, 500
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# An EXIF orientation, and how a camera that was held that way stores the picture.
TURNS = (
    (3, Image.Transpose.ROTATE_180),
    (6, Image.Transpose.ROTATE_90),
    (8, Image.Transpose.ROTATE_270),
)
DRAWINGS = ROOT / "notebooks" / "drawings"
FIGURES = {"en": ROOT / "docs" / "photos.png", "ko": ROOT / "docs" / "ko" / "photos.png"}
# The words of the figure, and its folders, in Korean.
KOREAN = {
    "dress": "드레스",
    "longsleeve": "긴소매 옷",
    "outwear": "겉옷",
    "pants": "바지",
    "shirt": "셔츠",
    "t-shirt": "티셔츠",
    "shoes": "신발",
    "hat": "모자",
    "shorts": "반바지",
    "skirt": "치마",
    "What the photos of each folder were taken for": "종류별 사진을 무엇으로 보았는지",
    "probability of the answer": "답의 확률",
    "part of the answers that are right": "맞힌 비율",
    "Is a probability right? ({n} garments, six parts)": "확률만큼 맞히는지 (옷 {n}점, 여섯 묶음)",
}
# The class that counts as right, fixed before any of them was predicted.
DRAWN = {
    "ankle-boot": "Ankle boot",
    "coat": "Coat",
    "dress": "Dress",
    "handbag": "Bag",
    "jeans": "Trouser",
    "pullover": "Pullover",
    "sandal": "Sandal",
    "shirt": "Shirt",
    "sneaker": "Sneaker",
    "striped-top": "T-shirt/top",
    "t-shirt": "T-shirt/top",
    "winter-boot": "Ankle boot",
}


def photo_like(image: NDArray[np.float32], random: np.random.Generator) -> bytes:
    """Return a JPEG file of a photo that could have led to an image of the data set.

    It has 300 to 900 pixels a side, a garment off-centre on a tinted background with a soft
    gradient, and sensor noise. One in four is rotated by EXIF, one in four is light on dark.
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


def digits(_: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Enlarge scikit-learn's handwritten digits."""
    chosen = random.choice(load_digits().images, N_OTHERS, replace=False)
    for digit in (chosen / chosen.max() * 255).astype(np.uint8):
        yield np.asarray(Image.fromarray(digit).resize((28, 28), Image.Resampling.BICUBIC)) / 255


def letters_of(font_names: tuple[str, ...], alphabet: str) -> Callable[..., Iterable[NDArray[Any]]]:
    """Return a function that writes the letters of an alphabet in several fonts."""

    def letters(_: fc.Split, __: np.random.Generator) -> Iterable[NDArray[Any]]:
        for name in font_names:
            for letter in alphabet:
                image = Image.new("L", (28, 28))
                font = ImageFont.truetype(str(FONTS / f"{name}.ttf"), 26)
                ImageDraw.Draw(image).text((14, 14), letter, fill=255, font=font, anchor="mm")
                yield np.asarray(image) / 255

    return letters


def crops(_: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Shrink squares cut out of scikit-learn's two photos, of a temple and of a flower."""
    photos = [Image.fromarray(photo).convert("L") for photo in load_sample_images().images]
    for n in range(N_OTHERS):
        photo = photos[n % 2]
        side = int(random.integers(40, 300))
        left = int(random.integers(0, photo.width - side))
        top = int(random.integers(0, photo.height - side))
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize((28, 28), Image.Resampling.BOX, box=box)) / 255


def noise(_: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Draw every pixel at random."""
    return random.random((N_OTHERS, 28, 28))


def almost_blank(_: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Draw one shade, with a little noise."""
    shades = random.random((N_OTHERS, 1, 1))
    return np.clip(shades + random.normal(0, 0.02, (N_OTHERS, 28, 28)), 0, 1)


def inverted(test: fc.Split, _: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Invert images of the test split, so that they are dark on light."""
    return 1 - test.images[:N_OTHERS]


def upside_down(test: fc.Split, _: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Turn images of the test split by 180 degrees."""
    return test.images[:N_OTHERS, ::-1, ::-1]


def lying(test: fc.Split, _: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Turn images of the test split by 90 degrees."""
    return np.rot90(test.images[:N_OTHERS], axes=(1, 2))


def shuffled(test: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Cut images of the test split into 16 squares and mix these."""
    squares = test.images[:N_OTHERS].reshape(-1, 4, 7, 4, 7).swapaxes(2, 3).reshape(-1, 16, 7, 7)
    for image in squares:
        order = random.permutation(16)
        yield image[order].reshape(4, 4, 7, 7).swapaxes(1, 2).reshape(28, 28)


def shapes(_: fc.Split, random: np.random.Generator) -> Iterable[NDArray[Any]]:
    """Draw an ellipse, a box or a triangle."""
    for n in range(N_OTHERS):
        image = Image.new("L", (28, 28))
        draw, points = ImageDraw.Draw(image), np.sort(random.integers(0, 28, (2, 2)), axis=0)
        box = [*map(int, points.ravel())]
        if n % 3 < 2:
            (draw.ellipse, draw.rectangle)[n % 3](box, fill=255)
        else:
            draw.polygon([*map(int, random.integers(0, 28, 6))], fill=255)
        yield np.asarray(image) / 255


DEJAVU = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif")
STIX = ("STIXGeneral", "STIXGeneralBol")
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CYRILLIC = "БГДЖЗИЙЛПФЦЧШЩЪЫЬЭЮЯбгджзийлпфцчшщъыьэюя"
OTHER_THINGS: list[tuple[str, Callable[..., Iterable[NDArray[Any]]]]] = [
    ("handwritten digits", digits),
    ("Latin letters", letters_of(DEJAVU, LATIN)),
    ("cut-outs of photos", crops),
    ("noise", noise),
    ("one shade, almost", almost_blank),
    ("clothes dark on light", inverted),
    ("clothes upside down", upside_down),
    ("Cyrillic letters in other fonts", letters_of(STIX, CYRILLIC)),
    ("ellipses, boxes, triangles", shapes),
    ("clothes cut up and mixed", shuffled),
    ("clothes lying", lying),
]


def of_images(model: Any, images: Iterable[NDArray[Any]], labels: NDArray[np.int64]) -> Any:
    """Return accuracy and warnings over images with known labels."""
    found = [fc.predict(model, image, warn=False) for image in images]
    right = [made.label == label for made, label in zip(found, labels, strict=True)]
    return {
        "n": len(found),
        "accuracy": float(np.mean(right)),
        "unlike": float(np.mean([made.unlikeness > 1 for made in found])),
        "warned": float(np.mean([made.remark != "" for made in found])),
    }


def photos_of(split: fc.Split) -> Iterable[NDArray[np.float32]]:
    """Save each image as a photo-like file and prepare that; black if nothing is found in it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "photo.jpg")
        for n, image in enumerate(split.images):
            path.write_bytes(photo_like(image, np.random.default_rng([28, n])))
            try:
                yield fc.prepare_photo(path)
            except ValueError:
                yield np.zeros_like(image)


def of_drawings(model: Any, *, mirrored: bool = False) -> list[dict[str, Any]]:
    """Predict the drawings, mirrored or not."""
    rows = []
    for name, right in DRAWN.items():
        image = fc.prepare_photo(DRAWINGS / f"{name}.png")
        prediction = fc.predict(model, image[:, ::-1] if mirrored else image, warn=False)
        rows.append(
            {
                "name": name,
                "predicted": prediction.class_name,
                "probability": round(prediction.probability, 3),
                "right": prediction.class_name == right,
                "unlike": prediction.unlikeness > 1,
                "warned": prediction.remark != "",
            }
        )
    return rows


def of_real_photos(model: Any, photos: RealPhotos) -> list[dict[str, Any]]:
    """Predict the real photos: a row for each, with its folder."""
    found = [fc.predict(model, image, warn=False) for image in photos.images]
    return [
        {
            "folder": str(folder),
            "predicted": made.class_name,
            "probability": round(made.probability, 3),
            "right": made.class_name in RIGHT[folder],
            "warned": made.remark != "",
        }
        for folder, made in zip(photos.folders, found, strict=True)
    ]


def of_the_largest() -> dict[str, float]:
    """Prepare a transparent PNG of as many pixels as are accepted, in a process of its own."""
    program = (
        "import re, sys, time, fashion_cnn as fc\n"
        "from pathlib import Path\n"
        "def peak():\n"
        # Linux's ru_maxrss would include what this process held when it started that one.
        "    status = Path('/proc/self/status').read_text()\n"
        "    return 1024 * int(re.search(r'VmHWM:\\s*(\\d+)', status)[1])\n"
        "fc.prepare_photo(sys.argv[1]); before, start = peak(), time.perf_counter()\n"
        "fc.prepare_photo(sys.argv[2]); print(peak() - before, time.perf_counter() - start)\n"
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "large.png")
        picture = Image.new("RGBA", (8_000, 6_250))
        picture.paste((90, 30, 60, 255), (2_000, 1_000, 5_000, 6_000))
        picture.save(path, compress_level=1)
        small = DRAWINGS / "ankle-boot.png"
        found = subprocess.check_output([sys.executable, "-c", program, str(small), str(path)])
    memory, seconds = map(float, found.split())
    return {"peak_memory": memory / 1e9, "seconds": seconds}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    if arguments.photos is None:
        raise SystemExit("expected the directory of the real photos: --photos path")
    data = fc.load_fashion_mnist()
    if not data.source.is_fashion_mnist:
        raise SystemExit(f"the benchmark needs Fashion-MNIST, got {data.source}")
    model = fc.load_model()
    start = time.perf_counter()
    photos = read_photos(arguments.photos)
    seconds = (time.perf_counter() - start) / len(photos.images)
    test = fc.Split(data.test.images[:N_PHOTOS], data.test.labels[:N_PHOTOS])
    prepared = list(photos_of(test))
    others = []
    for name, pictures in OTHER_THINGS:
        found = [
            fc.predict(model, np.reshape(picture, (28, 28)), warn=False)
            for picture in pictures(data.test, np.random.default_rng(28))
        ]
        unlike = float(np.mean([made.unlikeness > 1 for made in found]))
        warned = float(np.mean([made.remark != "" for made in found]))
        others.append({"name": name, "n": len(found), "unlike": unlike, "warned": warned})
    return machine() | {
        "real": of_real_photos(model, photos),
        "seconds": seconds,
        "direct": of_images(model, test.images, test.labels),
        "photos": of_images(model, prepared, test.labels),
        "others": others,
        "drawings": of_drawings(model),
        "drawings, mirrored": of_drawings(model, mirrored=True),
        "largest": of_the_largest(),
    }


def share(rows: list[dict[str, Any]], fact: str) -> str:
    """Return the part of the rows of which a fact holds, as text."""
    return f"{np.mean([row[fact] for row in rows]):.0%}" if rows else "–"


def render_real_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of the real photos: a row for each folder."""
    rows = results["real"]
    groups = {"**garments**, the next six": [row for row in rows if row["folder"] in GARMENTS]}
    for folder, right in RIGHT.items():
        counted = " or ".join(right) or "a warning"
        groups[f"{folder}: {counted}"] = [row for row in rows if row["folder"] == folder]
    lines = [
        "| photos, and what counts as right | n | right | warned about | right, if not warned |",
        "|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        kept = [row for row in group if not row["warned"]]
        is_known = any(row["folder"] in (*GARMENTS, "shoes") for row in group)
        rights = [share(group, "right"), share(kept, "right")] if is_known else ["–", "–"]
        cells = [name, str(len(group)), rights[0], share(group, "warned"), rights[1]]
        lines.append(f"| {' | '.join(cells)} |")
    answered = [row for row in rows if not row["warned"]]
    others = [row for row in rows if row["folder"] not in GARMENTS]
    note = below_table(
        f"{share(others, 'warned')} of the {len(others)} photos below the garments are warned "
        f"about. Of all {len(answered)} photos without a warning, {share(answered, 'right')} are "
        f"classified correctly. A photo takes {results['seconds']:.2f} s. "
        "`make bench PARTS=photos`; "
        f"{results['hardware']}; {results['versions']}."
    )
    return "\n".join([*lines, "", note, ""])


def render_table(results: dict[str, Any]) -> str:
    """Return the Markdown table of everything else."""
    lines = ["| pictures | n | right | unlike | unlike or not sure |", "|---|---|---|---|---|"]
    for name, key in (("unchanged test images", "direct"), ("made into photos", "photos")):
        row = results[key]
        shares = " | ".join(f"{row[x]:.1%}" for x in ("accuracy", "unlike", "warned"))
        lines.append(f"| {name} | {row['n']:,} | {shares} |")
    for name, key in (
        ("our twelve drawings", "drawings"),
        ("the same drawings, mirrored", "drawings, mirrored"),
    ):
        drawings = results[key]
        facts = [sum(row[fact] for row in drawings) for fact in ("right", "unlike", "warned")]
        lines.append(f"| {name} | {len(drawings)} | {' | '.join(map(str, facts))} |")
    for kind in results["others"]:
        shares = f"{kind['unlike']:.0%} | {kind['warned']:.0%}"
        lines.append(f"| {kind['name']} | {kind['n']} | – | {shares} |")
    wrong = ", ".join(
        f"{row['name']}: {row['predicted']} ({row['probability']:.0%})"
        for row in results["drawings"]
        if not row["right"]
    )
    largest = results["largest"]
    note = below_table(
        f"Drawings misclassified: {wrong or 'none'}. The largest picture accepted, 50 million "
        f"pixels with transparency, takes {largest['seconds']:.1f} s and "
        f"{largest['peak_memory']:.2f} GB. `make bench PARTS=photos`; "
        f"{results['hardware']}; {results['versions']}."
    )
    return "\n".join([*lines, "", note, ""])


@words_in_pictures()
def draw_figure(rows: list[dict[str, Any]]) -> Figure:
    """Draw what real photos were taken for, and how often a certainty is right."""
    words = KOREAN if current_language() == "ko" else dict(zip(KOREAN, KOREAN, strict=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    folders = list(RIGHT)
    counts = np.array(
        [
            [sum(r["folder"] == f and r["predicted"] == name for r in rows) for name in CLASS_NAMES]
            for f in folders
        ]
    )
    left.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (y, x), count in np.ndenumerate(counts):
        if count:
            is_dark = count > counts[y].sum() / 2
            left.text(x, y, count, ha="center", va="center", color="white" if is_dark else "black")
    left.set_xticks(range(len(CLASS_NAMES)), fc.class_names(), rotation=45, ha="right")
    left.set_yticks(range(len(folders)), [words[folder] for folder in folders])
    left.set_title(words["What the photos of each folder were taken for"])
    garments = [row for row in rows if row["folder"] in GARMENTS]
    is_right, probabilities = (
        np.array([row[x] for row in garments]) for x in ("right", "probability")
    )
    found, said = calibration_curve(is_right, probabilities, n_bins=6, strategy="quantile")
    right.plot([0, 1], [0, 1], color="#B5B5B5", linewidth=1)
    right.plot(said, found, "o-", color="#0072B2")
    right.set(
        xlabel=words["probability of the answer"],
        ylabel=words["part of the answers that are right"],
        title=words["Is a probability right? ({n} garments, six parts)"].format(n=len(garments)),
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    return figure


def write(results: dict[str, Any]) -> None:
    """Write the tables, and draw the figure in both languages."""
    write_table("real", render_real_table(results))
    write_table("photos", render_table(results))
    for language, path in FIGURES.items():
        fc.use_language(language)
        path.parent.mkdir(exist_ok=True)
        draw_figure(results["real"]).savefig(path, dpi=110)
