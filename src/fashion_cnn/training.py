"""Train the network in one call, with checkpoint, early stopping and exact resumption."""

import hashlib
import os
import random
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fashion_cnn.batches import Augmentation, epoch_size, evaluation_batches, training_batches
from fashion_cnn.checkpoint import KeepProgress, default_checkpoint, interrupted_run, locked
from fashion_cnn.data import FashionMNIST
from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE, Split, checked_split
from fashion_cnn.language import gettext as _
from fashion_cnn.model import architecture, compile_cnn, mark_stand_in
from fashion_cnn.prediction import check_model, class_probabilities
from fashion_cnn.quiet import processor_flags
from fashion_cnn.recipe import BOOK, Recipe


def train(
    model: keras.Sequential,
    data: FashionMNIST,
    recipe: Recipe = BOOK,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    seed: int = 42,
    resume: bool = True,
    augment: Augmentation | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Train from scratch with early stopping, saving the best model by validation loss.

    What is trained is a copy of the network, whose weights are drawn from `seed`, so the same
    network, data, recipe and seed give the same run (on a CPU, with the same versions, number of
    threads and precision); to continue from the weights of a model, use Keras's own ``model.fit``.
    However the run ends, `model` holds the best weights so far, as the saved file does, in float32
    and compiled as by `build_cnn`; before an epoch has finished, it keeps its own.

    Called again with the same arguments after an interruption (Ctrl-C, a crash, a lost machine),
    `train` resumes after the last finished epoch and ends as if nothing had happened, bit for bit.
    Beside the checkpoint are the state of an unfinished run, ``….training-state.npz``, or the
    history of a finished one, ``….history.json``, and a lock against a second training.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn`; if it was built in the scope of a
        ``tf.distribute.MirroredStrategy``, it is trained on several devices.
    data : FashionMNIST
        The network learns from ``data.train``; ``data.validation`` decides which epoch is best. For
        fewer images, pass ``data._replace(train=data.train[:1000])``.
    recipe : Recipe
        The settings of the run.
    checkpoint : path, optional
        Where to save the best model, as a ``.keras`` file that replaces an existing one; by default
        ``best-cnn-model.keras`` for BOOK, ``best-cnn-model-fast.keras`` for FAST, ``…-best.keras``
        for BEST, and six hexadecimal digits for others; ``stand-in-model…`` for stand-in data.
    seed : int
        Seed of the weights, of the order and augmentation of the images, and of dropout, from 0 to
        4,294,967,295.
    resume : bool
        Whether to resume an interrupted run. False starts over.
    augment : callable, optional
        Changes the training images before the recipe does: takes a batch, a float32 tensor
        (batch, 28, 28, 1) in [0, 1], and a seed, an integer tensor (2,), and returns a batch of
        that kind. A resumed run recognises it by its name.
    callbacks : iterable of keras.callbacks.Callback
        Called after every 1 to 16 steps, and before the epoch is saved. Their ``self.model`` is the
        copy that is trained. Their own state is not kept for a resumed run.
    verbose : {"auto", 0, 1, 2}
        As in ``model.fit``: 0 is silent, 1 draws a progress bar, 2 prints a line per epoch.

    Returns
    -------
    keras.callbacks.History
        ``history.history`` has a list with one number per epoch for ``loss``, ``accuracy``,
        ``val_loss`` and ``val_accuracy``, in the precision of the run; label smoothing raises the
        losses.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, `evaluate` would refuse the network, or the kept state is
        damaged or of another run.
    FloatingPointError
        If the validation loss is not finite; the epochs before stay saved.
    OSError
        If nothing can be saved beside `checkpoint`, which is tried first, or an epoch cannot be
        saved; what was saved before stays intact.
    RuntimeError
        If another training is writing to `checkpoint`, or Keras's backend is not TensorFlow.

    Examples
    --------
    >>> model = build_cnn()
    >>> history = train(model, data, FAST, verbose=0)
    >>> len(history.history["val_accuracy"])
    1
    """
    _check(data, recipe, seed)
    check_network(model)
    seed = int(seed)
    training = checked_split(data.train, "train")
    validation = checked_split(data.validation, "validation")
    path = Path(checkpoint or default_checkpoint(data.source, recipe)).expanduser().resolve()
    if path.suffix != ".keras" or path.is_dir():
        raise ValueError(f"expected a checkpoint file that ends in .keras, got {str(path)!r}")
    with locked(path):
        run: dict[str, Any] = {
            **asdict(recipe),
            "seed": seed,
            **_named_settings(model),
            "training images": len(training.labels),
            "data set": fingerprint(training, validation)[:12],
            "augmentation": getattr(augment, "__qualname__", augment and type(augment).__name__),
        }
        state = interrupted_run(path, run) if resume else None
        # Another precision would be another run, so a resumed one keeps its own.
        run["computed in"] = state["run"]["computed in"] if state else chosen_precision(recipe)
        mark_stand_in(model, is_stand_in=not data.source.is_fashion_mnist)
        keep_progress = KeepProgress(path, run, state, model)
        first_epoch = keep_progress.saved_epochs
        say = print if verbose else str
        if state:
            text = _("Resuming after epoch {n} of at most {most} ({path}).")
            say(text.format(n=first_epoch, most=recipe.epochs, path=keep_progress.state_path))
        elif path.exists():
            text = _(
                "{path} exists: the first epoch replaces it; another checkpoint would keep it."
            )
            say(text.format(path=path))
        if run["computed in"] != "float32":
            say(_("Computing in {precision}.").format(precision=run["computed in"]))

        _images, steps = epoch_size(training, recipe)
        with model.distribute_strategy.scope():  # of one device, unless it was built for several
            compile_cnn(model)
            model.optimizer.build(model.trainable_variables)  # else Keras warns on loading
            trained = _copy(model, recipe, run["computed in"], seed)
            if recipe.whitening:
                whiten(trained, training.images, seed)
            compile_for(recipe, trained, steps)
        try:
            return trained.fit(
                training_batches(training, recipe, seed, first_epoch=first_epoch, augment=augment),
                shuffle=False,  # they are shuffled already
                steps_per_epoch=steps,
                # Larger batches are no faster and need more memory.
                validation_data=evaluation_batches(validation, batch_size=256),
                initial_epoch=recipe.epochs if state and state["stopped"] else first_epoch,
                epochs=recipe.epochs,
                callbacks=[keras.callbacks.History(), *callbacks, keep_progress],
                verbose=verbose,
            )
        except KeyboardInterrupt:
            text = _("interrupted in epoch {epoch}; train again with the same arguments to go on")
            epoch = min(keep_progress.saved_epochs + 1, recipe.epochs)
            raise KeyboardInterrupt(text.format(epoch=epoch)) from None


def _check(data: object, recipe: object, seed: object) -> None:
    """Refuse arguments of a wrong kind, and another backend, in a sentence."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"expected Keras's backend to be TensorFlow, got {keras.backend.backend()}; set "
            "KERAS_BACKEND=tensorflow before importing Keras, and restart Python"
        )
    for value, kind, which in (
        (data, FashionMNIST, "as load_fashion_mnist returns it, not one of its splits"),
        (recipe, Recipe, "such as fashion_cnn.FAST without quotes"),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"expected a {kind.__name__}, {which}, got {type(value).__name__}; "
                "call train(model, data, recipe)"
            )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"expected an int from 0 to {2**32 - 1:,} as seed, got {seed!r}")


def check_network(model: object) -> None:
    """Refuse a network that cannot be built anew, or that `evaluate` would refuse afterwards."""
    try:
        if not isinstance(model, keras.Sequential):
            raise TypeError(f"expected a Sequential, as from build_cnn, got {type(model).__name__}")
        if not model.built:
            model.build((None, *IMAGE_SHAPE, 1))
        check_model(model, "train(model, data)")
        copy = _copy(model, BOOK, "float32", seed=0)
        class_probabilities(copy, np.zeros((1, *IMAGE_SHAPE, 1), np.float32))
    except Exception as error:  # Keras raises errors of many kinds, some of many lines
        reason = textwrap.shorten(str(error), 300, placeholder=" …")
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{reason} (Keras's own model.fit trains other networks)") from None


def _named_settings(model: keras.Sequential) -> dict[str, Any]:
    """Describe the layers of a network, with a name for each of their settings."""
    named: dict[str, Any] = {}
    for n, (kind, settings) in enumerate(architecture(model), 1):
        named[f"layer {n}"] = kind
        named |= {f"layer {n} ({kind}) {name}": value for name, value in settings.items()}
    return named


def fingerprint(*splits: Split) -> str:
    """Return a SHA-256 over all images and labels."""
    sha256 = hashlib.sha256()
    for split in splits:
        for array in split:
            sha256.update(array.data)
    return sha256.hexdigest()


def _copy(model: keras.Sequential, recipe: Recipe, precision: str, seed: int) -> keras.Sequential:
    """Build the same network anew, with weights drawn from `seed` and the recipe's settings.

    The weights are what Keras draws after ``keras.utils.set_random_seed(seed)``, without setting
    the seeds of the whole process.
    """
    config, numbers = model.get_config(), random.Random(seed)
    layers = [layer["config"] for layer in config["layers"] if layer["class_name"] != "InputLayer"]
    for settings in layers:
        # Keras draws each seed that is None, in this order, except for that of a dropout of 0.
        for drawn in (settings.get("kernel_initializer", {}).get("config", {}), settings):
            if drawn.get("seed", 0) is None and drawn.get("rate") != 0:
                drawn["seed"] = numbers.randint(1, 10**9)
        if settings.get("rate") and recipe.dropout_rate is not None:
            settings["rate"] = recipe.dropout_rate
        settings["dtype"] = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    layers[-1]["dtype"] = "float32"  # so that the probabilities are, as all weights are
    layers[0]["trainable"] = not recipe.frozen
    return keras.Sequential.from_config(config)


def whiten(model: keras.Sequential, images: NDArray[np.float32], seed: int) -> None:
    """Start the first convolution from filters whose outputs are centred and uncorrelated.

    Neighbouring pixels are alike, so nearly all random filters respond to the brightness of a
    patch. These respond to its principal components, all equally strongly: one filter for each and
    one for its negative, which ReLU would cut off, then random mixtures (Coates and Ng 2012).
    """
    first = model.layers[0]
    if not isinstance(first, keras.layers.Conv2D) or not first.use_bias:
        raise ValueError(
            "expected a network that begins with a Conv2D with a bias, as whitening needs, got "
            f"{type(first).__name__}; choose a recipe without whitening, such as BOOK"
        )
    height, width, _, filters = first.kernel.shape
    size = height * width
    windows = sliding_window_view(images[:1_000, ..., 0], (height, width), axis=(1, 2))
    patches = windows.reshape(-1, size)
    mean = patches.mean(axis=0)
    variances, components = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    # The added 0.01 keeps the noise in the smallest components from being amplified.
    whitening = (components / np.sqrt(variances + 0.01))[:, ::-1]
    mixtures = np.random.default_rng(seed).normal(size=(size, filters), scale=size**-0.5)
    kernel = np.hstack([whitening, -whitening, whitening @ mixtures])[:, :filters] / np.sqrt(2)
    first.kernel.assign(kernel.reshape(first.kernel.shape))
    first.bias.assign(-mean @ kernel)


def compile_for(recipe: Recipe, model: keras.Sequential, steps: int) -> None:
    """Compile a network with a recipe's optimizer and loss, for epochs of `steps` steps."""
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

    def smoothed(labels: Any, probabilities: Any) -> Any:
        wanted = keras.ops.one_hot(labels, len(CLASS_NAMES))
        return keras.losses.categorical_crossentropy(
            wanted, probabilities, label_smoothing=recipe.label_smoothing
        )

    # How many steps TensorFlow takes in one call, without returning to Python. Keras takes too many
    # if this does not divide the steps of an epoch; several devices and Keras 3.6 need 1.
    is_old = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 7)
    most = 1 if is_old or tf.distribute.has_strategy() else 16
    model.compile(
        optimizer,
        loss=smoothed if recipe.label_smoothing else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=max(n for n in range(1, most + 1) if steps % n == 0),
        jit_compile=False,  # XLA is slower on a CPU
    )
    optimizer.build(model.trainable_variables)


def chosen_precision(recipe: Recipe) -> Literal["float32", "bfloat16"]:
    """Return the precision to compute in on this machine."""
    if recipe.precision != "fastest":
        return recipe.precision
    return "bfloat16" if {"amx_bf16", "avx512_bf16"} & processor_flags() else "float32"
