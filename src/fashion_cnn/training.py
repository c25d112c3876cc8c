"""Train the network in one call, with checkpoint, early stopping and exact resumption."""

import contextlib
import functools
import hashlib
import json
import math
import operator
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fashion_cnn.batches import evaluation_batches, steps_per_epoch, training_batches
from fashion_cnn.checkpoint import (
    KeepProgress,
    TrainingState,
    damaged_state,
    default_checkpoint,
    followed,
    history_path_of,
    locked,
    state_path_of,
)
from fashion_cnn.data import FashionMNIST, Source
from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, Split, checked_split
from fashion_cnn.language import gettext as _
from fashion_cnn.model import architecture, compile_cnn, mark_stand_in
from fashion_cnn.recipe import BOOK, Recipe

MOST_STEPS_PER_CALL = 16
WHITENING_IMAGES = 1_000
VALIDATION_BATCH_SIZE = 256  # larger ones are no faster and need more memory
LEAST_SPEEDUP = 1.1  # of bfloat16 over float32; below it, bfloat16 is not worth its rounding
# Keras's names for the precision a layer computes in; its weights are float32 in both.
_DTYPE_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def train(
    model: keras.Sequential,
    data: FashionMNIST,
    recipe: Recipe = BOOK,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 42,
    resume: bool = True,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train from scratch with early stopping, saving the best model by validation loss.

    The weights are drawn anew from `seed`, so the same network, data, recipe and seed give the same
    run (on a CPU, with the same versions, number of threads and precision); to continue from the
    weights of a model, use Keras's own ``model.fit``. Afterwards the model holds the weights of the
    best epoch, as the saved file does, and is compiled as `build_cnn` compiles it.

    Called again with the same arguments after an interruption (Ctrl-C, a crash, a lost machine),
    `train` resumes after the last finished epoch and ends as if nothing had happened, bit for bit.
    Beside the checkpoint it keeps the state of the run, ``….training-state.npz``, until the run has
    finished, and then the history, ``….history.json``. A lock keeps a second training from writing
    to the same files.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn`; if it was built in the scope of a
        ``tf.distribute.MirroredStrategy``, it is trained on several devices.
    data : FashionMNIST
        The network learns from ``data.train``; ``data.validation`` decides which epoch is best.
    recipe : Recipe
        The settings of the run.
    checkpoint : path, optional
        Where to save the best model, as a ``.keras`` file; by default ``best-cnn-model.keras``, or
        ``stand-in-model.keras`` for stand-in data.
    seed : int
        Seed of the weights, of the order and augmentation of the images, and of dropout, from 0 to
        4,294,967,295. It also sets the global seeds of Python, NumPy and TensorFlow.
    resume : bool
        Whether to resume an interrupted run. False starts over.
    callbacks : iterable of keras.callbacks.Callback
        Called before the epoch is saved, and after every 1 to 16 steps. Their own state is not
        kept for a resumed run.
    verbose : {"auto", 0, 1, 2}
        As in ``model.fit``: 0 is silent, 1 draws a progress bar, 2 prints a line per epoch.

    Returns
    -------
    keras.callbacks.History
        ``history.history`` has a list with one number per epoch for ``loss``, ``accuracy``,
        ``val_loss`` and ``val_accuracy``, in the precision of the run; a recipe's label smoothing
        raises the losses.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If `checkpoint` does not end in ``.keras``, if a split is not images and labels as
        `load_fashion_mnist` returns them, if the network is for other images or classes, or if the
        kept state is damaged or of another run.
    FloatingPointError
        If the validation loss is not finite; the epochs before stay saved.
    OSError
        If nothing can be saved beside `checkpoint`, which is tried first, or if an epoch cannot be
        saved; what was saved before stays intact.
    RuntimeError
        If another training is writing to `checkpoint`, if Keras's backend is not TensorFlow, or if
        the machine's clock is before 1980.

    Examples
    --------
    >>> model = build_cnn()
    >>> history = train(model, data, FAST, verbose=0)
    >>> len(history.history["val_accuracy"])
    1
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"expected Keras's backend to be TensorFlow, got {keras.backend.backend()}; set "
            "KERAS_BACKEND=tensorflow before importing Keras, and restart Python"
        )
    if not isinstance(data, FashionMNIST) or not isinstance(data.source, Source):
        raise TypeError(
            "expected the whole data set that load_fashion_mnist returns, with its validation "
            f"split, got {type(data).__name__}; call train(model, data)"
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"expected a Recipe, such as fashion_cnn.FAST without quotes, got {recipe!r}"
        )
    _check_network(model)
    callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"expected a list of Keras callbacks, got {callback!r} in callbacks")
    try:
        seed = operator.index(seed)
    except TypeError:
        raise TypeError(f"expected an int as seed, got {seed!r}") from None
    if not 0 <= seed < 2**32:
        raise ValueError(f"expected a seed from 0 to {2**32 - 1:,}, got {seed:,}")
    if time.localtime().tm_year < 1980:
        raise RuntimeError(
            f"expected this machine's clock to be right, got the year {time.localtime().tm_year}; "
            "set it, because Keras's files cannot be saved before 1980"
        )
    checkpoint = followed(default_checkpoint(data.source) if checkpoint is None else checkpoint)
    for path in (checkpoint, state_path_of(checkpoint), history_path_of(checkpoint)):
        if os.path.isdir(path):
            raise IsADirectoryError(f"expected a file or nothing at {path}, got a directory")
    if checkpoint.suffix != ".keras":
        raise ValueError(f"expected a checkpoint file that ends in .keras, got {str(checkpoint)!r}")
    data = data._replace(
        train=checked_split(data.train, "train"),
        validation=checked_split(data.validation, "validation"),
    )
    with locked(checkpoint):
        return _train(model, data, recipe, checkpoint, seed, resume, callbacks, verbose)


def _check_network(model: keras.Sequential) -> None:
    """Refuse what is no Sequential network from images (n, 28, 28, 1) to ten classes."""
    if not isinstance(model, keras.Sequential):
        raise TypeError(
            f"expected a keras.Sequential, as from build_cnn, got {type(model).__name__}; "
            "call train(model, data)"
        )
    shapes = (model.input_shape, model.output_shape) if model.built else None
    if shapes != ((None, *IMAGE_SHAPE, 1), (None, len(CLASS_NAMES))):
        raise ValueError(
            "expected a network from images (None, 28, 28, 1) to ten classes (None, 10), got "
            f"{' to '.join(map(str, shapes)) if shapes else 'one without an Input layer'}"
        )


def _train(
    model: keras.Sequential,
    data: FashionMNIST,
    recipe: Recipe,
    checkpoint: Path,
    seed: int,
    resume: bool,
    callbacks: list[keras.callbacks.Callback],
    verbose: int | str,
) -> keras.callbacks.History:
    """Train as `train` does, with arguments that it has checked, holding the checkpoint's lock."""
    identity = {
        "recipe": asdict(recipe),
        "seed": seed,
        "network": architecture(model),
        "data set": fingerprint(data.train, data.validation),
    }
    run = json.loads(json.dumps(identity))  # as the state's file gives it back
    state_path = state_path_of(checkpoint)
    state = _interrupted_run(state_path, run) if resume and state_path.exists() else None
    finished_epochs = state.finished_epochs if state else 0
    # Another precision would be another run, so a resumed one keeps its own.
    run["precision"] = state.run["precision"] if state else chosen_precision(recipe)
    if verbose != 0:
        if state:
            message = _("Resuming after epoch {n} of at most {most} ({path}).")
            print(message.format(n=finished_epochs, most=recipe.epochs, path=state_path))
        if run["precision"] != "float32":
            print(_("Computing in {precision}.").format(precision=run["precision"]))

    _draw_weights(model, seed)
    if recipe.whitening:
        _whiten(model, data.train.images, seed)
    mark_stand_in(model, is_stand_in=not data.source.is_fashion_mnist)
    steps = steps_per_epoch(data.train, recipe)
    history = keras.callbacks.History()
    early_stopping = keras.callbacks.EarlyStopping(
        patience=recipe.patience, restore_best_weights=True
    )
    saved_model = keras.models.clone_model(model)
    compile_cnn(saved_model)
    saved_model.optimizer.build(saved_model.trainable_variables)  # else Keras warns on loading
    keep_progress = KeepProgress(checkpoint, run, history, early_stopping, state, saved_model)
    with model.distribute_strategy.scope(), _as_in(recipe, run["precision"], model):
        model.compile(
            optimizer=_optimizer(recipe, steps),
            loss=_loss(recipe),
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
            if finished:
                message = _(
                    "interrupted in epoch {epoch}. Train again with the same arguments to resume "
                    "after epoch {finished}"
                )
            else:
                message = _(
                    "interrupted in epoch {epoch}. Train again with the same arguments to start "
                    "over"
                )
            raise KeyboardInterrupt(message.format(epoch=finished + 1, finished=finished)) from None
    return history


def _interrupted_run(path: Path, run: dict[str, Any]) -> TrainingState:
    """Read the state of an interrupted run, and refuse that of another run."""
    state = TrainingState.load(path)
    if state.run.get("precision") not in _DTYPE_POLICIES:
        raise damaged_state(path, f"its precision is {state.run.get('precision')!r}")
    different = [name for name in run if state.run.get(name) != run[name]]
    if different:
        details = "; ".join(
            f"{name} {state.run.get(name)} in the file, {run[name]} now"
            for name in different
            if name in ("recipe", "seed")
        )
        raise ValueError(
            f"{path.absolute()} holds the state of an interrupted run with another "
            f"{' and another '.join(different)}{f' ({details})' if details else ''}. "
            "Train with the same arguments to resume it, with another checkpoint to keep it for "
            "later, or with resume=False (or after deleting the file) to start over"
        )
    return state


def fingerprint(*splits: Split) -> str:
    """Return a SHA-256 over all images and labels."""
    sha256 = hashlib.sha256()
    for split in splits:
        for array in split:
            sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def _draw_weights(model: keras.Sequential, seed: int) -> None:
    """Give every layer the weights and the dropout state of a new network drawn from `seed`.

    They are what Keras draws after ``keras.utils.set_random_seed(seed)``. Keras itself takes their
    seeds from Python's global generator, which other threads may use in between.
    """
    keras.utils.set_random_seed(seed)
    numbers = random.Random(seed)
    config = model.get_config()
    for layer in config["layers"]:
        settings = layer["config"]
        for drawn in (settings.get("kernel_initializer", {}).get("config", {}), settings):
            if drawn.get("seed", 0) is None and drawn.get("rate") != 0:
                drawn["seed"] = numbers.randint(1, 10**9)
    fresh_model = keras.Sequential.from_config(config)
    for layer, fresh_layer in zip(model.layers, fresh_model.layers, strict=True):
        for variable, fresh_variable in zip(layer.variables, fresh_layer.variables, strict=True):
            variable.assign(fresh_variable)


def _whiten(model: keras.Sequential, images: NDArray[np.float32], seed: int) -> None:
    """Start the first convolution from filters whose outputs are centred and uncorrelated.

    Neighbouring pixels are alike, so nearly all random filters respond to the brightness of a
    patch. These respond to its principal components, all equally strongly: one filter for each and
    one for its negative, which ReLU would cut off, then random mixtures (Coates and Ng 2012,
    "Learning feature representations with k-means", on whitening).
    """
    first = model.layers[0]
    if not isinstance(first, keras.layers.Conv2D) or not first.use_bias:
        raise ValueError(
            "expected a model whose first layer is a Conv2D with a bias, as the recipe's "
            f"whitening needs, got {type(first).__name__}; build it with build_cnn, or train it "
            "without whitening"
        )
    height, width, _, filters = first.kernel.shape
    windows = sliding_window_view(images[:WHITENING_IMAGES, ..., 0], (height, width), axis=(1, 2))
    patches = windows.reshape(-1, height * width)
    mean = patches.mean(axis=0)
    variances, components = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    # The added 0.01 keeps the noise in the smallest components from being amplified.
    whitening = (components / np.sqrt(variances + 0.01))[:, ::-1]
    size = height * width
    mixtures = np.random.default_rng(seed).normal(size=(size, filters), scale=size**-0.5)
    kernel = np.hstack([whitening, -whitening, whitening @ mixtures])[:, :filters] / np.sqrt(2)
    first.kernel.assign(kernel.reshape(first.kernel.shape))
    first.bias.assign(-mean @ kernel)


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Make the recipe's optimizer; `steps` is the number of steps in an epoch."""
    learning_rate: Any = recipe.learning_rate
    if recipe.warmup is not None:
        rising = max(1, round(recipe.warmup * recipe.epochs * steps))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            warmup_target=recipe.learning_rate,
            warmup_steps=rising,
            decay_steps=max(1, recipe.epochs * steps - rising),
        )
    kind = keras.optimizers.Nadam if recipe.optimizer == "nadam" else keras.optimizers.Adam
    decay = recipe.weight_decay or None
    optimizer = kind(learning_rate, beta_2=recipe.beta_2, weight_decay=decay)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def _loss(recipe: Recipe) -> str | Callable[[Any, Any], Any]:
    """Return the recipe's cross-entropy, in a form that ``model.compile`` takes."""
    if not recipe.label_smoothing:
        return "sparse_categorical_crossentropy"

    def loss(labels: Any, probabilities: Any) -> Any:
        wanted = keras.ops.one_hot(labels, len(CLASS_NAMES))
        return keras.losses.categorical_crossentropy(
            wanted, probabilities, label_smoothing=recipe.label_smoothing
        )

    return loss


def _steps_per_execution(steps: int) -> int:
    """Choose how many steps TensorFlow takes in one call, without returning to Python.

    Keras takes too many steps if this number does not divide the steps of an epoch, and on several
    devices it fails with more than one.
    """
    if tf.distribute.has_strategy():
        return 1
    return max(n for n in range(1, MOST_STEPS_PER_CALL + 1) if steps % n == 0)


def chosen_precision(recipe: Recipe) -> Literal["float32", "bfloat16"]:
    """Return the precision to compute in on this machine: "float32" or "bfloat16"."""
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
        dtype: (tf.ones((32, 14, 14, 32), dtype), tf.ones((3, 3, 32, 64), dtype))
        for dtype in (tf.float32, tf.bfloat16)
    }
    fastest = dict.fromkeys(inputs, math.inf)
    for repeat in range(6):  # alternately, so that other work on the machine slows both
        for dtype, (images, kernel) in inputs.items():
            start = time.perf_counter()
            step(images, kernel).numpy()
            if repeat > 0:  # the first one is traced
                fastest[dtype] = min(fastest[dtype], time.perf_counter() - start)
    return fastest[tf.float32] / fastest[tf.bfloat16]


@contextlib.contextmanager
def _as_in(recipe: Recipe, precision: str, model: keras.Sequential) -> Iterator[None]:
    """Give the model the recipe's dropout, precision and frozen layer, then undo it and compile."""
    was_trainable = model.layers[0].trainable
    policies = [layer.dtype_policy for layer in model.layers]
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    rates = [layer.rate for layer in dropouts]
    for layer in model.layers[:-1]:
        layer.dtype_policy = _DTYPE_POLICIES[precision]
    for layer in dropouts:
        if recipe.dropout_rate is not None and layer.rate:
            layer.rate = recipe.dropout_rate
    if recipe.frozen:
        model.layers[0].trainable = False
    try:
        yield
    finally:
        model.layers[0].trainable = was_trainable
        for layer, policy in zip(model.layers, policies, strict=True):
            layer.dtype_policy = policy
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
        compile_cnn(model)
