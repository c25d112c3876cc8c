"""Measure how often photos are told rightly and warned about, with the network of the package.

``make bench PARTS=photos PHOTOS=path``, where the path is the directory of real photos that
docs/photos.md describes. Besides these, it measures our own drawings, the test split, and pictures
of other things.
"""

import time
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from measure import ROOT, Results, Tables, machine, note, table_of
from numpy.typing import NDArray
from PIL import Image
from real_photos import GARMENTS, RIGHT, read_photos
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, load_sample_images

import fashion_cnn as fc
from fashion_cnn.language import current_language, words_in_pictures

N_IMAGES, N_OTHERS = 2_000, 500
FACTS = ("right", "unlike", "warned")
Pictures = Iterable[NDArray[Any]]  # 28×28 in [0, 1], light on dark
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
    "What the photos of each folder were taken for": "종류별 사진을 무엇으로 예측했는지",
    "probability of the answer": "예측의 확률",
    "part of the answers that are right": "맞힌 비율",
    "Is a probability right? ({n} garments, six parts)": "확률만큼 맞히는지(옷 {n}벌, 여섯 묶음)",
}
# The classes that count as right, fixed before any of them was predicted.
DRAWN = {
    "ankle-boot": ("Ankle boot",),
    "coat": ("Coat",),
    "dress": ("Dress",),
    "handbag": ("Bag",),
    "jeans": ("Trouser",),
    "pullover": ("Pullover",),
    "sandal": ("Sandal",),
    "shirt": ("Shirt",),
    "sneaker": ("Sneaker",),
    "striped-top": ("T-shirt/top",),
    "t-shirt": ("T-shirt/top",),
    "winter-boot": ("Ankle boot",),
}


def digits(_: fc.Split, random: np.random.Generator) -> Pictures:
    """Enlarge scikit-learn's handwritten digits."""
    chosen = random.choice(load_digits().images, N_OTHERS, replace=False)
    for digit in (chosen / chosen.max() * 255).astype(np.uint8):
        yield np.asarray(Image.fromarray(digit).resize((28, 28), Image.Resampling.BICUBIC)) / 255


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


OTHER_THINGS: dict[str, Callable[[fc.Split, np.random.Generator], Pictures]] = {
    "handwritten digits": digits,
    "cut-outs of photos": crops,
    "clothes dark on light": lambda test, _: 1 - test.images[:N_OTHERS],
    "clothes upside down": lambda test, _: test.images[:N_OTHERS, ::-1, ::-1],
    "clothes lying": lambda test, _: np.rot90(test.images[:N_OTHERS], axes=(1, 2)),
}


def answer_to(model: Any, image: NDArray[Any], right: tuple[str, ...]) -> Results:
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


def measure(directory: Path | None) -> Results:
    """Measure everything."""
    if directory is None:
        raise SystemExit("expected the directory of the real photos: --photos path")
    data, model = fc.load_fashion_mnist(), fc.load_model()
    assert data.source.is_fashion_mnist, data.source
    start = time.perf_counter()
    photos = read_photos(directory)
    seconds = (time.perf_counter() - start) / len(photos.images)
    names = [(fc.CLASS_NAMES[label],) for label in data.test.labels[:N_IMAGES]]
    drawings = [fc.prepare_photo(DRAWINGS / f"{name}.png") for name in DRAWN]
    mirrored = [drawing[:, ::-1] for drawing in drawings]
    groups: dict[str, tuple[Pictures, Iterable[tuple[str, ...]]]] = {
        "unchanged test images": (data.test.images[:N_IMAGES], names),
        "our twelve drawings": (drawings, DRAWN.values()),
        "the same drawings, mirrored": (mirrored, DRAWN.values()),
    }
    for name, make in OTHER_THINGS.items():
        groups[name] = make(data.test, np.random.default_rng(28)), repeat(())
    answers = {
        name: [answer_to(model, *each) for each in zip(*group, strict=False)]
        for name, group in groups.items()
    }
    return machine() | {
        "real": [
            {"folder": str(folder)} | answer_to(model, image, RIGHT[folder])
            for folder, image in zip(photos.folders, photos.images, strict=True)
        ],
        "seconds": seconds,
        "pictures": [
            {"name": name, "n": len(rows)} | {fact: share(rows, fact) for fact in FACTS}
            for name, rows in answers.items()
        ],
        "misclassified": [
            f"{name}: {row['predicted']} ({row['probability']:.0%})"
            for name, row in zip(DRAWN, answers["our twelve drawings"], strict=True)
            if not row["right"]
        ],
    }


def tables(results: Results) -> Tables:
    """Return the tables, by document and name."""
    renders = {"real": render_real_table, "photos": render_table}
    return {("docs/photos.md", name): render(results) for name, render in renders.items()}


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
    return table_of(header, lines) + note(words, "make bench PARTS=photos", results)


def render_table(results: Results) -> str:
    """Return the Markdown table of everything else."""
    rows = []
    for kind in results["pictures"]:
        right, *warnings = (f"{kind[fact]:.0%}" for fact in FACTS)
        is_other = kind["name"] in OTHER_THINGS
        rows.append([kind["name"], f"{kind['n']:,}", "–" if is_other else right, *warnings])
    words = f"Drawings misclassified: {', '.join(results['misclassified']) or 'none'}."
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
