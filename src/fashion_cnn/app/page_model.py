"""Write a network's weights for the live page, which computes every layer in the browser."""

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fashion_cnn.images import CLASS_NAMES
from fashion_cnn.language import LANGUAGES, translated
from fashion_cnn.model import is_trained_on_stand_in
from fashion_cnn.unlikeness import weights as unlikeness_weights

KINDS = {"Conv2D": "conv", "MaxPooling2D": "pool"}  # others keep their names, in small letters


def page_model(model: keras.Sequential, *, name: str = "") -> tuple[dict[str, Any], bytes]:
    """Describe a network as JSON data, and its weights as bytes, as ``page/engine.js`` reads them.

    Parameters
    ----------
    model : keras.Sequential
        A network from `build_cnn` or `load_model`.
    name : str
        What the page calls it: a file's name, or empty for the network that comes with the package.

    Returns
    -------
    manifest : dict
        ``name``; ``stand_in``, whether it was trained on stand-in data; ``dtype``; ``class_names``
        by language; and ``layers``, each with ``name``, ``kind``, output ``shape`` and ``weights``,
        whose ``offset`` is in bytes.
    weights : bytes
        Little-endian, in C order: float16 if every weight survives that, as those of the package's
        network do, otherwise float32.

    Examples
    --------
    >>> manifest, weights = page_model(build_cnn(filters=(8, 16), dense_units=20))
    >>> manifest["dtype"], len(weights)
    ('float32', 68632)
    """
    arrays = model.get_weights()
    with np.errstate(over="ignore"):  # what is too large becomes infinite, so it does not survive
        is_half = all((array == array.astype(np.float16)).all() for array in arrays)
    dtype = np.dtype(np.float16 if is_half else np.float32)
    layers, weights = [], b""
    for layer in model.layers:
        kind, places = type(layer).__name__, []
        for array in layer.get_weights():
            places.append({"shape": list(array.shape), "offset": len(weights)})
            weights += array.astype(dtype.newbyteorder("<")).tobytes()
        described = {"name": layer.name, "kind": KINDS.get(kind, kind.lower())}
        layers.append(described | {"shape": list(layer.output.shape[1:]), "weights": places})
    names = {language: [translated(n, language) for n in CLASS_NAMES] for language in LANGUAGES}
    manifest = {
        "name": name,
        "stand_in": is_trained_on_stand_in(model),
        "dtype": dtype.name,
        "class_names": names,
        "layers": layers,
    }
    return manifest, weights


def unlikeness_model() -> tuple[dict[str, Any], bytes]:
    """Return the network that measures unlikeness in the form of `page_model`; it has one logit."""
    maps = (("conv", 28, 12), ("pool", 14, 12), ("conv", 14, 20), ("pool", 7, 20))
    units = (("flatten", 980), ("dense", 24), ("dense", 1))
    shapes = [(kind, [side, side, n]) for kind, side, n in maps] + [(k, [n]) for k, n in units]
    layers, weights, arrays = [], b"", iter(unlikeness_weights())
    for kind, shape in shapes:
        places = []
        for array in [next(arrays), next(arrays)] if kind in ("conv", "dense") else []:
            places.append({"shape": list(array.shape), "offset": len(weights)})
            weights += array.astype("<f2").tobytes()
        layers.append({"name": kind, "kind": kind, "shape": shape, "weights": places})
    return {"dtype": "float16", "layers": layers}, weights


def write_model(
    model: keras.Sequential, directory: str | os.PathLike[str], *, name: str = ""
) -> None:
    """Write what `page_model` returns into a directory: ``model.json`` and ``weights.bin``."""
    manifest, weights = page_model(model, name=name)
    manifest["unlikeness"], judge = unlikeness_model()
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
    (place / "weights.bin").write_bytes(weights)
    (place / "unlikeness.bin").write_bytes(judge)
