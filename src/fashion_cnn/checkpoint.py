"""Load a saved model without running anything that its file holds."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from fashion_cnn.model import build_cnn

# What decides which numbers a layer computes; names, initializers and the like do not.
_DECISIVE_KEYS = (
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "groups",
    "pool_size",
    "units",
    "activation",
    "use_bias",
    "data_format",
)


def load_model(path: str | os.PathLike[str]) -> keras.Sequential:
    """Load a model of `build_cnn`'s architecture, with any number of filters and units.

    Only the sizes of the layers and the weights are read: a network is built anew from the sizes
    and the weights are put into it, so nothing stored in the file runs. The file may come from
    `train`, from Keras's own ``model.save`` or from the book's code, which wrote ``.h5`` files
    before Keras 3.

    Parameters
    ----------
    path : path
        A ``.keras`` file, or a ``.h5`` file of a whole model.

    Returns
    -------
    keras.Sequential
        The network, compiled as `build_cnn` compiles it, with the saved weights.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved model, or a model of another architecture.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"expected a saved model at {path}, found no such file; train() writes one"
        )
    saved_layers = _read_layers(path)
    model = _build_like(path, saved_layers)
    for number, (layer, saved) in enumerate(zip(model.layers, saved_layers, strict=True), start=1):
        for key, expected in _decisive(layer.get_config()).items():
            if saved["config"].get(key, expected) != expected:
                raise ValueError(
                    f"expected {key}={expected!r} in layer {number} ({type(layer).__name__}) "
                    f"of {path}, got {saved['config'][key]!r}"
                )
    try:
        # An uncompiled model of the same layers: the optimizer's state stays in the file.
        keras.Sequential([*model.inputs, *model.layers]).load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"the weights in {path} cannot be read: {error}") from error
    return model


def _read_layers(path: Path) -> list[dict[str, Any]]:
    """Read the description of the layers, as data, without the input layer."""
    try:
        if path.suffix == ".h5":
            with h5py.File(path, "r") as file:
                description = file.attrs["model_config"]
        else:
            with zipfile.ZipFile(path) as archive:
                description = archive.read("config.json")
        layers = json.loads(description)["config"]["layers"]
        return [layer for layer in layers if layer["class_name"] != "InputLayer"]
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"expected a model saved by Keras in {path}, found none ({error!r}); "
            "the file may be cut short or of another kind"
        ) from error


def _build_like(path: Path, saved_layers: list[dict[str, Any]]) -> keras.Sequential:
    """Build a network with as many filters and units as the saved one has."""
    expected = [type(layer).__name__ for layer in build_cnn().layers]
    found = [layer["class_name"] for layer in saved_layers]
    if found != expected:
        raise ValueError(
            f"expected a model with the layers {', '.join(expected)} in {path}, "
            f"got {', '.join(map(str, found))}"
        )
    conv1, _, conv2, _, _, hidden, dropout, _ = (layer["config"] for layer in saved_layers)
    return build_cnn(
        filters=(conv1["filters"], conv2["filters"]),
        dense_units=hidden["units"],
        dropout_rate=dropout["rate"],
    )


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    """Pick the keys that decide what a layer computes, in the types that JSON gives them."""
    decisive = {key: config[key] for key in _DECISIVE_KEYS if key in config}
    return json.loads(json.dumps(decisive))
