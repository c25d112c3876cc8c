"""Record one training run for the view ``learning`` of the live page.

``python benchmarks/learning_record.py`` trains the tutorial's network as the notebook writes it
out, and looks at it before the first step, after some steps of the first epoch, and after each
epoch: the filters of the first layer, loss and accuracy, and what it says of some drawings. Ten
epochs take about ten minutes on two cores; what is written is src/fashion_cnn/page/learning.json.
"""

import base64
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import fashion_cnn as fc

ROOT = Path(__file__).resolve().parents[1]
DRAWINGS = ROOT / "notebooks" / "drawings"
RECORD = ROOT / "src" / "fashion_cnn" / "page" / "learning.json"
SEED = 42  # as in the notebook
EPOCHS = 10  # enough to see the validation loss rise again
STEPS = (5, 15, 50, 150, 500)  # of the first epoch, in which the filters move most
# Each with the label that is right, as benchmarks/photos.py has it.
EXAMPLES = {
    "t-shirt": 0,
    "jeans": 1,
    "pullover": 2,
    "dress": 3,
    "coat": 4,
    "sandal": 5,
    "shirt": 6,
    "sneaker": 7,
    "handbag": 8,
    "ankle-boot": 9,
}


class Recorder(keras.callbacks.Callback):
    """Look at the network in between, without disturbing its training.

    Everything is computed by a second network with the same weights: evaluating the first one
    would set back the metrics that Keras sums up over an epoch.
    """

    def __init__(self, data: fc.FashionMNIST, images: np.ndarray) -> None:
        super().__init__()
        self.witness = fc.build_cnn()
        self.images = images
        self.validation = data.validation
        # As many as in the validation split, so that both are equally exact.
        count = len(data.validation.labels)
        self.training = fc.Split(data.train.images[:count], data.train.labels[:count])
        self.points: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Look at the random weights."""
        self.look(epoch=0, step=0)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the network after some steps of the first epoch."""
        if not self.finished_epochs and batch + 1 in STEPS:
            self.look(epoch=0, step=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the network as Keras does, and check that both see the same."""
        self.look(epoch=epoch + 1, step=0)
        assert logs is not None
        assert np.isclose(self.points[-1]["validation"]["loss"], logs["val_loss"], atol=1e-3)

    @property
    def finished_epochs(self) -> int:
        """Count the finished epochs."""
        return self.points[-1]["epoch"]

    def look(self, epoch: int, step: int) -> None:
        """Add a point: after so many epochs, or after so many steps of the first one."""
        self.witness.set_weights(self.model.get_weights())
        kernels, biases = self.witness.get_layer("conv1").get_weights()
        point: dict[str, Any] = {"epoch": epoch, "step": step}
        for name, split in (("training", self.training), ("validation", self.validation)):
            loss, accuracy = fc.evaluate(self.witness, split)
            point[name] = {"loss": round(loss, 4), "accuracy": round(accuracy, 4)}
        point["kernels"] = rounded(np.moveaxis(kernels[:, :, 0], -1, 0).reshape(-1, 9))
        point["biases"] = rounded(biases)
        point["probabilities"] = rounded(self.witness.predict_on_batch(self.images))
        self.points.append(point)
        print({key: point[key] for key in ("epoch", "step", "training", "validation")}, flush=True)


def rounded(numbers: np.ndarray) -> list[Any]:
    """Return numbers with three decimals, as nested lists."""
    return np.round(np.asarray(numbers, np.float64), 3).tolist()


def main() -> None:
    """Train, record, and write the file."""
    data = fc.load_fashion_mnist()
    if not data.source.is_fashion_mnist:
        raise SystemExit(f"the record needs Fashion-MNIST, got {data.source}")
    images = np.stack([fc.prepare_photo(DRAWINGS / f"{name}.png") for name in EXAMPLES])
    recorder = Recorder(data, images)

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential()
    model.add(keras.Input((28, 28, 1)))
    model.add(layers.Conv2D(32, 3, padding="same", activation="relu"))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Conv2D(64, 3, padding="same", activation="relu"))
    model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(100, activation="relu"))
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        *data.train,
        epochs=EPOCHS,
        validation_data=data.validation,
        callbacks=[recorder],
        verbose=0,
    )

    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    record = {
        "made_with": {"python": platform.python_version()} | versions,
        "command": "python benchmarks/learning_record.py",
        "seed": SEED,
        "batch_size": 32,  # Keras's default
        "steps_per_epoch": -(-len(data.train.labels) // 32),
        "images": {
            "trained_on": len(data.train.labels),
            "training": len(recorder.training.labels),
            "validation": len(recorder.validation.labels),
        },
        "examples": [
            {"name": name, "label": label, "pixels": base64.b64encode(pixels).decode()}
            for (name, label), pixels in zip(
                EXAMPLES.items(), np.rint(images * 255).astype(np.uint8), strict=True
            )
        ],
        "points": recorder.points,
    }
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"wrote {RECORD}, {RECORD.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
