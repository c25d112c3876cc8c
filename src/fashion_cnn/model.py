"""Build the network of the tutorial, or read it from a file without running anything in it."""

import json
import os
import shutil
import tempfile
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE
from fashion_cnn.language import gettext as _
from fashion_cnn.language import on_disk

PRETRAINED = Path(__file__).parent / "pretrained" / "weights.npz"  # in float16, to save space
# Ends the name of a model trained on stand-in data; Keras saves it, and model.summary() shows it.
STAND_IN_SUFFIX = "_trained_on_stand_in_data"
# The settings that determine what a layer computes; its name and its initializers do not.
_DECISIVE_KEYS = (
    "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "pool_size",
    "units", "rate", "activation", "use_bias", "data_format",
)  # fmt: skip


def build_cnn(
    *,
    filters: tuple[int, int] = (32, 64),
    dense_units: int = 100,
    dropout_rate: float = 0.4,
) -> keras.Sequential:
    """Build the compiled network; with the defaults it has 333,526 parameters.

    It takes images of shape (n, 28, 28, 1) in [0, 1] and returns float32 probabilities of shape
    (n, 10) whose rows sum to 1. It is compiled with Adam, sparse categorical cross-entropy and
    accuracy, so Keras's own ``fit`` and ``evaluate`` work on it too.

    Parameters
    ----------
    filters : tuple of two int
        Number of 3×3 filters of the first and of the second convolution.
    dense_units : int
        Width of the hidden dense layer.
    dropout_rate : float
        The fraction of the hidden layer's outputs that each training step sets to 0, in [0, 1).

    Returns
    -------
    keras.Sequential
        Layers ``conv1``, ``pool1``, ``conv2``, ``pool2``, ``flatten``, ``hidden``, ``dropout``
        and ``output``.

    Raises
    ------
    ValueError
        If `filters` is not a pair, or Keras refuses a size or the rate.

    Examples
    --------
    >>> build_cnn().count_params()
    333526
    """
    if not isinstance(filters, tuple | list) or len(filters) != 2:
        raise ValueError(f"expected filters for two convolutions, as in (32, 64), got {filters!r}")
    dtype: Any = {"dtype": "float32"}  # whatever Keras's global settings say
    layout: Any = dtype | {"data_format": "channels_last"}
    model = keras.Sequential(
        [
            keras.Input((*IMAGE_SHAPE, 1), dtype="float32"),
            layers.Conv2D(filters[0], 3, padding="same", activation="relu", name="conv1", **layout),
            layers.MaxPooling2D(2, name="pool1", **layout),
            layers.Conv2D(filters[1], 3, padding="same", activation="relu", name="conv2", **layout),
            layers.MaxPooling2D(2, name="pool2", **layout),
            layers.Flatten(name="flatten", **layout),
            layers.Dense(dense_units, activation="relu", name="hidden", **dtype),
            layers.Dropout(dropout_rate, name="dropout", **dtype),
            layers.Dense(len(CLASS_NAMES), activation="softmax", name="output", **dtype),
        ],
        name="fashion_cnn",
    )
    compile_cnn(model)
    return model


def compile_cnn(model: keras.Model) -> None:
    """Compile a network with the book's optimizer, loss and metric."""
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])


def architecture(model: keras.Sequential) -> list[Any]:
    """Describe what the layers of a model compute, as JSON data."""
    configs = [(type(layer).__name__, layer.get_config()) for layer in model.layers]
    described = [(kind, {k: c[k] for k in _DECISIVE_KEYS if k in c}) for kind, c in configs]
    return json.loads(json.dumps(described))


def mark_stand_in(model: keras.Model, *, is_stand_in: bool) -> None:
    """Add the stand-in suffix to a model's name, or remove it."""
    model.name = model.name.removesuffix(STAND_IN_SUFFIX) + STAND_IN_SUFFIX * is_stand_in


def is_trained_on_stand_in(model: keras.Model) -> bool:
    """Tell whether a model was trained on stand-in data, so that its results mean nothing."""
    return model.name.endswith(STAND_IN_SUFFIX)


def load_model(path: str | os.PathLike[str] | None = None) -> keras.Sequential:
    """Load a model of `build_cnn`'s architecture, with any number of filters and units.

    `build_cnn` builds the network anew, in the sizes that the file names, and Keras reads the
    weights, so nothing stored in the file runs. Other networks load with Keras's own
    ``keras.saving.load_model``. The name of a model that was trained on stand-in data ends in
    ``_trained_on_stand_in_data``.

    Parameters
    ----------
    path : path, optional
        A file from `train` or ``model.save``, or a whole model in HDF5 (``.h5``), as the book's
        code wrote it before Keras 3, whatever its ending; by default the trained network for photos
        that comes with the package (its card is ``pretrained/README.md`` beside this module).

    Returns
    -------
    keras.Sequential
        The network, compiled as `build_cnn` compiles it, with the saved weights.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved model, or holds a model of another architecture.

    Examples
    --------
    >>> load_model().count_params()
    333526
    """
    if path is None:
        model = build_cnn()
        with np.load(PRETRAINED) as file:
            model.set_weights([file[name] for name in file.files])
        return model
    path = on_disk(path)
    if not path.exists():
        message = _("expected a saved model at {path}, found no such file; create one with train")
        raise FileNotFoundError(message.format(path=path))
    try:
        return _rebuilt(path)
    except Exception as error:  # a damaged file can raise anything, and Keras shows whole arrays
        reason = textwrap.shorten(str(error), 300, placeholder=" …")
        raise ValueError(
            f"expected a saved model of build_cnn's architecture in {path}: {reason}. "
            "If it is another network, use keras.saving.load_model, on a file that you trust"
        ) from None


def _rebuilt(path: Path) -> keras.Sequential:
    """Build the network that a file describes, and let Keras read its weights."""
    saved = _configuration(path)
    model = resembling(saved)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        ending = ".h5" if h5py.is_hdf5(path) else ".keras"  # Keras goes by it
        model.load_weights(shutil.copy(path, Path(directory, f"model{ending}")))
    if not all(np.isfinite(array).all() for array in model.get_weights()):
        raise ValueError("expected finite weights, got NaN or infinity")
    compile_cnn(model)
    mark_stand_in(model, is_stand_in=str(saved["config"]["name"]).endswith(STAND_IN_SUFFIX))
    return model


def resembling(saved: dict[str, Any]) -> keras.Sequential:
    """Build the network that a configuration describes, if `build_cnn` can; else refuse it."""
    all_layers = saved["config"]["layers"] if saved["class_name"] == "Sequential" else [saved]
    first = all_layers[0]["config"]
    shape = first.get("batch_shape") or first.get("batch_input_shape")  # Keras 3 or 2
    if shape and tuple(shape[1:]) != (*IMAGE_SHAPE, 1):
        raise ValueError(f"expected inputs of shape (None, 28, 28, 1), got {shape}")
    found = [layer for layer in all_layers if layer["class_name"] != "InputLayer"]
    kinds = [layer["class_name"] for layer in found]
    expected_kinds = [kind for kind, _settings in architecture(build_cnn())]
    if kinds != expected_kinds:
        raise ValueError(f"expected the layers {', '.join(expected_kinds)}, got {', '.join(kinds)}")
    settings = [layer["config"] for layer in found]
    network = build_cnn(
        filters=(settings[0]["filters"], settings[2]["filters"]),
        dense_units=settings[5]["units"],
        dropout_rate=settings[6]["rate"],
    )
    for i, (kind, expected) in enumerate(architecture(network)):
        for key, value in expected.items():
            if (got := settings[i].get(key)) != value:
                raise ValueError(f"expected {key}={value!r} in layer {i + 1} ({kind}), got {got!r}")
    return keras.Sequential.from_config(network.get_config())  # as yet without an optimizer


def _configuration(path: Path) -> dict[str, Any]:
    """Read the configuration of a saved model, as JSON; nothing that it names is looked up."""
    if path.is_dir():
        raise ValueError("got a directory, perhaps a SavedModel; save the model as a .keras file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    if not h5py.is_hdf5(path):
        raise ValueError("found none; the file may be cut short or of another kind")
    with h5py.File(path) as file:
        if "model_config" in file.attrs:
            return json.loads(file.attrs["model_config"])
    raise ValueError("got weights only; call build_cnn, then the model's load_weights")
