"""The photographs by strangers that measure `prepare_photo`: what they are, and what is right.

They are the validation split of clothing-dataset-small (github.com/alexeygrigorev/
clothing-dataset-small, CC0 1.0), a folder for each class, read in place and never committed.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import fashion_cnn as fc

# Folder: the classes that count as right. None of the ten is right for the last three.
RIGHT: dict[str, tuple[str, ...]] = {
    "dress": ("Dress",),
    "longsleeve": ("Pullover", "Shirt"),
    "outwear": ("Coat",),
    "pants": ("Trouser",),
    "shirt": ("Shirt",),
    "t-shirt": ("T-shirt/top",),
    "shoes": ("Sandal", "Sneaker", "Ankle boot"),
    "hat": (),
    "shorts": (),
    "skirt": (),
}
GARMENTS = tuple(RIGHT)[:6]  # what the network can be expected to know


class RealPhotos(NamedTuple):
    """Prepared photos: images (n, 28, 28, 1), and the folder of each."""

    images: NDArray[np.float32]
    folders: NDArray[np.str_]

    @property
    def is_garment(self) -> NDArray[np.bool_]:
        """Whether each photo shows a garment that the network can be expected to know."""
        return np.isin(self.folders, GARMENTS)

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which classes are right for each photo: bool (n, 10)."""
        return np.array([[name in RIGHT[f] for name in fc.CLASS_NAMES] for f in self.folders])

    def right(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether the likeliest class is right for each photo."""
        return self.is_right[np.arange(len(self.folders)), probabilities.argmax(axis=1)]


def prepared(photo: Path | bytes) -> NDArray[np.float32]:
    """Prepare a photo. One that is refused becomes a black image, which counts as misclassified."""
    try:
        return fc.prepare_photo(photo)
    except ValueError:
        return np.zeros((28, 28, 1), np.float32)


def read_photos(directory: Path) -> RealPhotos:
    """Prepare all photos in the ten folders of a directory."""
    paths = [path for folder in RIGHT for path in sorted((directory / folder).glob("*.jpg"))]
    if not paths:
        raise SystemExit(f"expected the photos' ten folders in {directory}, found no photo")
    folders = np.array([path.parent.name for path in paths])
    return RealPhotos(np.array([prepared(path) for path in paths]), folders)
