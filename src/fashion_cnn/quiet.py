"""Keep what TensorFlow says of the machine off the screen; TF_CPP_MIN_LOG_LEVEL=0 shows it.

On Linux its libraries write six lines while they load, before any of its settings takes effect.
"""

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

LEVEL = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Keras traces new functions for every new model, of which TensorFlow warns.
logging.getLogger("tensorflow").addFilter(lambda log: "TensorFlowTrainer" not in log.getMessage())


@functools.cache
def has_avx() -> bool:
    """Tell whether this is a Linux whose processor has AVX, which TensorFlow needs."""
    processor = Path("/proc/cpuinfo")
    return processor.exists() and " avx " in processor.read_text()


@contextlib.contextmanager
def without_machine_notes() -> Iterator[None]:
    """Write file descriptor 2 nowhere while TensorFlow is imported for the first time.

    Where a processor lacks AVX, TensorFlow says so and ends the process: there nothing is hidden.
    """
    if "tensorflow" in sys.modules or LEVEL != "3" or sys.stderr is None or not has_avx():
        yield
        return
    shown = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
