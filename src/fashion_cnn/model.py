"""Build the network of the tutorial, or read it from a file without running anything in it."""

import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from fashion_cnn.images import CLASS_NAMES, IMAGE_SHAPE
from fashion_cnn.language import gettext as _

# Ends the name of a model trained on stand-in data: Keras's file format keeps the name, and
# model.summary() shows it.
PRETRAINED = Path(__file__).parent / "pretrained" / "weights.npz"  # float16
STAND_IN_SUFFIX = "_trained_on_stand_in_data"
# The settings that determine what a layer computes; its name and its initializers do not.
_DECISIVE_KEYS = (
    "filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "pool_size",
    "units", "rate", "activation", "use_bias", "data_format",
)  # fmt: skip
_LARGEST = 100_000  # filters or units of a layer
_WEIGHTED_LAYERS = (0, 2, 5, 7)  # the convolutions and the dense layers
_MOST_BYTES = 100_000_000  # of a file; the tutorial's network takes 4 million with Adam's state
_MOST_TEXT = 1_000_000  # bytes of a configuration or an archive's directory; Keras's are short


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
    if not isinstance(filters, tuple | list) or len(filters) != 2:
        raise ValueError(f"expected filters for two convolutions, as in (32, 64), got {filters!r}")
    for size in (*filters, dense_units):
        if not isinstance(size, int | np.integer) or not 1 <= size <= _LARGEST:
            raise ValueError(f"expected filters and units from 1 to {_LARGEST:,}, got {size!r}")
    if not isinstance(dropout_rate, int | float) or not 0 <= dropout_rate < 1:
        raise ValueError(f"expected a dropout_rate in [0, 1), got {dropout_rate!r}")
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


def load_model(path: str | os.PathLike[str] | None = None) -> keras.Sequential:
    """Load a model of `build_cnn`'s architecture, with any number of filters and units.

    Without a path, it is the trained network that comes with the package: the tutorial's 333,526
    parameters, for photos (its card is ``pretrained/README.md`` beside this module).

    Only the configuration of the layers, eight arrays of weights and the model's name are read:
    the network is built anew, so nothing stored in the file runs. The name of a model that was
    trained on stand-in data ends in ``_trained_on_stand_in_data``.

    Parameters
    ----------
    path : path, optional
        A file of at most 100 MB from `train` or ``model.save``, or a whole model in HDF5 (``.h5``),
        as the book's code wrote it before Keras 3. Its content decides, whatever its ending.

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
        return _pretrained()
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        message = _("expected a saved model at {path}, found no such file; create one with train")
        raise FileNotFoundError(message.format(path=path))
    try:
        with open(path, "rb") as file:
            return _read_model(file)
    except Exception as error:  # a hostile file can raise anything, and say anything
        reason = "".join(filter(str.isprintable, str(error) or type(error).__name__))
        reason = reason if len(reason) < 400 else f"{reason[:400]} …"
        raise ValueError(
            f"expected a saved model of build_cnn's architecture in {path}: {reason}"
        ) from None


def _pretrained() -> keras.Sequential:
    model = build_cnn()
    with np.load(PRETRAINED) as file:
        model.set_weights([file[name] for name in file.files])
    return model


def _read_model(file: BinaryIO) -> keras.Sequential:
    """Read a model; check every size before reading what has it."""
    size = file.seek(0, os.SEEK_END)
    if size > _MOST_BYTES:
        raise ValueError(f"expected at most {_MOST_BYTES:,} bytes, got {size:,}")
    file.seek(0)
    signature = file.read(8)
    if signature == b"\x89HDF\r\n\x1a\n":
        with h5py.File(file, "r") as weights:
            return _rebuilt(_attribute(weights, "model_config", ()), weights)
    if signature[:4] != b"PK\3\4":
        raise ValueError("found none; the file may be cut short or of another kind")
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        for name in ("config.json", "model.weights.h5"):
            if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is compressed, which Keras never does")
        with archive.open("config.json") as member:
            config = member.read(_MOST_TEXT)
        with archive.open("model.weights.h5") as member, h5py.File(member, "r") as weights:
            return _rebuilt(config, weights)


def _check_directory(file: BinaryIO, size: int) -> None:
    """Refuse an archive whose directory, which zipfile reads whole, is longer than Keras writes."""
    file.seek(max(0, size - 42))
    end = file.read()
    # The last 22 bytes have the directory's size; a locator before them points to a larger format.
    if end[20:24] != b"PK\5\6" or struct.unpack("<L", end[32:36])[0] > _MOST_TEXT:
        raise ValueError("its directory is damaged or too long; the file may be cut short")
    if end[:4] == b"PK\6\7":
        raise ValueError("its directory is in the 64-bit format, which Keras does not need")


def _rebuilt(text: str | bytes, file: h5py.File) -> keras.Sequential:
    """Build the network that a configuration describes, with the weights in an HDF5 file."""
    saved_model = json.loads(text)
    if saved_model["class_name"] != "Sequential":
        raise ValueError(f"expected a Sequential, got {saved_model['class_name']!r}")
    config = saved_model["config"]
    saved = [layer for layer in config["layers"] if layer["class_name"] != "InputLayer"]
    kinds = [str(layer["class_name"]) for layer in saved]
    network = architecture(build_cnn())
    expected_kinds = [kind for kind, _config in network]
    if kinds != expected_kinds:
        raise ValueError(f"expected the layers {', '.join(expected_kinds)}, got {', '.join(kinds)}")
    for layer in config["layers"]:
        settings = layer["config"]  # Keras 2 has the shape in the first convolution, too
        shape = settings.get("batch_shape") or settings.get("batch_input_shape")
        if shape and tuple(shape[1:]) != (*IMAGE_SHAPE, 1):
            raise ValueError(f"expected inputs of shape (None, 28, 28, 1), got {shape}")
    configs = [layer["config"] for layer in saved]
    _compare_layers(configs, network, but=("filters", "units", "rate"))
    rate = configs[6]["rate"]
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"expected a dropout rate in [0, 1), got {rate!r}")
    weights = _read_arrays(file, _names(file, configs))
    filters = weights[0].shape[-1], weights[2].shape[-1]
    model = build_cnn(filters=filters, dense_units=weights[4].shape[-1], dropout_rate=rate)
    _compare_layers(configs, architecture(model))
    model.set_weights(weights)
    mark_stand_in(model, is_stand_in=str(config.get("name")).endswith(STAND_IN_SUFFIX))
    return model


def _compare_layers(
    configs: list[dict[str, Any]], network: list[Any], but: tuple[str, ...] = ()
) -> None:
    """Refuse saved layers that compute something other than a network's, but for some settings."""
    for number, (saved, (kind, decisive)) in enumerate(zip(configs, network, strict=True), 1):
        for key, value in decisive.items():
            if key not in but and saved.get(key) != value:
                raise ValueError(
                    f"expected {key}={value!r} in layer {number} ({kind}), got {saved.get(key)!r}"
                )


def _names(file: h5py.File, configs: list[dict[str, Any]]) -> list[str]:
    """Return where a file has kernel and bias of the four layers that have any."""
    if "model_weights" not in file:  # .keras files always have the same names
        groups = [f"layers/{group}/vars" for group in ("conv2d", "conv2d_1", "dense", "dense_1")]
        return [f"{group}/{n}" for group in groups for n in (0, 1)]
    groups = [f"model_weights/{configs[n]['name']}" for n in _WEIGHTED_LAYERS]
    names = [_attribute(file[group], "weight_names", (2,)) for group in groups]
    return [f"{group}/{name}" for group, pair in zip(groups, names, strict=True) for name in pair]


def _attribute(owner: h5py.Group, name: str, shape: tuple[int, ...]) -> Any:
    """Read an attribute of text, if it has this shape: one long text may be in it many times."""
    attribute = owner.attrs.get_id(name)
    if attribute.shape != shape or not h5py.check_string_dtype(attribute.dtype):
        raise ValueError(f"expected texts of shape {shape} as {name}, got {attribute.shape}")
    value = owner.attrs[name]
    if max(map(len, value if shape else [value])) > _MOST_TEXT:
        raise ValueError(f"expected {name} of at most {_MOST_TEXT:,} characters")
    return value


def _read_arrays(file: h5py.File, names: list[str]) -> list[NDArray[np.floating]]:
    """Read the eight arrays, if together they take no more memory than space in this file."""
    datasets = [file[name] for name in names]
    for dataset in datasets:
        is_whole = dataset.chunks is None and dataset.id.get_storage_size() == dataset.nbytes
        if not is_whole or dataset.external or h5py.h5i.get_file_id(dataset.id) != file.id:
            raise ValueError(f"{dataset.name} is not stored in full, uncompressed and in this file")
        if dataset.dtype.kind != "f":
            raise ValueError(f"expected floats in {dataset.name}, got {dataset.dtype}")
    shapes = [dataset.shape for dataset in datasets]
    first, second, units = (shape[-1:] for shape in shapes[:6:2])
    flat = IMAGE_SHAPE[0] // 4 * (IMAGE_SHAPE[1] // 4) * sum(second)
    expected = [
        (3, 3, 1, *first), first, (3, 3, *first, *second), second,
        (flat, *units), units, (*units, len(CLASS_NAMES)), (len(CLASS_NAMES),),
    ]  # fmt: skip
    if shapes != expected or sum(dataset.nbytes for dataset in datasets) > _MOST_BYTES:
        raise ValueError(f"expected weights of the shapes {expected}, got {shapes}")
    with np.errstate(over="ignore"):  # of floats of 64 bits, which become infinite
        weights = [dataset[()].astype(np.float32) for dataset in datasets]
    for dataset, array in zip(datasets, weights, strict=True):
        if not np.isfinite(array).all():
            raise ValueError(f"expected finite weights, got NaN or infinity in {dataset.name}")
    return weights
