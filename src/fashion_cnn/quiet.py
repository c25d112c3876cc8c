"""Hide the notes about the machine that C++ libraries write to standard error.

TensorFlow writes some before any of its settings takes effect; Graphviz writes others. To see
TensorFlow's, set ``TF_CPP_MIN_LOG_LEVEL`` to a number other than 3.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator

LOG_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
MACHINE_NOTES = re.compile(
    rb"^(?:[IWE]0000 .*|WARNING: All log messages before absl.*|To enable the following "
    rb"instructions: .*|Fontconfig .*)\n",
    re.MULTILINE,
)


@contextlib.contextmanager
def without_machine_notes() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, then pass on all but the machine notes."""
    try:
        kept = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            os.write(2, MACHINE_NOTES.sub(b"", held.read()))


class QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Import TensorFlow, once, without its notes about the machine."""

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Find TensorFlow, and leave every other module to the finders after this one."""
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_quietly(module: types.ModuleType) -> None:
                with without_machine_notes():
                    execute(module)

            spec.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


def concerns_the_reader(record: logging.LogRecord) -> bool:
    """Tell whether a log record of TensorFlow is about something that the user can change.

    For every new model, Keras traces new functions, and TensorFlow warns about it.
    """
    message = record.getMessage()
    return "retracing" not in message or "TensorFlowTrainer" not in message


def install() -> None:
    """Make the first import of TensorFlow quiet, whichever module imports it."""
    level = os.environ.setdefault(LOG_LEVEL_VARIABLE, "3")  # which child processes inherit
    if level == "3":
        logging.getLogger("tensorflow").addFilter(concerns_the_reader)
        if "tensorflow" not in sys.modules:
            sys.meta_path.insert(0, QuietTensorFlow())
