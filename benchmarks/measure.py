"""What all measurements share: this machine, whole processes, results.json, and tables."""

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results.json"
READMES = (ROOT / "README.md", ROOT / "README.ko.md")
# Which document holds which table.
DOCUMENTS = {
    "runs": ROOT / "docs" / "benchmarks.md",
    "growth": ROOT / "docs" / "benchmarks.md",
    "elsewhere": ROOT / "docs" / "benchmarks.md",
    "page": ROOT / "docs" / "benchmarks.md",
    "real": ROOT / "docs" / "photos.md",
    "photos": ROOT / "docs" / "photos.md",
}
# What makes training faster, as Linux names it, the fastest first.
INSTRUCTIONS = {
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX-512 with bfloat16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}


def hardware() -> str:
    """Return the processor's name, its instructions, and the cores this process may use."""
    cpu_info = Path("/proc/cpuinfo")
    text = cpu_info.read_text() if cpu_info.exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    name = found.group(1) if found else platform.processor() or platform.machine()
    known = [words for flag, words in INSTRUCTIONS.items() if re.search(rf"\b{flag}\b", text)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}{f' ({known[0]})' if known else ''}, {cores} cores, no GPU"


def has_torch() -> bool:
    """Tell whether PyTorch can be measured."""
    return importlib.util.find_spec("torch") is not None


def versions() -> str:
    """Return the versions that decide the figures."""
    packages = ["tensorflow", "keras", "numpy", *(["torch"] if has_torch() else [])]
    named = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"Python {platform.python_version()}, {named}"


def machine() -> dict[str, str]:
    """Return where and with what it is measured: a part of every result."""
    return {"hardware": hardware(), "versions": versions()}


def timed_python(*words: str, environment: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Run Python in a fresh process; return what it prints, and its seconds from start to end."""
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, *words],
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout, time.perf_counter() - start


def peak_memory() -> float:
    """Return the peak memory of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def results_of(part: str) -> dict[str, Any]:
    """Return what was measured last."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())[part]
    return results


def keep_results(part: str, results: dict[str, Any]) -> None:
    """Put what was measured in place of what was measured before."""
    kept = json.loads(RESULTS.read_text()) | {part: results}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def table_in(name: str, document: Path | None = None) -> str:
    """Return what stands between the marks of a table."""
    text = (document or DOCUMENTS[name]).read_text("utf-8")
    (table,) = _between_marks(name).findall(text)
    return table


def write_table(name: str, table: str, document: Path | None = None) -> None:
    """Put a table between its marks."""
    document = document or DOCUMENTS[name]
    text = _between_marks(name).sub(lambda _: table, document.read_text("utf-8"))
    document.write_text(text, "utf-8")


def below_table(text: str) -> str:
    """Return a paragraph in lines of at most 114 characters."""
    return textwrap.fill(text, 114, break_long_words=False, break_on_hyphens=False)


def _between_marks(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<=<!-- {name} table -->\n).*?(?=<!-- end of {name} table -->)", re.DOTALL
    )
