"""Train on one and on two logical CPU devices, which must be made before TensorFlow is used.

``python tests/mirrored.py DIRECTORY`` prints one line of JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import fashion_cnn as fc

TINY_DIR = Path(__file__).resolve().parents[1] / "data" / "tiny"
# With flips, which depend on the step and so reveal batches that are lost or wrongly distributed.
# Without dropout, whose masks are drawn on each device.
RECIPE = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=2, patience=2, flip=True)

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
data = fc.load_fashion_mnist(TINY_DIR)
directory = Path(sys.argv[1])


def run(name: str, dropout_rate: float) -> tuple[dict[str, list[float]], list[np.ndarray]]:
    """Train and return history and weights."""
    model = fc.build_cnn(filters=(4, 8), dense_units=16, dropout_rate=dropout_rate)
    history = fc.train(model, data, RECIPE, checkpoint=directory / f"{name}.keras", verbose=0)
    return history.history, model.get_weights()


history, weights = run("one", 0)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    mirrored_history, mirrored_weights = run("two", 0)
    run("dropout", 0.4)
    built_in_scope = fc.build_cnn(filters=(4, 8), dense_units=16, dropout_rate=0)
fc.train(built_in_scope, data, RECIPE, checkpoint=directory / "outside.keras", verbose=0)
for a, b in zip(built_in_scope.get_weights(), mirrored_weights, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
differences = [np.abs(a - b).max() for a, b in zip(weights, mirrored_weights, strict=True)]
print(
    json.dumps(
        {
            "devices": strategy.num_replicas_in_sync,
            "largest difference of a weight": float(max(differences)),
            "history": history,
            "mirrored history": mirrored_history,
        }
    )
)
