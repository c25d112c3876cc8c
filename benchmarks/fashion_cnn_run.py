"""One run with this package.

Run by trainings.py: ``python benchmarks/fashion_cnn_run.py SEED CHECKPOINT RECIPE [all]`` prints a
line of JSON. With "all", the network learns from all 60,000 images, including those for validation:
its validation figures then mean nothing.
"""

import sys

import keras
import numpy as np
from measure import Run

import fashion_cnn as fc
from fashion_cnn.training import chosen_precision

seed, checkpoint, recipe = int(sys.argv[1]), sys.argv[2], getattr(fc, sys.argv[3])
data = fc.load_fashion_mnist()
if sys.argv[4:] == ["all"]:
    images = np.concatenate([data.train.images, data.validation.images])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    data = data._replace(train=fc.Split(images, labels))
model = fc.build_cnn()

run = Run()
timer = keras.callbacks.LambdaCallback(on_epoch_end=run.end_epoch)
history = fc.train(
    model, data, recipe, checkpoint=checkpoint, seed=seed, callbacks=[timer], verbose=0
)
run.end()
run.write(
    history.history["val_accuracy"],
    validation=fc.evaluate(model, data.validation),
    test=fc.evaluate(model, data.test),
    precision=chosen_precision(recipe),
)
