"""One run with this package.

Run by trainings.py: ``python benchmarks/fashion_cnn_run.py SEED CHECKPOINT RECIPE`` prints a line
of JSON.
"""

import sys

import keras
from measure import Run

import fashion_cnn as fc
from fashion_cnn.training import chosen_precision

seed, checkpoint, recipe = int(sys.argv[1]), sys.argv[2], getattr(fc, sys.argv[3])
data = fc.load_fashion_mnist()
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
