"""Check what the package needs, and say how to fix what is wrong."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fashion_cnn.data import data_source
from fashion_cnn.language import gettext as _
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
        ("Python", True, _python, _("set up again: make PYTHON=python3.13 setup")),
        ("TensorFlow", True, _tensorflow, "pip install --force-reinstall tensorflow"),
        ("Keras", True, _keras, _("unset KERAS_BACKEND, or set it to tensorflow")),
        (_("devices"), True, _devices, _("fix TensorFlow first")),
        ("bf16", True, _bfloat16, _("fix TensorFlow first")),
        ("Graphviz", True, _graphviz, "pip install --force-reinstall pygraphviz pydot"),
        (
            _("Korean font"),
            False,
            _korean_font,
            _("pip install koreanize-matplotlib, for Korean only"),
        ),
        (_("data"), True, lambda: str(data_source(data_dir)), "fashion-cnn data --fetch"),
    )
    for name, is_needed, check, fix in checks:
        try:
            yield Finding(name, True, is_needed, check())
        except Exception as error:  # a broken library can raise anything
            reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
            says = _("{reason}. Fix: {fix}").format(reason=reason, fix=fix)
            yield Finding(name, False, is_needed, says)


def _python() -> str:
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        message = _("expected Python 3.11 to 3.13, got {version}")
        raise RuntimeError(message.format(version=platform.python_version()))
    return _("{version} on {system}, {machine}").format(
        version=platform.python_version(), system=platform.system(), machine=platform.machine()
    )


def _tensorflow() -> str:
    import tensorflow as tf  # heavy, and it may be broken

    return str(tf.__version__)


def _keras() -> str:
    import keras  # heavy, and it may be broken

    if keras.backend.backend() != "tensorflow":
        message = _("expected the backend tensorflow, got {backend}")
        raise RuntimeError(message.format(backend=keras.backend.backend()))
    return str(keras.__version__)


def _devices() -> str:
    import tensorflow as tf  # heavy, and it may be broken

    devices = [device.name.partition(":")[2] for device in tf.config.list_physical_devices()]
    return _("{devices}; {n} cores").format(devices=", ".join(devices), n=os.cpu_count())


def _bfloat16() -> str:
    from fashion_cnn.training import bfloat16_speedup, chosen_precision  # imports TensorFlow

    return _(
        "{speedup:.1f} times as fast as float32; such recipes as fast compute in {precision} here"
    ).format(speedup=bfloat16_speedup(), precision=chosen_precision(FAST))


def _graphviz() -> str:
    import pydot  # it may be broken
    import pygraphviz

    with without_machine_notes():
        pygraphviz.AGraph(string="digraph {a -> b}").draw(format="svg", prog="dot")
    return _("draws (pygraphviz {pygraphviz}, pydot {pydot})").format(
        pygraphviz=pygraphviz.__version__, pydot=pydot.__version__
    )


def _korean_font() -> str:
    font = korean_font()
    if font is None:
        raise RuntimeError(_("none found, so pictures are labelled in English"))
    return font
