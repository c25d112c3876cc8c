"""The same run with this package.

Run by book.py: ``python benchmarks/fashion_cnn_book.py SEED CHECKPOINT`` prints one line of JSON.
"""

import json
import sys
import time

import fashion_cnn as fc

seed, checkpoint = int(sys.argv[1]), sys.argv[2]
data = fc.load_fashion_mnist()
model = fc.build_cnn()

start = time.perf_counter()
history = fc.train(model, data, fc.BOOK, checkpoint=checkpoint, seed=seed, verbose=0)
seconds = time.perf_counter() - start

validation = fc.evaluate(model, data.validation)
test = fc.evaluate(model, data.test)
print(
    json.dumps(
        {
            "seed": seed,
            "epochs": len(history.epoch),
            "validation_loss": validation.loss,
            "validation_accuracy": validation.accuracy,
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "seconds": seconds,
        }
    )
)
