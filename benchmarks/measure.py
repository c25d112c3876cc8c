"""What all measurements share: this machine (Linux), processes, runs, results.json and tables."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results.json"
# What makes training faster, as Linux names it, the fastest first.
INSTRUCTIONS = {
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}
Results = dict[str, Any]  # of a part, or of one run
Tables = dict[tuple[str, str], str]  # by the path of their document and their name in it


class Run:
    """The clock of one training, which starts at once, and what the training came to."""

    def __init__(self) -> None:
        self.epoch_ends: list[float] = []
        self.start = time.perf_counter()

    def end_epoch(self, *_: Any) -> None:
        """Note that an epoch has ended; Keras calls it with arguments that do not matter."""
        self.epoch_ends.append(time.perf_counter() - self.start)

    def end(self) -> None:
        """Note that the training has ended, before the network is evaluated."""
        self.seconds = time.perf_counter() - self.start
        self.peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # GB

    def write(
        self,
        accuracies: list[float],
        validation: Iterable[float],
        test: Iterable[float],
        precision: str = "float32",
    ) -> None:
        """Print everything as a line of JSON; `validation` and `test` are loss and accuracy."""
        found: Results = {"epochs": len(self.epoch_ends)}
        found["validation_loss"], found["validation_accuracy"] = validation
        found["test_loss"], found["test_accuracy"] = test
        found |= {"seconds": self.seconds, "epoch_ends": self.epoch_ends}
        found |= {"epoch_validation_accuracies": accuracies}
        print(json.dumps(found | {"peak_memory": self.peak_memory, "precision": precision}))


def has_torch() -> bool:
    """Tell whether PyTorch can be measured."""
    return importlib.util.find_spec("torch") is not None


def machine() -> Results:
    """Return where and with what it is measured: a part of every result."""
    text = Path("/proc/cpuinfo").read_text()
    name = re.findall(r"model name\s*: (.*)", text)[0]
    known = [
        f" ({words})" for flag, words in INSTRUCTIONS.items() if re.search(rf"\b{flag}\b", text)
    ]
    cores = len(os.sched_getaffinity(0))
    packages = ["tensorflow", "keras", "numpy", *(["torch"] if has_torch() else [])]
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return {
        "hardware": f"{name}{''.join(known[:1])}, {cores} cores, no GPU",
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def timed_python(*words: str, **environment: str) -> tuple[str, float]:
    """Run Python in a fresh process; return what it prints, and its seconds from start to end."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout, time.perf_counter() - start


def results_of(part: str) -> Results:
    """Return what was measured last."""
    results: Results = json.loads(RESULTS.read_text())[part]
    return results


def keep_results(part: str, results: Results) -> None:
    """Put what was measured in place of what was measured before."""
    text = json.dumps(json.loads(RESULTS.read_text()) | {part: results}, indent=1)
    # Each run, an object without objects, and each other list of numbers has a line of its own.
    innermost = re.compile(r"\{[^{}]*\}|\[[^\[\]{}]*\]")
    text = innermost.sub(lambda match: json.dumps(json.loads(match[0])), text)
    RESULTS.write_text(text + "\n")


def table_of(header: str, rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; the header is its first line."""
    lines = [header, "|" + "---|" * (header.count("|") - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def below_table(text: str) -> str:
    """Return a paragraph in lines of at most 114 characters."""
    return textwrap.fill(text, 114, break_long_words=False, break_on_hyphens=False)


def note(text: str, command: str, results: Results) -> str:
    """Return the paragraph below a table, which ends with how and where it was measured."""
    source = f"`{command}`; {results['hardware']}; {results['versions']}."
    return f"\n{below_table(f'{text} {source}')}\n"


def write_table(document: str, name: str, table: str) -> None:
    """Put a table between its marks in a document, and print it."""
    print(table)
    path = ROOT / document
    between = re.compile(
        rf"(?<=<!-- {name} table -->\n).*?(?=<!-- end of {name} table -->)", re.DOTALL
    )
    path.write_text(between.sub(lambda _: table, path.read_text("utf-8")), "utf-8")
