"""Hide what TensorFlow logs about the machine; TF_CPP_MIN_LOG_LEVEL=0 shows it.

On Linux its libraries write up to 13 lines while they load, before its settings take effect.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")  # on Linux
LEVEL = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Keras traces new functions for every model; TensorFlow takes that for a mistake and warns.
logging.getLogger("tensorflow").addFilter(lambda log: "TensorFlowTrainer" not in log.getMessage())


def processor_flags() -> set[str]:
    """Return the words with which Linux describes the processor; none on other systems."""
    return set(CPU_INFO.read_text().split()) if CPU_INFO.exists() else set()


@contextlib.contextmanager
def without_machine_notes() -> Iterator[None]:
    """Send file descriptor 2 to the null device while TensorFlow is imported for the first time.

    Where a processor lacks AVX, TensorFlow says so and ends the process: there nothing is hidden.
    """
    is_shown = LEVEL != "3" or sys.stderr is None or "avx" not in processor_flags()
    if is_shown or "tensorflow" in sys.modules:
        yield
        return
    with open(os.devnull, "wb") as nowhere, os.fdopen(os.dup(2), "wb") as shown:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(shown.fileno(), 2)
