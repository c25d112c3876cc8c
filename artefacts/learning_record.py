"""Record one training run for the view ``learning`` of the live page.

``python artefacts/learning_record.py`` trains the tutorial's network as the notebook does, and
looks at it before the first step, after some steps of the first epoch, and after each epoch: at the
filters of the first layer, at loss and accuracy, and at its answers to some drawings. Ten epochs
take about ten minutes on two cores. It writes src/fashion_cnn/page/learning.json.
"""

import base64
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np

import fashion_cnn as fc

ROOT = Path(__file__).resolve().parents[1]
DRAWINGS = ROOT / "notebooks" / "drawings"
RECORD = ROOT / "src" / "fashion_cnn" / "page" / "learning.json"
SEED = 42  # as in the notebook
EPOCHS = 10  # enough to see the validation loss rise again
STEPS = (5, 15, 50, 150, 500)  # of the first epoch, in which the filters move most
# A drawing of each class, in the order of the labels.
EXAMPLES = (
    "t-shirt", "jeans", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "handbag", "ankle-boot",
)  # fmt: skip


class Recorder(keras.callbacks.Callback):
    """Look at the network in between; `fc.evaluate` leaves Keras's sums over an epoch alone."""

    def __init__(self, data: fc.FashionMNIST, images: np.ndarray) -> None:
        super().__init__()
        self.images = images
        self.validation = data.validation
        # As many as in the validation split, so that both are equally exact.
        count = data.validation.size
        self.training = fc.Split(data.train.images[:count], data.train.labels[:count])
        self.points: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Look at the random weights."""
        self.look(epoch=0, step=0)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the network after some steps of the first epoch."""
        if self.points[-1]["epoch"] == 0 and batch + 1 in STEPS:
            self.look(epoch=0, step=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the network after an epoch."""
        self.look(epoch=epoch + 1, step=0)

    def look(self, epoch: int, step: int) -> None:
        """Add a point: after so many epochs, or after so many steps of the first one."""
        kernels, _biases = self.model.get_layer("conv1").get_weights()
        point: dict[str, Any] = {"epoch": epoch, "step": step}
        for name, split in (("training", self.training), ("validation", self.validation)):
            loss, accuracy = fc.evaluate(self.model, split)
            point[name] = {"loss": round(loss, 4), "accuracy": round(accuracy, 4)}
        point["kernels"] = rounded(np.moveaxis(kernels[:, :, 0], -1, 0).reshape(-1, 9))
        point["probabilities"] = rounded(self.model.predict_on_batch(self.images))
        self.points.append(point)
        print({key: point[key] for key in ("epoch", "step", "training", "validation")}, flush=True)


def rounded(numbers: np.ndarray) -> list[Any]:
    """Return numbers with three decimals, as nested lists."""
    return np.round(np.asarray(numbers, np.float64), 3).tolist()


def main() -> None:
    """Train, record, and write the file."""
    data = fc.load_fashion_mnist()
    assert data.source.is_fashion_mnist, data.source
    images = np.stack([fc.prepare_photo(DRAWINGS / f"{name}.png") for name in EXAMPLES])
    recorder = Recorder(data, images)
    keras.utils.set_random_seed(SEED)
    fc.build_cnn().fit(
        *data.train, epochs=EPOCHS, validation_data=data.validation, callbacks=[recorder], verbose=0
    )
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    pixels = [base64.b64encode(image).decode() for image in np.rint(images * 255).astype(np.uint8)]
    record = {
        "made_with": {"python": platform.python_version()} | versions,
        "command": "python artefacts/learning_record.py",
        "seed": SEED,
        "steps_per_epoch": -(-data.train.size // 32),  # Keras's default batch size
        "images": {"trained_on": data.train.size, "validation": data.validation.size},
        "examples": [
            {"name": name, "label": label, "pixels": pixels[label]}
            for label, name in enumerate(EXAMPLES)
        ],
        "points": recorder.points,
    }
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
