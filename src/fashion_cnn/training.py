"""Train the network: recipes, and the training run with checkpoint and early stopping."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import keras

from fashion_cnn.data import FashionMNIST


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
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train from scratch with early stopping, saving the best model by validation loss.

    The weights are drawn anew from `seed`, whatever the model held before, so the same network,
    data, recipe and seed give the same run. To go on from weights that a model already has, use
    Keras's own ``model.fit``. Afterwards the model holds the weights of the best epoch, the same
    as the saved file.

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
        Seed of the first weights, of the order of the images and of dropout.
    callbacks : iterable of keras.callbacks.Callback
        Called after the run's own.
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
        If `checkpoint` does not end in ``.keras``.
    """
    checkpoint = Path(checkpoint).expanduser()
    if checkpoint.suffix != ".keras":
        raise ValueError(f"expected a checkpoint file that ends in .keras, got {str(checkpoint)!r}")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    _draw_weights(model, seed)
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model.fit(
        *data.train,
        validation_data=data.validation,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        callbacks=[
            keras.callbacks.ModelCheckpoint(checkpoint, save_best_only=True),
            keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True),
            *callbacks,
        ],
        verbose=verbose,
    )


def _draw_weights(model: keras.Sequential, seed: int) -> None:
    """Give every layer the weights and the dropout state that a network new from `seed` has."""
    keras.utils.set_random_seed(seed)
    fresh_model = keras.models.clone_model(model)
    for layer, fresh_layer in zip(model.layers, fresh_model.layers, strict=True):
        for variable, fresh_variable in zip(layer.variables, fresh_layer.variables, strict=True):
            variable.assign(fresh_variable)
