"""Train the network that comes with the package, and fill in its card: ``make pretrained``.

Its certainty is calibrated on PHOTOS, the directory of real photos that docs/photos.md describes.
An interrupted training resumes. The same versions give the same weights, up to rounding; where the
processor rounds differently, a long training may end a little elsewhere.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, table_of, write_table
from numpy.typing import NDArray
from real_photos import RealPhotos, read_photos
from robust import ROBUST, photo_augmentation
from scipy.optimize import minimize
from scipy.special import softmax

import fashion_cnn as fc
from fashion_cnn.model import PRETRAINED

SEED = 0
CARD = "src/fashion_cnn/pretrained/README.md"
CHECKPOINT = "robust-model.keras"
PENALTY = 3.0  # of a shift by 1, in nats: about as much as three photos weigh


def main() -> None:
    """Train, calibrate, and write the weights and the table of the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="directory of the real photos")
    photos = read_photos(parser.parse_args().photos)
    data, model = fc.load_fashion_mnist(), fc.build_cnn()
    assert data.source.is_fashion_mnist, data.source
    fc.train(
        model, data, ROBUST, checkpoint=CHECKPOINT, seed=SEED, augment=photo_augmentation, verbose=2
    )
    temperature, shifts = calibration(model, photos)
    # The calibration is in the weights of the last layer, and all are stored in float16.
    weights: list[NDArray[Any]] = model.get_weights()
    weights[-2:] = [weights[-2] / temperature, weights[-1] / temperature + shifts]
    np.savez_compressed(PRETRAINED, *[array.astype(np.float16) for array in weights])
    rows = facts(data, photos, temperature, shifts).items()
    write_table(CARD, "card", table_of("| | |", rows))


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


def facts(
    data: fc.FashionMNIST, photos: RealPhotos, temperature: float, shifts: NDArray[np.float64]
) -> dict[str, str]:
    """Return what was measured of the packaged network, and how it was made."""
    model = fc.load_model()
    test, validation = fc.evaluate(model, data.test), fc.evaluate(model, data.validation)
    garments = photos.right(model.predict(photos.images, verbose=0))[photos.is_garment]
    shifted = ", ".join(
        f"{name} {shift:+.2f}" for name, shift in zip(fc.CLASS_NAMES, shifts, strict=True) if shift
    )
    book = asdict(fc.BOOK)
    settings = ", ".join(f"{name} {x}" for name, x in asdict(ROBUST).items() if x != book[name])
    return {
        "recipe": f"`ROBUST` of artefacts/robust.py, seed {SEED}: {settings}",
        "stored": f"{PRETRAINED.stat().st_size / 1e6:.2f} MB, float16",
        "validation accuracy": f"{validation.accuracy:.4f}",
        "test accuracy": f"{test.accuracy:.4f}",
        "garments on real photos": f"{garments.mean():.1%} of {len(garments)} right",
        "calibration": f"temperature {temperature:.2f}, shifts of the logits {shifted}",
        "made with": "{versions}; {hardware}".format(**machine()),
    }


if __name__ == "__main__":
    main()
