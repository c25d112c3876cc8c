"""Build the network of the tutorial, or read it from a file without running anything in it."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers
from numpy.typing import NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE

# Ends the name of a model trained on stand-in data: Keras's file format keeps the name, and
# model.summary() shows it.
STAND_IN_SUFFIX = "_trained_on_stand_in_data"
# The settings that determine what a layer computes; its name and its initializers do not.
_DECISIVE_KEYS = (
    "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "pool_size",
    "units", "rate", "activation", "use_bias", "data_format",
)  # fmt: skip
_WEIGHTED_LAYERS = (0, 2, 5, 7)  # the convolutions and the dense layers
_MOST_CONFIG_BYTES = 1_000_000  # a configuration has a few thousand


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
        If `filters` is not a pair, or a size or rate is out of its range.

    Examples
    --------
    >>> build_cnn().count_params()
    333526
    """
    if len(filters) != 2:
        raise ValueError(f"expected filters for two convolutions, as in (32, 64), got {filters!r}")
    model = keras.Sequential(
        [
            keras.Input((*IMAGE_SHAPE, 1)),
            layers.Conv2D(filters[0], 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(filters[1], 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(dense_units, activation="relu", name="hidden"),
            layers.Dropout(dropout_rate, name="dropout"),
            layers.Dense(len(CLASS_NAMES), activation="softmax", name="output"),
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
    """Let a model's name say whether it is trained on stand-in data."""
    model.name = model.name.removesuffix(STAND_IN_SUFFIX) + STAND_IN_SUFFIX * is_stand_in


def is_trained_on_stand_in(model: keras.Model) -> bool:
    """Tell whether a model was trained on stand-in data, so that its results mean nothing."""
    return model.name.endswith(STAND_IN_SUFFIX)


def load_model(path: str | os.PathLike[str]) -> keras.Sequential:
    """Load a model of `build_cnn`'s architecture, with any number of filters and units.

    Only the configuration of the layers, eight arrays of weights and the model's name are read:
    the network is built anew, so nothing stored in the file runs. The name of a model that was
    trained on stand-in data ends in ``_trained_on_stand_in_data``.

    Parameters
    ----------
    path : path
        A ``.keras`` file from `train` or ``model.save``, or a ``.h5`` file of a whole model, as the
        book's code wrote it before Keras 3.

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
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a saved model at {path}, found no such file; create one with train"
        )
    try:
        config = json.loads(_read_config(path))["config"]
        saved = [layer for layer in config["layers"] if layer["class_name"] != "InputLayer"]
        kinds = [str(layer["class_name"]) for layer in saved]
        configs = [dict(layer["config"]) for layer in saved]
    except Exception as error:  # a hostile file can raise anything
        raise ValueError(
            f"expected a model saved by Keras in {path}, found none ({error!r}); "
            "the file may be cut short or of another kind"
        ) from error
    expected_kinds = [kind for kind, _config in architecture(build_cnn())]
    if kinds != expected_kinds:
        raise ValueError(
            f"expected a model with the layers {', '.join(expected_kinds)} in {path}, "
            f"got {', '.join(kinds)}"
        )
    rate = configs[6].get("rate")
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"expected a dropout rate in [0, 1) in {path}, got {rate!r}")
    try:
        weights = _read_weights(path, [config.get("name") for config in configs])
        filters = weights[0].shape[-1], weights[2].shape[-1]
        model = build_cnn(filters=filters, dense_units=weights[4].shape[-1], dropout_rate=rate)
        _compare_layers(configs, model)
        model.set_weights(weights)
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    mark_stand_in(model, is_stand_in=str(config.get("name")).endswith(STAND_IN_SUFFIX))
    return model


def _compare_layers(configs: list[dict[str, Any]], model: keras.Sequential) -> None:
    """Refuse saved layers that compute something other than a model's layers."""
    layers = zip(configs, architecture(model), strict=True)
    for number, (saved, (kind, decisive)) in enumerate(layers, 1):
        for key, value in decisive.items():
            if saved.get(key, value) != value:
                raise ValueError(
                    f"expected {key}={value!r} in layer {number} ({kind}), got {saved[key]!r}"
                )


def _read_config(path: Path) -> str | bytes:
    """Read the configuration of a model, JSON text."""
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            return file.attrs["model_config"]
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > _MOST_CONFIG_BYTES:
            raise ValueError(f"config.json unpacks to more than {_MOST_CONFIG_BYTES:,} bytes")
        return archive.read("config.json")


def _read_weights(path: Path, layer_names: list[Any]) -> list[NDArray[Any]]:
    """Read kernel and bias of each of the four layers that have any."""
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            groups = [f"model_weights/{layer_names[n]}" for n in _WEIGHTED_LAYERS]
            names = [
                f"{group}/{name}" for group in groups for name in file[group].attrs["weight_names"]
            ]
            return [_read_array(file, name) for name in names]
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("model.weights.h5").compress_type != zipfile.ZIP_STORED:
            raise ValueError("model.weights.h5 is compressed, which Keras never does")
        with archive.open("model.weights.h5") as member, h5py.File(member, "r") as file:
            groups = [
                f"layers/{layer}/vars" for layer in ("conv2d", "conv2d_1", "dense", "dense_1")
            ]
            return [_read_array(file, f"{group}/{n}") for group in groups for n in (0, 1)]


def _read_array(file: h5py.File, name: str) -> NDArray[Any]:
    """Read an array, if it takes no more memory than space in this file."""
    dataset = file[name]
    is_whole = dataset.chunks is None and dataset.id.get_storage_size() == dataset.nbytes
    if not is_whole or dataset.external or h5py.h5i.get_file_id(dataset.id) != file.id:
        raise ValueError(f"{name} is not stored in full, uncompressed and in this file")
    return dataset[()]
