"""One run with this package.

Run by bench.py: ``python benchmarks/fashion_cnn_run.py SEED CHECKPOINT RECIPE [all]`` prints a
line of JSON. With "all", the network learns from all 60,000 images, those for validation too:
its validation figures then mean nothing.
"""

import json
import sys
import time

import keras
import numpy as np
from measure import peak_memory

import fashion_cnn as fc
from fashion_cnn.training import chosen_precision

seed, checkpoint, recipe = int(sys.argv[1]), sys.argv[2], getattr(fc, sys.argv[3])
data = fc.load_fashion_mnist()
if sys.argv[4:] == ["all"]:
    images = np.concatenate([data.train.images, data.validation.images])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    data = data._replace(train=fc.Split(images, labels))
model = fc.build_cnn()

epoch_ends: list[float] = []
start = 0.0
timer = keras.callbacks.LambdaCallback(
    on_epoch_end=lambda epoch, logs: epoch_ends.append(time.perf_counter() - start)
)
start = time.perf_counter()
history = fc.train(
    model, data, recipe, checkpoint=checkpoint, seed=seed, callbacks=[timer], verbose=0
)
seconds = time.perf_counter() - start
memory = peak_memory()

validation = fc.evaluate(model, data.validation)
test = fc.evaluate(model, data.test)
print(
    json.dumps(
        {
            "epochs": len(history.epoch),
            "validation_loss": validation.loss,
            "validation_accuracy": validation.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "seconds": seconds,
            "epoch_ends": epoch_ends,
            "epoch_validation_accuracies": history.history["val_accuracy"],
            "peak_memory": memory,
            "precision": chosen_precision(recipe),
        }
    )
)
