"""Train the network: recipes, and the training run with checkpoint and early stopping."""

import contextlib
import functools
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fashion_cnn.batches import evaluation_batches, training_batches
from fashion_cnn.checkpoint import KeepProgress, TrainingState, architecture
from fashion_cnn.data import IMAGE_SHAPE, FashionMNIST, Split, check_split
from fashion_cnn.model import compile_cnn

MOST_STEPS_PER_CALL = 16
WHITENING_IMAGES = 1_000
VALIDATION_BATCH_SIZE = 256  # a larger one gains nothing and needs more memory
LEAST_SPEEDUP = 1.1  # of bfloat16 over float32, below which it is not worth its rounding


@dataclass(frozen=True)
class Recipe:
    """Every number of a training run.

    Attributes
    ----------
    learning_rate : float
        Step size of Adam; the largest one if it changes.
    batch_size : int
        Images per step.
    epochs : int
        The most epochs a run takes.
    patience : int
        Epochs without a lower validation loss after which the run stops.
    warmup : float, optional
        The part of all steps, in (0, 1), in which the step size rises from 0; in the rest it falls
        to 0 along half a cosine wave. None keeps the step size as it is.
    weight_decay : float
        The part of every weight, but no bias, that a step takes away, times the step size.
    dropout_rate : float, optional
        In this run, in place of the rate the network was built with; None leaves it. A network
        built without dropout stays without.
    whitening : bool
        Whether the first convolution starts from filters that whiten the training images'
        patches, not from random ones.
    flip : bool
        Whether half of the images, drawn anew every epoch, are mirrored left to right.
    shift : int
        Pixels by which an image is moved at most, up or down and left or right.
    erasing : float
        The part of the images, in [0, 1], in which a rectangle is painted over.
    precision : {"float32", "bfloat16", "fastest"}
        What the network computes in; the weights are float32 all the same. "fastest" is bfloat16
        if a short timing at the start finds this machine quicker with it, else float32.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    warmup: float | None = None
    weight_decay: float = 0.0
    dropout_rate: float | None = None
    whitening: bool = False
    flip: bool = False
    shift: int = 0
    erasing: float = 0.0
    precision: Literal["float32", "bfloat16", "fastest"] = "float32"

    def __post_init__(self) -> None:
        """Refuse numbers that no training can be run with."""
        for name in ("batch_size", "epochs", "patience", "shift"):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"expected {name} of type int, got {getattr(self, name)!r}")
        for name in ("learning_rate", "weight_decay", "erasing"):
            if not isinstance(getattr(self, name), int | float):
                raise ValueError(f"expected {name} of type float, got {getattr(self, name)!r}")
        for name, is_valid, expected in (
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("patience", self.patience >= 0, "at least 0"),
            ("warmup", self.warmup is None or 0 < self.warmup < 1, "in (0, 1), or None"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            (
                "dropout_rate",
                self.dropout_rate is None or 0 <= self.dropout_rate < 1,
                "in [0, 1), or None",
            ),
            ("shift", 0 <= self.shift < min(IMAGE_SHAPE), f"from 0 to {min(IMAGE_SHAPE) - 1}"),
            ("erasing", 0 <= self.erasing <= 1, "in [0, 1]"),
            (
                "precision",
                self.precision in (*_DTYPE_POLICIES, "fastest"),
                "'float32', 'bfloat16' or 'fastest'",
            ),
        ):
            if not is_valid:
                raise ValueError(f"expected {name} {expected}, got {getattr(self, name)!r}")


# Keras's names for what a layer computes in; its weights are float32 in both.
_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}

BOOK = Recipe(learning_rate=1e-3, batch_size=32, epochs=20, patience=2)
"""The recipe of the book and the note."""

FAST = Recipe(
    learning_rate=6e-3,  # can be so large as it rises from 0 and falls back to it
    batch_size=128,  # large enough to keep two cores busy, small enough for 750 steps
    epochs=2,
    patience=2,
    warmup=0.25,
    dropout_rate=0.0,  # two epochs are too short to learn by heart
    whitening=True,  # worth an epoch: the filters need not find the edges first
    precision="fastest",
)
"""The book's validation accuracy in a fraction of its time."""

BEST = Recipe(
    learning_rate=3e-3,
    batch_size=128,
    epochs=30,
    patience=30,  # the last epochs, with the smallest steps, are the best ones
    warmup=0.1,
    weight_decay=0.05,  # in place of early stopping: keeps the weights small
    dropout_rate=0.0,  # images that are never twice the same hold the network back enough
    whitening=True,
    flip=True,  # a coat is a coat from either side
    shift=1,  # and a pixel further left
    erasing=0.5,  # and with a patch over it, so no single spot may decide
    precision="fastest",
)
"""As accurate as we could make this network; benchmarks/NOTES.md tells what was tried."""


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
    data, recipe and seed give the same run (on a CPU, with the same versions, number of threads
    and precision; "fastest" is decided by a timing). To go on from weights that a model already
    has, use Keras's own ``model.fit``. Afterwards the model holds the weights of the best epoch,
    the same as the saved file, and is compiled as `build_cnn` compiles it.

    After every epoch the state of the run is kept beside the checkpoint, as
    ``….training-state.npz``. If the run is cut off (Ctrl-C, a crash, a lost machine), call `train`
    again with the same arguments: it goes on after the last finished epoch and ends as if
    nothing had happened, bit for bit. A finished run removes its state.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn`, on one device or, built in the scope of a
        ``tf.distribute.MirroredStrategy``, on several.
    data : FashionMNIST
        ``data.train`` is learned from; ``data.validation`` decides which epoch is best.
    recipe : Recipe
        The numbers of the run.
    checkpoint : path
        Where the best model is saved, as a ``.keras`` file. Missing directories are made.
    seed : int
        Seed of the first weights, of the order of the images and how they are varied, and of
        dropout. It also sets Python's, NumPy's and TensorFlow's global seeds.
    resume : bool
        Whether to go on with an interrupted run. False starts over.
    callbacks : iterable of keras.callbacks.Callback
        Called after early stopping and before the epoch is saved; not after every step, but after
        as many as TensorFlow takes at a stretch, at most 16. What they remember themselves is
        not kept for a resumed run.
    verbose : {"auto", 0, 1, 2}
        As in ``model.fit``: 0 is silent, 1 draws a progress bar, 2 prints a line an epoch.

    Returns
    -------
    keras.callbacks.History
        ``history.history`` has a list with one number an epoch for ``loss``, ``accuracy``,
        ``val_loss`` and ``val_accuracy``, in the precision of the run.

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
    state_path = state_path_of(checkpoint)
    identity = {
        "recipe": asdict(recipe),
        "seed": seed,
        "network": architecture(model),
        "data set": fingerprint(data.train, data.validation),
    }
    run = json.loads(json.dumps(identity))  # as the state's file gives it back
    state = _interrupted_run(state_path, run) if resume and state_path.exists() else None
    finished_epochs = state.finished_epochs if state else 0
    # Another precision would be another run, so a resumed one keeps its own.
    run["precision"] = state.run["precision"] if state else chosen_precision(recipe)
    if verbose != 0:
        if state:
            print(
                f"Going on after epoch {finished_epochs} of at most {recipe.epochs} ({state_path})."
            )
        if run["precision"] != "float32":
            print(f"Computing in {run['precision']}.")

    _draw_weights(model, seed)
    if recipe.whitening:
        _whiten(model, data.train.images, seed)
    steps = math.ceil(len(data.train.labels) / recipe.batch_size)
    history = keras.callbacks.History()
    early_stopping = keras.callbacks.EarlyStopping(
        patience=recipe.patience, restore_best_weights=True
    )
    saved_model = keras.models.clone_model(model)
    compile_cnn(saved_model)
    saved_model.optimizer.build(saved_model.trainable_variables)
    keep_progress = KeepProgress(
        checkpoint, state_path, run, history, early_stopping, state, saved_model
    )
    with model.distribute_strategy.scope(), _as_in(recipe, run["precision"], model):
        model.compile(
            optimizer=_optimizer(recipe, steps),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=_steps_per_execution(steps),
            jit_compile=False,  # XLA is slower on a CPU
        )
        model.optimizer.build(model.trainable_variables)
        try:
            model.fit(
                training_batches(data.train, recipe, seed, first_epoch=finished_epochs),
                shuffle=False,  # they are shuffled already
                steps_per_epoch=steps,
                validation_data=evaluation_batches(data.validation, VALIDATION_BATCH_SIZE),
                initial_epoch=recipe.epochs if state and state.stopped else finished_epochs,
                epochs=recipe.epochs,
                callbacks=[history, early_stopping, *callbacks, keep_progress],
                verbose=verbose,
            )
        except KeyboardInterrupt:
            finished = keep_progress.saved_epochs
            raise KeyboardInterrupt(
                f"interrupted in epoch {finished + 1}. Train again with the same arguments to "
                + (f"go on after epoch {finished}" if finished else "start over")
            ) from None
    return history


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


def state_path_of(checkpoint: Path) -> Path:
    """Return where the state of a run is kept."""
    return checkpoint.with_suffix(".training-state.npz")


def fingerprint(*splits: Split) -> str:
    """Return a SHA-256 over all images and labels."""
    sha256 = hashlib.sha256()
    for split in splits:
        for array in split:
            sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _draw_weights(model: keras.Sequential, seed: int) -> None:
    """Give every layer the weights and the dropout state that a network new from `seed` has."""
    keras.utils.set_random_seed(seed)
    fresh_model = keras.models.clone_model(model)
    for layer, fresh_layer in zip(model.layers, fresh_model.layers, strict=True):
        for variable, fresh_variable in zip(layer.variables, fresh_layer.variables, strict=True):
            variable.assign(fresh_variable)


def _whiten(model: keras.Sequential, images: NDArray[np.float32], seed: int) -> None:
    """Start the first convolution from filters whose outputs are centred and uncorrelated.

    Neighbouring pixels are alike, so filters drawn at random nearly all answer to the brightness
    of a patch. These answer to its principal components, all equally strongly: one filter for each
    and one for its negative, which ReLU would cut off, then random mixtures (Coates and Ng 2012,
    "Learning feature representations with k-means", on whitening).
    """
    first = model.layers[0]
    if not isinstance(first, keras.layers.Conv2D) or not first.use_bias:
        raise ValueError(
            "expected a model whose first layer is a Conv2D with a bias, which the recipe's "
            f"whitening starts, got {type(first).__name__}; build it with build_cnn, or train it "
            "without whitening"
        )
    height, width, _, filters = first.kernel.shape
    windows = sliding_window_view(images[:WHITENING_IMAGES, ..., 0], (height, width), axis=(1, 2))
    patches = windows.reshape(-1, height * width)
    mean = patches.mean(axis=0)
    variances, components = np.linalg.eigh(np.atleast_2d(np.cov(patches - mean, rowvar=False)))
    # The sum keeps noise, in the smallest components, from being blown up.
    whitening = (components / np.sqrt(variances + 0.01))[:, ::-1]
    size = height * width
    mixtures = np.random.default_rng(seed).normal(size=(size, filters), scale=size**-0.5)
    kernel = np.hstack([whitening, -whitening, whitening @ mixtures])[:, :filters] / np.sqrt(2)
    first.kernel.assign(kernel.reshape(first.kernel.shape))
    first.bias.assign(-mean @ kernel)


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Make the recipe's Adam; `steps` are those of an epoch."""
    learning_rate: Any = recipe.learning_rate
    if recipe.warmup is not None:
        rising = max(1, round(recipe.warmup * recipe.epochs * steps))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            warmup_target=recipe.learning_rate,
            warmup_steps=rising,
            decay_steps=max(1, recipe.epochs * steps - rising),
        )
    if not recipe.weight_decay:
        return keras.optimizers.Adam(learning_rate)
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _steps_per_execution(steps: int) -> int:
    """Choose how many steps TensorFlow takes at a stretch, without Python.

    Keras takes too many in an epoch that the number does not divide, and fails with more than
    one on several devices.
    """
    if tf.distribute.has_strategy():
        return 1
    return max(n for n in range(1, MOST_STEPS_PER_CALL + 1) if steps % n == 0)


def chosen_precision(recipe: Recipe) -> Literal["float32", "bfloat16"]:
    """Return what to compute in here: "float32" or "bfloat16"."""
    if recipe.precision != "fastest":
        return recipe.precision
    return "bfloat16" if bfloat16_speedup() > LEAST_SPEEDUP else "float32"


@functools.cache
def bfloat16_speedup() -> float:
    """Time the costliest step, the second convolution and its gradients, in both precisions."""

    @tf.function
    def step(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
        gradients = tf.gradients(maps, [images, kernel])
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    inputs = {
        dtype: (tf.ones((128, 14, 14, 32), dtype), tf.ones((3, 3, 32, 64), dtype))
        for dtype in (tf.float32, tf.bfloat16)
    }
    fastest = dict.fromkeys(inputs, math.inf)
    for repeat in range(6):  # in turn, so that other work on the machine slows both
        for dtype, (images, kernel) in inputs.items():
            start = time.perf_counter()
            step(images, kernel).numpy()
            if repeat > 0:  # the first one is traced
                fastest[dtype] = min(fastest[dtype], time.perf_counter() - start)
    return fastest[tf.float32] / fastest[tf.bfloat16]


@contextlib.contextmanager
def _as_in(recipe: Recipe, precision: str, model: keras.Sequential) -> Iterator[None]:
    """Give the model the recipe's dropout and precision; then make it as `build_cnn` made it."""
    policies = [layer.dtype_policy for layer in model.layers]
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    rates = [layer.rate for layer in dropouts]
    for layer in model.layers[:-1]:
        layer.dtype_policy = _DTYPE_POLICIES[precision]
    for layer in dropouts:
        if recipe.dropout_rate is not None and layer.rate:
            layer.rate = recipe.dropout_rate
    try:
        yield
    finally:
        for layer, policy in zip(model.layers, policies, strict=True):
            layer.dtype_policy = policy
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
        compile_cnn(model)
