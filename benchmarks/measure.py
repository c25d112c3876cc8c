"""Helpers of the benchmarks: peak memory, and tables in documents."""

import json
import re
import resource
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = (ROOT / "README.md", ROOT / "README.ko.md")
# Which document holds which table.
DOCUMENTS = {
    "runs": ROOT / "docs" / "benchmarks.md",
    "elsewhere": ROOT / "docs" / "benchmarks.md",
    "page": ROOT / "docs" / "benchmarks.md",
    "real": ROOT / "docs" / "photos.md",
    "photos": ROOT / "docs" / "photos.md",
}


def peak_memory() -> float:
    """Return the peak memory of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def table_in(name: str, document: Path | None = None) -> str:
    """Return what stands between the marks of a table."""
    text = (document or DOCUMENTS[name]).read_text("utf-8")
    (table,) = _between_marks(name).findall(text)
    return table


def renew(
    name: str, results: Path, measure: Callable[[], object], render_table: Callable[[], str]
) -> None:
    """Measure, unless ``--table-only`` says not to, keep the results, and write the table."""
    if "--table-only" not in sys.argv:
        results.write_text(json.dumps(measure(), indent=1) + "\n")
    table = render_table()
    print(table)
    write_table(name, table)


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
