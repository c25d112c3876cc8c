"""Measure how often photos are told rightly and warned about, with the network of the package.

``make bench PARTS=photos PHOTOS=path``, where the path is the directory of real photos that
docs/photos.md describes. Besides these, it measures our own drawings, photo-like pictures made from
the test split, and pictures of other things.
"""

import io
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from measure import ROOT, Results, Tables, below_table, machine, note, table_of
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from real_photos import GARMENTS, RIGHT, prepared, read_photos
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, load_sample_images

import fashion_cnn as fc
from fashion_cnn.language import current_language, words_in_pictures

N_PHOTOS, N_OTHERS = 2_000, 500
Pictures = Iterable[NDArray[Any]]  # 28×28 in [0, 1], light on dark
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# An EXIF orientation, and how a camera that was held that way stores the picture.
TURNS = (
    (3, Image.Transpose.ROTATE_180),
    (6, Image.Transpose.ROTATE_90),
    (8, Image.Transpose.ROTATE_270),
)
DRAWINGS = ROOT / "notebooks" / "drawings"
FIGURES = {"en": ROOT / "docs" / "photos.png", "ko": ROOT / "docs" / "ko" / "photos.png"}
# Beside the figures of the photos on which everything was chosen.
TEST_SPLIT = (
    "The test split of the same data set, 372 photographs on which nothing was chosen, was "
    "measured at commit 8ef59cc: 66.9% of 245 garments are classified correctly; 48% of them are "
    "warned about, and so are 88% of 127 other things. Of all photos without a warning, 75.5% are "
    "classified correctly; of 73 photos of shoes in pairs, 1 is."
)
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
    "What the photos of each folder were taken for": "종류별 사진을 무엇으로 예측했는지",
    "probability of the answer": "예측의 확률",
    "part of the answers that are right": "맞힌 비율",
    "Is a probability right? ({n} garments, six parts)": "확률만큼 맞히는지(옷 {n}벌, 여섯 묶음)",
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


def digits(_: fc.Split, random: np.random.Generator) -> Pictures:
    """Enlarge scikit-learn's handwritten digits."""
    chosen = random.choice(load_digits().images, N_OTHERS, replace=False)
    for digit in (chosen / chosen.max() * 255).astype(np.uint8):
        yield np.asarray(Image.fromarray(digit).resize((28, 28), Image.Resampling.BICUBIC)) / 255


def letters(_: fc.Split, __: np.random.Generator) -> Pictures:
    """Write the Latin letters in three fonts."""
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif"):
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
            image = Image.new("L", (28, 28))
            font = ImageFont.truetype(str(FONTS / f"{name}.ttf"), 26)
            ImageDraw.Draw(image).text((14, 14), letter, fill=255, font=font, anchor="mm")
            yield np.asarray(image) / 255


def crops(_: fc.Split, random: np.random.Generator) -> Pictures:
    """Shrink squares cut out of scikit-learn's two photos, of a temple and of a flower."""
    photos = [Image.fromarray(photo).convert("L") for photo in load_sample_images().images]
    for n in range(N_OTHERS):
        photo = photos[n % 2]
        side = int(random.integers(40, 300))
        left = int(random.integers(0, photo.width - side))
        top = int(random.integers(0, photo.height - side))
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize((28, 28), Image.Resampling.BOX, box=box)) / 255


def noise(_: fc.Split, random: np.random.Generator) -> Pictures:
    """Draw every pixel at random."""
    return random.random((N_OTHERS, 28, 28))


OTHER_THINGS: dict[str, Callable[[fc.Split, np.random.Generator], Pictures]] = {
    "handwritten digits": digits,
    "Latin letters": letters,
    "cut-outs of photos": crops,
    "noise": noise,
    "clothes dark on light": lambda test, _: 1 - test.images[:N_OTHERS],
    "clothes upside down": lambda test, _: test.images[:N_OTHERS, ::-1, ::-1],
    "clothes lying": lambda test, _: np.rot90(test.images[:N_OTHERS], axes=(1, 2)),
}


def answer_to(model: Any, image: NDArray[Any], right: tuple[str, ...] = ()) -> Results:
    """Predict an image: what is answered, and whether that is one of the right class names."""
    prediction = fc.predict(model, np.reshape(image, (28, 28)))
    return {
        "predicted": prediction.class_name,
        "probability": round(prediction.probability, 3),
        "right": prediction.class_name in right,
        "unlike": prediction.unlikeness > 1,
        "warned": prediction.remark != "",
    }


def share(rows: list[Results], fact: str) -> float:
    """Return the part of the rows of which a fact holds."""
    return float(np.mean([row[fact] for row in rows]))


def of_images(model: Any, images: Pictures, labels: NDArray[np.int64]) -> Results:
    """Return accuracy and warnings over images with known labels."""
    rights = [(fc.CLASS_NAMES[label],) for label in labels]
    rows = [answer_to(model, image, right) for image, right in zip(images, rights, strict=True)]
    shares = {"unlike": share(rows, "unlike"), "warned": share(rows, "warned")}
    return {"n": len(rows), "accuracy": share(rows, "right")} | shares


def of_drawings(model: Any, *, mirrored: bool = False) -> list[Results]:
    """Predict the drawings, mirrored or not."""
    images = {name: fc.prepare_photo(DRAWINGS / f"{name}.png") for name in DRAWN}
    return [
        {"name": name} | answer_to(model, image[:, :: -1 if mirrored else 1], (DRAWN[name],))
        for name, image in images.items()
    ]


def measure(directory: Path | None) -> Results:
    """Measure everything."""
    if directory is None:
        raise SystemExit("expected the directory of the real photos: --photos path")
    data, model = fc.load_fashion_mnist(), fc.load_model()
    assert data.source.is_fashion_mnist, data.source
    start = time.perf_counter()
    photos = read_photos(directory)
    seconds = (time.perf_counter() - start) / len(photos.images)
    test = fc.Split(data.test.images[:N_PHOTOS], data.test.labels[:N_PHOTOS])
    files = (
        photo_like(image, np.random.default_rng([28, n])) for n, image in enumerate(test.images)
    )
    others = []
    for name, pictures in OTHER_THINGS.items():
        random = np.random.default_rng(28)
        rows = [answer_to(model, picture) for picture in pictures(data.test, random)]
        shares = {fact: share(rows, fact) for fact in ("unlike", "warned")}
        others.append({"name": name, "n": len(rows)} | shares)
    return machine() | {
        "real": [
            {"folder": str(folder)} | answer_to(model, image, RIGHT[folder])
            for folder, image in zip(photos.folders, photos.images, strict=True)
        ],
        "seconds": seconds,
        "direct": of_images(model, test.images, test.labels),
        "photos": of_images(model, map(prepared, files), test.labels),
        "others": others,
        "drawings": of_drawings(model),
        "drawings, mirrored": of_drawings(model, mirrored=True),
    }


def tables(results: Results) -> Tables:
    """Return the tables, by document and name."""
    document = "docs/photos.md"
    return {
        (document, "real"): render_real_table(results),
        (document, "photos"): render_table(results),
    }


def render_real_table(results: Results) -> str:
    """Return the Markdown table of the real photos: a row for each folder."""
    rows = results["real"]
    groups = {"**garments**, the next six": [row for row in rows if row["folder"] in GARMENTS]}
    for folder, right in RIGHT.items():
        counted = " or ".join(right) or "a warning"
        groups[f"{folder}: {counted}"] = [row for row in rows if row["folder"] == folder]
    lines = []
    for name, group in groups.items():
        kept = [row for row in group if not row["warned"]]
        rights = [f"{share(some, 'right'):.0%}" for some in (group, kept)]
        if name.endswith("a warning"):
            rights = ["–", "–"]
        lines.append([name, str(len(group)), rights[0], f"{share(group, 'warned'):.0%}", rights[1]])
    answered = [row for row in rows if not row["warned"]]
    others = [row for row in rows if row["folder"] not in GARMENTS]
    words = (
        f"{share(others, 'warned'):.0%} of the {len(others)} photos below the garments are warned "
        f"about. Of all {len(answered)} photos without a warning, {share(answered, 'right'):.0%} "
        f"are classified correctly. A photo takes {results['seconds']:.2f} s."
    )
    header = (
        "| photos, and what counts as right | n | right | warned about | right, if not warned |"
    )
    text = table_of(header, lines) + note(words, "make bench PARTS=photos", results)
    return f"{text}\n{below_table(TEST_SPLIT)}\n"


def render_table(results: Results) -> str:
    """Return the Markdown table of everything else."""
    rows = []
    for name, key in (("unchanged test images", "direct"), ("made into photos", "photos")):
        found = results[key]
        shares = [f"{found[fact]:.1%}" for fact in ("accuracy", "unlike", "warned")]
        rows.append([name, f"{found['n']:,}", *shares])
    for name, key in (
        ("our twelve drawings", "drawings"),
        ("the same drawings, mirrored", "drawings, mirrored"),
    ):
        drawings = results[key]
        facts = [sum(row[fact] for row in drawings) for fact in ("right", "unlike", "warned")]
        rows.append([name, *map(str, [len(drawings), *facts])])
    for kind in results["others"]:
        shares = [f"{kind[fact]:.0%}" for fact in ("unlike", "warned")]
        rows.append([kind["name"], str(kind["n"]), "–", *shares])
    wrong = ", ".join(
        f"{row['name']}: {row['predicted']} ({row['probability']:.0%})"
        for row in results["drawings"]
        if not row["right"]
    )
    words = f"Drawings misclassified: {wrong or 'none'}."
    header = "| pictures | n | right | unlike | unlike or not sure |"
    return table_of(header, rows) + note(words, "make bench PARTS=photos", results)


@words_in_pictures()
def draw_figure(rows: list[Results], path: Path) -> None:
    """Draw what real photos were taken for, and how often a certainty is right."""
    words = KOREAN if current_language() == "ko" else dict(zip(KOREAN, KOREAN, strict=True))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    folders, predicted = ([row[fact] for row in rows] for fact in ("folder", "predicted"))
    table = pd.crosstab(np.array(folders), np.array(predicted))
    counts = table.reindex(index=list(RIGHT), columns=fc.CLASS_NAMES, fill_value=0).to_numpy()
    left.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1)
    for (y, x), count in np.ndenumerate(counts):
        if count:
            is_dark = count > counts[y].sum() / 2
            left.text(x, y, count, ha="center", va="center", color="white" if is_dark else "black")
    left.set_xticks(range(len(fc.CLASS_NAMES)), fc.class_names(), rotation=45, ha="right")
    left.set_yticks(range(len(RIGHT)), [words[folder] for folder in RIGHT])
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
    figure.savefig(path, dpi=110)


def draw(results: Results) -> None:
    """Draw the figure in both languages."""
    for language, path in FIGURES.items():
        fc.use_language(language)
        draw_figure(results["real"], path)
