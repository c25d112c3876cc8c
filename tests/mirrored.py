"""Train on one and on two logical CPU devices, which must be made before TensorFlow is used.

``python tests/mirrored.py DIRECTORY`` fails if the runs differ.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import fashion_cnn as fc

TINY_DIR = Path(__file__).resolve().parents[1] / "data" / "tiny"
# With flips, which depend on the step and so reveal batches that are lost or wrongly distributed.
RECIPE = fc.Recipe(learning_rate=1e-3, batch_size=32, epochs=2, patience=2, flip=True)


def build(dropout_rate=0.0):  # whose masks are drawn on each device
    return fc.build_cnn(filters=(4, 8), dense_units=16, dropout_rate=dropout_rate)


def run(name, model):
    """Train; return the history and the weights."""
    checkpoint = Path(sys.argv[1]) / f"{name}.keras"
    history = fc.train(model, data, RECIPE, checkpoint=checkpoint, verbose=0)
    return history.history, model.get_weights()


devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
data = fc.load_fashion_mnist(TINY_DIR)
history, weights = run("one", build())
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model, with_dropout = build(), build(0.4)
found, found_weights = run("two", model)
for name, values in history.items():
    np.testing.assert_allclose(found[name], values, atol=1e-4)
for a, b in zip(found_weights, weights, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
run("dropout", with_dropout)
