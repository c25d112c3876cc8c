"""Check what the package needs, and say how to fix what is wrong."""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
from importlib import metadata

from packaging.requirements import Requirement

from fashion_cnn.data import NotAvailableError, data_source
from fashion_cnn.language import gettext as _
from fashion_cnn.language import korean_font
from fashion_cnn.quiet import without_machine_notes
from fashion_cnn.recipe import FAST


class FixableError(Exception):
    """Two arguments: what is wrong, and how to fix it, or None."""


def findings(data_dir: str | os.PathLike[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """Check everything in turn: return ok, FIX or note, what it is, and what there is to say.

    One failed check does not stop the others. A fix is named only if it follows from the error.
    """
    checks: dict[str, Callable[[], str]] = {
        "Python": _python,
        _("versions"): _versions,
        "TensorFlow": _tensorflow,
        "Keras": _keras,
        _("devices"): _devices,
        "Graphviz": _graphviz,
        _("Korean font"): _korean_font,
        _("data"): lambda: str(data_source(data_dir)),
    }
    for name, check in checks.items():
        try:
            if says := check():
                yield _("ok"), name, says
        except Exception as error:  # a broken library can raise anything
            reason, fix = error.args if isinstance(error, FixableError) else (error, _fix(error))
            message = _("{reason}. Fix: {fix}") if fix else _("this check failed: {reason}")
            line = " ".join(str(reason).split()).rstrip(".") or type(error).__name__
            state = _("note") if check is _korean_font else _("FIX")
            yield state, name, message.format(reason=line, fix=fix)


def _fix(error: Exception) -> str | None:
    """Return the fix that follows from the error of a library, if one does."""
    match error:
        case ModuleNotFoundError(name="tensorflow" | "keras" | "pygraphviz" | "pydot"):
            return f"pip install {error.name}"
        case ModuleNotFoundError(name="jax" | "torch" | "openvino"):  # Keras's other backends
            return "KERAS_BACKEND=tensorflow"
        case NotAvailableError():
            return "fashion-cnn data --fetch"
    return None


def _python() -> str:
    message = _("{version} on {system}, {machine}")
    system, machine = platform.system(), platform.machine()
    return message.format(version=platform.python_version(), system=system, machine=machine)


def _versions() -> str:
    """Compare what is installed with the bounds in the package's own metadata."""
    python, wrong = platform.python_version(), {}
    for package in metadata.distributions(name="fashion-cnn"):
        bounds = [f"python{package.metadata['Requires-Python']}", *(package.requires or ())]
        for needed in map(Requirement, bounds):
            is_extra = needed.marker and not needed.marker.evaluate({"extra": ""})
            with contextlib.suppress(metadata.PackageNotFoundError):  # what imports it says so
                found = python if needed.name == "python" else metadata.version(needed.name)
                if not is_extra and not needed.specifier.contains(found, prereleases=True):
                    wrong[needed.name] = f"{needed.name}{needed.specifier}", found
    if wrong:
        expected, got = map(", ".join, zip(*wrong.values(), strict=True))
        reason = _("expected {expected}, got {got}").format(expected=expected, got=got)
        raise FixableError(reason, None if "python" in wrong else "pip install fashion-cnn")
    return ""


def _tensorflow() -> str:
    with without_machine_notes():
        import tensorflow as tf  # heavy, and it may be broken

    return str(tf.__version__)


def _keras() -> str:
    import keras  # heavy, and it may be broken

    backend = keras.backend.backend()
    if backend != "tensorflow":
        reason = _("expected the backend tensorflow, got {backend}").format(backend=backend)
        raise FixableError(reason, "KERAS_BACKEND=tensorflow")
    return str(keras.__version__)


def _devices() -> str:
    import tensorflow as tf  # heavy, and it may be broken

    from fashion_cnn.training import chosen_precision

    devices = [device.name.partition(":")[2] for device in tf.config.list_physical_devices()]
    message = _("{devices}; {n} cores; recipes such as fast compute in {precision}")
    shown = {"devices": ", ".join(devices), "precision": chosen_precision(FAST)}
    return message.format(n=os.cpu_count(), **shown)


def _graphviz() -> str:
    import pydot  # it may be broken
    import pygraphviz

    pygraphviz.AGraph(string="digraph {a -> b}").draw(format="svg", prog="dot")
    message = _("draws (pygraphviz {pygraphviz}, pydot {pydot})")
    return message.format(pygraphviz=pygraphviz.__version__, pydot=pydot.__version__)


def _korean_font() -> str:
    font = korean_font()
    if font is None:
        reason = _("none found, so pictures are labelled in English")
        raise FixableError(reason, 'pip install "fashion-cnn[ko]"')
    return font
