"""Look at what the package needs, and say how to mend what is wrong."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fashion_cnn.data import data_source
from fashion_cnn.language import korean_font

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)


class Finding(NamedTuple):
    """What was found of one thing that the package needs.

    Attributes
    ----------
    name : str
        What was looked at.
    is_well : bool
        Whether it will do.
    says : str
        One line: the version or the state; if it will not do, why, and the mend.
    """

    name: str
    is_well: bool
    says: str


def findings(data_dir: str | os.PathLike[str] | None = None) -> Iterator[Finding]:
    """Look at everything in turn. A thing that is broken does not keep the others from view.

    Parameters
    ----------
    data_dir : path, optional
        As for `load_fashion_mnist`; nothing is downloaded.

    Yields
    ------
    Finding
        Python, TensorFlow, Keras, devices, bfloat16, Graphviz, Korean font, data.
    """
    checks: tuple[tuple[str, Callable[[], str], str], ...] = (
        ("Python", _python, "set up anew: make PYTHON=python3.13 setup"),
        ("TensorFlow", _tensorflow, "pip install --force-reinstall tensorflow"),
        ("Keras", _keras, "unset KERAS_BACKEND, or set it to tensorflow"),
        ("devices", _devices, "mend TensorFlow first"),
        ("bf16", _bfloat16, "mend TensorFlow first"),
        ("Graphviz", _graphviz, "pip install --force-reinstall pygraphviz pydot"),
        ("Korean font", _korean_font, "pip install koreanize-matplotlib (for language='ko' only)"),
        ("data", lambda: str(data_source(data_dir)), "fashion-cnn data --fetch"),
    )
    for name, check, mend in checks:
        try:
            yield Finding(name, True, check())
        except Exception as error:  # a broken library can raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            yield Finding(name, False, f"{reason.rstrip('.')}. Mend: {mend}")


def _python() -> str:
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        raise RuntimeError(f"expected Python 3.11 to 3.13, got {platform.python_version()}")
    return f"{platform.python_version()} on {platform.system()}, {platform.machine()}"


def _tensorflow() -> str:
    import tensorflow as tf

    return str(tf.__version__)


def _keras() -> str:
    import keras

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(f"expected the backend tensorflow, got {keras.backend.backend()}")
    return str(keras.__version__)


def _devices() -> str:
    import tensorflow as tf

    devices = [device.name.partition(":")[2] for device in tf.config.list_physical_devices()]
    return f"{', '.join(devices)}; {os.cpu_count()} cores"


def _bfloat16() -> str:
    from fashion_cnn.training import FAST, bfloat16_speedup, chosen_precision

    return (
        f"{bfloat16_speedup():.1f} times as fast as float32; the recipes fast and best compute in "
        f"{chosen_precision(FAST)} here"
    )


def _graphviz() -> str:
    import pydot
    import pygraphviz

    pygraphviz.AGraph(string="digraph {a -> b}").draw(format="svg", prog="dot")
    return f"draws (pygraphviz {pygraphviz.__version__}, pydot {pydot.__version__})"


def _korean_font() -> str:
    font = korean_font()
    if font is None:
        raise RuntimeError("none found, so pictures are labelled in English")
    return font
