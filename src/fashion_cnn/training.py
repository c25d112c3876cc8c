"""Train the network: recipes, and the training run with checkpoint and early stopping."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fashion_cnn.checkpoint import KeepProgress, TrainingState, architecture
from fashion_cnn.data import FashionMNIST, Split, check_split


@dataclass(frozen=True)
class Recipe:
    """Every number of a training run.

    Attributes
    ----------
    learning_rate : float
        Step size of Adam.
    batch_size : int
        Images per step.
    epochs : int
        The most epochs a run takes.
    patience : int
        Epochs without a lower validation loss after which the run stops.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int


BOOK = Recipe(learning_rate=1e-3, batch_size=32, epochs=20, patience=2)
"""The recipe of the book and the note."""


def train(
    model: keras.Sequential,
    data: FashionMNIST,
    recipe: Recipe = BOOK,
    *,
    checkpoint: str | os.PathLike[str] = "best-cnn-model.keras",
    seed: int = 42,
    resume: bool = True,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train from scratch with early stopping, saving the best model by validation loss.

    The weights are drawn anew from `seed`, whatever the model held before, so the same network,
    data, recipe and seed give the same run (on a CPU, with the same versions). To go on from
    weights that a model already has, use Keras's own ``model.fit``. Afterwards the model holds
    the weights of the best epoch, the same as the saved file.

    After every epoch the state of the run is kept beside the checkpoint, as
    ``….training-state.npz``. If the run is cut off (Ctrl-C, a crash, a lost machine), call `train`
    again with the same arguments: it goes on after the last finished epoch and ends as if
    nothing had happened, bit for bit. A finished run removes its state.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn`. It is compiled with the recipe's optimizer.
    data : FashionMNIST
        ``data.train`` is learned from; ``data.validation`` decides which epoch is best.
    recipe : Recipe
        The numbers of the run.
    checkpoint : path
        Where the best model is saved, as a ``.keras`` file. Missing directories are made.
    seed : int
        Seed of the first weights, of the order of the images and of dropout. It also sets
        Python's, NumPy's and TensorFlow's global seeds.
    resume : bool
        Whether to go on with an interrupted run. False starts over.
    callbacks : iterable of keras.callbacks.Callback
        Called after early stopping and before the epoch is saved. What they remember themselves
        is not kept for a resumed run.
    verbose : {"auto", 0, 1, 2}
        As in ``model.fit``: 0 is silent, 1 draws a progress bar, 2 prints a line an epoch.

    Returns
    -------
    keras.callbacks.History
        ``history.history`` has a list with one number an epoch for ``loss``, ``accuracy``,
        ``val_loss`` and ``val_accuracy``.

    Raises
    ------
    ValueError
        If `checkpoint` does not end in ``.keras``, if a split is not float images in [0, 1] of
        shape (n, 28, 28, 1) with labels 0 to 9, or if the kept state is damaged or belongs to
        another recipe, seed, network or data set.
    OSError
        If an epoch cannot be saved; what was saved before it stays as it was.
    """
    checkpoint = Path(checkpoint).expanduser()
    if checkpoint.suffix != ".keras":
        raise ValueError(f"expected a checkpoint file that ends in .keras, got {str(checkpoint)!r}")
    check_split(data.train, "train")
    check_split(data.validation, "validation")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state_path = checkpoint.with_suffix(".training-state.npz")
    identity = {
        "recipe": asdict(recipe),
        "seed": seed,
        "network": architecture(model),
        "data set": _fingerprint(data.train, data.validation),
    }
    run = json.loads(json.dumps(identity))  # as the state's file gives it back
    state = _interrupted_run(state_path, run) if resume and state_path.exists() else None
    finished_epochs = state.finished_epochs if state else 0
    if state and verbose != 0:
        print(f"Going on after epoch {finished_epochs} of at most {recipe.epochs} ({state_path}).")

    _draw_weights(model, seed)
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    history = keras.callbacks.History()
    early_stopping = keras.callbacks.EarlyStopping(
        patience=recipe.patience, restore_best_weights=True
    )
    keep_progress = KeepProgress(checkpoint, state_path, run, history, early_stopping, state)
    try:
        return model.fit(
            _shuffled_batches(data.train, recipe, seed, first_epoch=finished_epochs),
            shuffle=False,  # they are shuffled already
            steps_per_epoch=math.ceil(len(data.train.labels) / recipe.batch_size),
            validation_data=data.validation,
            validation_batch_size=recipe.batch_size,
            initial_epoch=recipe.epochs if state and state.stopped else finished_epochs,
            epochs=recipe.epochs,
            callbacks=[history, early_stopping, *callbacks, keep_progress],
            verbose=verbose,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted in epoch {keep_progress.saved_epochs + 1}. Call train again with the "
            f"same arguments to go on after epoch {keep_progress.saved_epochs}"
        ) from None


def _interrupted_run(path: Path, run: dict[str, Any]) -> TrainingState:
    """Read the state of an interrupted run and make sure that it is this run's."""
    state = TrainingState.load(path)
    different = [name for name in run if state.run.get(name) != run[name]]
    if different:
        details = "; ".join(
            f"{name} {state.run.get(name)} there, {run[name]} here"
            for name in different
            if name in ("recipe", "seed")
        )
        raise ValueError(
            f"{path.absolute()} holds the state of an interrupted training with another "
            f"{' and another '.join(different)}{f' ({details})' if details else ''}. "
            "Train with the same arguments to go on with it, with another checkpoint to keep it "
            "for later, or with resume=False (or after deleting the file) to start over"
        )
    return state


def _fingerprint(*splits: Split) -> str:
    """Return a SHA-256 over all images and labels."""
    sha256 = hashlib.sha256()
    for split in splits:
        for array in split:
            sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _shuffled_batches(
    split: Split, recipe: Recipe, seed: int, *, first_epoch: int
) -> tf.data.Dataset:
    """Give the batches of one epoch after another, each in an order of its own.

    The order depends on the seed and the number of the epoch alone, so a run that goes on in the
    middle sees the images as it would have seen them.
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(split.labels)), seed=[seed, epoch]
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(recipe.batch_size)

    return (
        tf.data.Dataset.range(first_epoch, recipe.epochs)
        .flat_map(batches_of)
        .map(
            lambda indices: (tf.gather(images, indices), tf.gather(labels, indices)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def _draw_weights(model: keras.Sequential, seed: int) -> None:
    """Give every layer the weights and the dropout state that a network new from `seed` has."""
    keras.utils.set_random_seed(seed)
    fresh_model = keras.models.clone_model(model)
    for layer, fresh_layer in zip(model.layers, fresh_model.layers, strict=True):
        for variable, fresh_variable in zip(layer.variables, fresh_layer.variables, strict=True):
            variable.assign(fresh_variable)
