"""The tutorial in plain Keras, as its users would write it: the baseline.

Run by trainings.py: ``python benchmarks/plain_keras_run.py SEED CHECKPOINT`` prints a line of JSON.
"""

import sys

import keras
from measure import Run
from sklearn.model_selection import train_test_split

seed, checkpoint = int(sys.argv[1]), sys.argv[2]
keras.utils.set_random_seed(seed)  # as the book's notebooks do; NOTES.md says what it costs

(train_images, train_labels), (test_images, test_labels) = keras.datasets.fashion_mnist.load_data()
train_images = train_images.reshape(-1, 28, 28, 1) / 255.0
test_images = test_images.reshape(-1, 28, 28, 1) / 255.0
train_images, validation_images, train_labels, validation_labels = train_test_split(
    train_images, train_labels, test_size=0.2, random_state=42
)

model = keras.Sequential()
model.add(keras.Input((28, 28, 1)))
model.add(keras.layers.Conv2D(32, kernel_size=3, activation="relu", padding="same"))
model.add(keras.layers.MaxPooling2D(2))
model.add(keras.layers.Conv2D(64, kernel_size=3, activation="relu", padding="same"))
model.add(keras.layers.MaxPooling2D(2))
model.add(keras.layers.Flatten())
model.add(keras.layers.Dense(100, activation="relu"))
model.add(keras.layers.Dropout(0.4))
model.add(keras.layers.Dense(10, activation="softmax"))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

run = Run()
history = model.fit(
    train_images,
    train_labels,
    epochs=20,
    validation_data=(validation_images, validation_labels),
    callbacks=[
        keras.callbacks.ModelCheckpoint(checkpoint, save_best_only=True),
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        keras.callbacks.LambdaCallback(on_epoch_end=run.end_epoch),
    ],
    verbose=0,
)
run.end()
run.write(
    history.history["val_accuracy"],
    validation=model.evaluate(validation_images, validation_labels, verbose=0),
    test=model.evaluate(test_images, test_labels, verbose=0),
)
