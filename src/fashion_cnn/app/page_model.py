"""Write the live page, which computes every layer of a network in the browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fashion_cnn.data import FashionMNIST
from fashion_cnn.images import CLASS_NAMES, as_images, checked_split
from fashion_cnn.language import LANGUAGES, on_disk, translated
from fashion_cnn.language import gettext as _
from fashion_cnn.prediction import check_model, evaluate
from fashion_cnn.unlikeness import weights as unlikeness_weights

if TYPE_CHECKING:
    import keras

PAGE = Path(__file__).parents[1] / "page"
KINDS = {"Conv2D": "conv", "MaxPooling2D": "pool"}  # others keep their names, in lower case
MAX_EXAMPLES = 30


def write_page(
    model: keras.Sequential,
    directory: str | os.PathLike[str],
    *,
    name: str = "",
    class_names: Sequence[str] | None = None,
    examples: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    data: FashionMNIST | None = None,
) -> None:
    """Write the live page with a network of yours, as a folder that any web server can serve.

    GitHub Pages can, and so can ``python -m http.server --directory my-page``. Nothing runs on the
    server: the browser computes every layer.

    Parameters
    ----------
    model : keras.Sequential
        A network of `build_cnn`'s architecture, with any number of filters and units.
    directory : path
        A new or empty directory, or one with an older page, which is replaced.
    name : str
        What the page calls the network.
    class_names : sequence of ten str, optional
        The classes of another data set of 28×28 images, in label order; by default the garments.
    examples : array_like or Split, optional
        Up to 30 images, as for `predict`, or a pair of images and labels, in place of the drawn
        ones; with `class_names`, by default the first 30 test images of `data`.
    data : FashionMNIST, optional
        The data set that the network was trained on: its kind and the accuracy on its test images
        stand on the page. Without it, the page claims neither.

    Raises
    ------
    OSError
        If `directory` holds anything but an older page, or cannot be written.
    TypeError, ValueError
        If another argument is not as described above.

    Examples
    --------
    >>> write_page(model, "my-page", name="My first network", data=data)  # doctest: +SKIP
    """
    place = free_directory(directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as folder:
        new, old = Path(folder, "new"), Path(folder, "old")
        files = page_files(model, name=name, class_names=class_names, examples=examples, data=data)
        for path, content in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(content)
        if place.exists():
            place.rename(old)
        try:
            new.rename(place)
        finally:
            if old.exists() and not place.exists():
                old.rename(place)


def free_directory(directory: str | os.PathLike[str]) -> Path:
    """Return where a page can be written; refuse a directory that holds more than an older page."""
    place, known = on_disk(directory).resolve(), set()
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = set(json.loads((place / "model" / "model.json").read_bytes())["files"])
    files = [place] if place.is_file() else (x for x in place.rglob("*") if not x.is_dir())
    for path in files:
        if path.relative_to(place).as_posix() not in known:
            message = _("expected a new or empty directory, or an older page, found {path} there")
            raise FileExistsError(message.format(path=path))
    return place


def page_files(
    model: keras.Sequential,
    *,
    name: str = "",
    class_names: Sequence[str] | None = None,
    examples: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    data: FashionMNIST | None = None,
    is_served: bool = False,
) -> dict[str, bytes]:
    """Return every file of the page by its path; if `is_served`, `demo` prepares its pictures.

    ``model/model.json`` has what is known of the network, and its layers, each with ``name``,
    ``kind``, output ``shape`` and ``weights``, whose ``offset`` in ``model/weights.bin`` is in
    bytes. `write_page` describes the arguments.

    >>> len(page_files(build_cnn(filters=(8, 16), dense_units=20))["model/weights.bin"])
    68632
    """
    files = {path.relative_to(PAGE).as_posix(): path.read_bytes() for path in PAGE.rglob("*.*")}
    names = {language: [translated(n, language) for n in CLASS_NAMES] for language in LANGUAGES}
    if class_names is not None:
        own = [str(each).strip() for each in class_names]
        if not (len(own) == len(set(own)) == len(CLASS_NAMES) and all(own)):
            message = _("expected ten different class names, got {names}")
            raise ValueError(message.format(names=", ".join(own)))
        if examples is None and data is None:
            raise ValueError(_("expected examples or data with class names: ours are garments"))
        examples = data.test[:MAX_EXAMPLES] if examples is None and data else examples
        names = dict.fromkeys(LANGUAGES, own)
        # The view of learning is a recording with drawn garments.
        views = b'<head>\n<meta name="views" content="network convolution">'
        files = {p: x.replace(b"<head>", views) for p, x in files.items() if "learning" not in p}
    if examples is not None:
        files["examples.json"] = json.dumps(_encoded(examples)).encode()
    layers, dtype, weights = _packed(model)
    files["index.html"] = files["network.html"]
    files["model/weights.bin"] = weights
    manifest = {
        "name": name,
        **_known_of(model, data, is_of_garments=class_names is None),
        "dtype": dtype,
        "class_names": names,
        "layers": layers,
        "server": is_served,
    }
    if class_names is None:
        manifest["unlikeness"], files["model/unlikeness.bin"] = unlikeness_model()
    manifest["files"] = sorted([*files, "model/model.json"])  # which `free_directory` reads
    return files | {"model/model.json": json.dumps(manifest, ensure_ascii=False).encode()}


def _encoded(examples: ArrayLike | tuple[ArrayLike, ArrayLike]) -> list[dict[str, Any]]:
    """Return examples as the page reads them: bytes of pixels, and the label if it is known."""
    known: list[dict[str, Any]]
    if isinstance(examples, tuple):
        images, labels = checked_split(examples, "example")
        known = [{"label": label} for label in labels.tolist()]
    else:
        images = as_images(examples, "examples")
        known = [{} for _image in images]
    if len(images) > MAX_EXAMPLES:
        raise ValueError(f"expected at most {MAX_EXAMPLES} examples, got {len(images)}")
    pixels = [b64encode(shades.tobytes()).decode() for shades in np.rint(255 * images).astype("u1")]
    return [one | {"pixels": text} for one, text in zip(known, pixels, strict=True)]


def _packed(model: keras.Sequential) -> tuple[list[dict[str, Any]], str, bytes]:
    """Return the layers of a network, the dtype of its weights, and these, little-endian.

    It is float16 if every weight survives that, as those of the package's network do.
    """
    from fashion_cnn.model import resembling  # imports Keras

    check_model(model, "write_page(model, directory)")
    named, arrays = resembling(json.loads(model.to_json())), model.get_weights()
    named.set_weights(arrays)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, so it does not survive
        is_half = all((array == array.astype(np.float16)).all() for array in arrays)
    dtype = np.dtype(np.float16 if is_half else np.float32)
    layers, weights = [], b""
    for layer in named.layers:
        kind, places = type(layer).__name__, []
        for array in layer.get_weights():
            places.append({"shape": list(array.shape), "offset": len(weights)})
            weights += array.astype(dtype.newbyteorder("<")).tobytes()
        described = {"name": layer.name, "kind": KINDS.get(kind, kind.lower())}
        layers.append(described | {"shape": list(layer.output.shape[1:]), "weights": places})
    return layers, dtype.name, weights


def _known_of(
    model: keras.Sequential, data: FashionMNIST | None, *, is_of_garments: bool
) -> dict[str, Any]:
    """Return what is known of a network: whose it is, what it was trained on, its accuracy."""
    from fashion_cnn.model import PRETRAINED, is_trained_on_stand_in, load_model  # imports Keras

    known: dict[str, Any] = {"is_of_garments": is_of_garments, "is_packaged": False}
    if all(map(np.array_equal, model.get_weights(), load_model().get_weights())):
        card = PRETRAINED.with_name("README.md").read_text("utf-8")
        accuracy = float(re.findall(r"test accuracy \| ([\d.]+)", card)[0])
        tested = {"trained_on": "Fashion-MNIST", "accuracy": accuracy, "test_images": 10_000}
        return known | tested | {"is_packaged": True}
    kind = None
    if is_trained_on_stand_in(model):
        kind = "stand-in" if is_of_garments else "other"
    if data is not None:
        if data.source.is_fashion_mnist and kind:
            raise ValueError("expected the data that the network was trained on, got Fashion-MNIST")
        kind = kind or ("Fashion-MNIST" if data.source.is_fashion_mnist else "other")
        known["accuracy"] = evaluate(model, data.test).accuracy
        known["test_images"] = data.test.size
    return known | {"trained_on": kind}


def unlikeness_model() -> tuple[dict[str, Any], bytes]:
    """Return the network that measures unlikeness as `_packed` describes one; it has one logit."""
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
