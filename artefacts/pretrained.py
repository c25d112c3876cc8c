"""Train the network that comes with the package, and write its card: ``make pretrained``.

With PHOTOS, the directory of real photos that docs/photos.md describes, its certainty is
calibrated on them. An interrupted training resumes. The same versions give the same weights, up to
rounding; where the processor rounds differently, a long training may end a little elsewhere.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measure import below_table, hardware, versions
from numpy.typing import NDArray
from real_photos import RealPhotos, read_photos
from robust import ROBUST, photo_augmentation
from scipy.optimize import minimize
from scipy.special import softmax

import fashion_cnn as fc
from fashion_cnn.model import PRETRAINED
from fashion_cnn.recipe import BOOK

SEED = 0
CARD = PRETRAINED.with_name("README.md")
CHECKPOINT = "robust-model.keras"
PENALTY = 3.0  # of a shift by 1, in nats: about as much as three photos weigh


def main() -> None:
    """Train, calibrate, and write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="directory of the real photos")
    parser.add_argument("--model", help="a model trained so already (default: train it)")
    arguments = parser.parse_args()
    data = fc.load_fashion_mnist()
    if not data.source.is_fashion_mnist:
        raise SystemExit(f"the network needs Fashion-MNIST, got {data.source}")
    if arguments.model:
        model = fc.load_model(arguments.model)
    else:
        model = fc.build_cnn()
        fc.train(
            model,
            data,
            ROBUST,
            checkpoint=CHECKPOINT,
            seed=SEED,
            augment=photo_augmentation,
            verbose=2,
        )
    photos = read_photos(arguments.photos)
    temperature, shifts = calibration(model, photos)
    write_weights(model, temperature, shifts)
    card = render_card(fc.load_model(), data, photos, temperature, shifts)
    CARD.write_text(card, "utf-8")
    print(card)


def calibration(model: Any, photos: RealPhotos) -> tuple[float, NDArray[np.float64]]:
    """Return the temperature and the shifts of the logits that suit the photos of garments.

    Both make the right answers likeliest (bias-corrected temperature scaling, arXiv:1901.06852);
    only the six kinds of garments that are on photos are shifted, and little, by a penalty.
    """
    logits = np.log(np.maximum(model.predict(photos.images, verbose=0), 1e-12))[photos.is_garment]
    is_right = photos.is_right[photos.is_garment]
    garments = np.asarray(is_right.any(axis=0))

    def shifts_of(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        shifts = np.zeros(len(garments))
        shifts[garments] = numbers - numbers.mean()
        return shifts

    def surprise(numbers: NDArray[np.float64]) -> float:
        scaled = softmax(logits / np.exp(numbers[0]) + shifts_of(numbers[1:]), axis=1)
        right = np.log((scaled * is_right).sum(axis=1))
        return float(PENALTY * np.square(numbers[1:]).sum() - right.sum())

    best = minimize(surprise, np.zeros(1 + garments.sum())).x
    return float(np.exp(best[0])), shifts_of(best[1:])


def write_weights(model: Any, temperature: float, shifts: NDArray[np.float64]) -> None:
    """Store the weights in float16, the calibration already in those of the last layer."""
    weights: list[NDArray[Any]] = model.get_weights()
    weights[-2:] = [weights[-2] / temperature, weights[-1] / temperature + shifts]
    PRETRAINED.parent.mkdir(exist_ok=True)
    np.savez_compressed(PRETRAINED, *[array.astype(np.float16) for array in weights])


def render_card(
    model: Any,
    data: fc.FashionMNIST,
    photos: RealPhotos,
    temperature: float,
    shifts: NDArray[np.float64],
) -> str:
    """Return what to know about the network, as Markdown."""
    test, validation = fc.evaluate(model, data.test), fc.evaluate(model, data.validation)
    changed = {name: value for name, value in asdict(ROBUST).items() if value != asdict(BOOK)[name]}
    settings = ", ".join(f"{name} {value}" for name, value in changed.items())
    right = photos.right(model.predict(photos.images, verbose=0))
    garments = right[photos.is_garment]
    shifted = ", ".join(
        f"{name} {shift:+.2f}" for name, shift in zip(fc.CLASS_NAMES, shifts, strict=True) if shift
    )
    rows = {
        "trained on": f"the training split of Fashion-MNIST, {len(data.train.labels):,} images "
        "(MIT licence, © 2017 Zalando SE)",
        "recipe": f"`ROBUST` of artefacts/robust.py, seed {SEED}: {settings}",
        "stored": f"{PRETRAINED.stat().st_size / 1e6:.2f} MB, float16",
        "validation accuracy": f"{validation.accuracy:.4f}",
        "test accuracy": f"{test.accuracy:.4f}",
        "garments on real photos": f"{garments.mean():.1%} of {len(garments)} right "
        "([docs/photos.md](../../../docs/photos.md))",
        "calibration": f"temperature {temperature:.2f}, shifts of the logits {shifted}, stored in "
        "the last layer's weights. They suit the probabilities to real photos of garments; on "
        "images of the data set, the network is then less sure than it could be",
        "made with": f"{versions()}; {hardware()}",
        "to retrain": "`make pretrained PHOTOS=path`",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    text = below_table(
        "It knows ten classes and nothing else: one garment at a time, from the front, shoes from "
        "the side. Recipe and calibration were chosen on the validation split and on real photos; "
        "no photo was trained on."
    )
    intro = below_table(
        f"`fashion_cnn.load_model()` returns the tutorial's network of {model.count_params():,} "
        "parameters, trained on images changed in many ways, so that it works for photographs."
    )
    title = "# The network that comes with the package"
    return f"{title}\n\n{intro}\n\n| | |\n|---|---|\n{table}\n\n{text}\n"


if __name__ == "__main__":
    main()
