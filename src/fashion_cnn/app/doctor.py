"""Check what the package needs, and say how to fix what is wrong."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fashion_cnn.data import data_source
from fashion_cnn.language import korean_font
from fashion_cnn.quiet import without_machine_notes
from fashion_cnn.recipe import FAST

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)


class Finding(NamedTuple):
    """The result of checking one thing that the package needs."""

    name: str
    is_well: bool
    is_needed: bool  # whether anything but Korean fails without it
    says: str  # a line: the version or the state; if something is wrong, the reason and the fix


def findings(data_dir: str | os.PathLike[str] | None = None) -> Iterator[Finding]:
    """Check everything in turn; one failed check does not stop the others."""
    checks: tuple[tuple[str, bool, Callable[[], str], str], ...] = (
        ("Python", True, _python, "set up again: make PYTHON=python3.13 setup"),
        ("TensorFlow", True, _tensorflow, "pip install --force-reinstall tensorflow"),
        ("Keras", True, _keras, "unset KERAS_BACKEND, or set it to tensorflow"),
        ("devices", True, _devices, "fix TensorFlow first"),
        ("bf16", True, _bfloat16, "fix TensorFlow first"),
        ("Graphviz", True, _graphviz, "pip install --force-reinstall pygraphviz pydot"),
        ("Korean font", False, _korean_font, "pip install koreanize-matplotlib, for Korean only"),
        ("data", True, lambda: str(data_source(data_dir)), "fashion-cnn data --fetch"),
    )
    for name, is_needed, check, fix in checks:
        try:
            yield Finding(name, True, is_needed, check())
        except Exception as error:  # a broken library can raise anything
            reason = " ".join(str(error).split()) or type(error).__name__
            yield Finding(name, False, is_needed, f"{reason.rstrip('.')}. Fix: {fix}")


def _python() -> str:
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        raise RuntimeError(f"expected Python 3.11 to 3.13, got {platform.python_version()}")
    return f"{platform.python_version()} on {platform.system()}, {platform.machine()}"


def _tensorflow() -> str:
    import tensorflow as tf  # heavy, and it may be broken

    return str(tf.__version__)


def _keras() -> str:
    import keras  # heavy, and it may be broken

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(f"expected the backend tensorflow, got {keras.backend.backend()}")
    return str(keras.__version__)


def _devices() -> str:
    import tensorflow as tf  # heavy, and it may be broken

    devices = [device.name.partition(":")[2] for device in tf.config.list_physical_devices()]
    return f"{', '.join(devices)}; {os.cpu_count()} cores"


def _bfloat16() -> str:
    from fashion_cnn.training import bfloat16_speedup, chosen_precision  # imports TensorFlow

    return (
        f"{bfloat16_speedup():.1f} times as fast as float32; such recipes as fast compute in "
        f"{chosen_precision(FAST)} here"
    )


def _graphviz() -> str:
    import pydot  # it may be broken
    import pygraphviz

    with without_machine_notes():
        pygraphviz.AGraph(string="digraph {a -> b}").draw(format="svg", prog="dot")
    return f"draws (pygraphviz {pygraphviz.__version__}, pydot {pydot.__version__})"


def _korean_font() -> str:
    font = korean_font()
    if font is None:
        raise RuntimeError("none found, so pictures are labelled in English")
    return font
