"""What the runs measure about themselves, and where it is written."""

import json
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
READMES = (ROOT / "README.md", ROOT / "README.ko.md")


def peak_memory() -> float:
    """Return the most memory that this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def table_in(readme: Path, name: str) -> str:
    """Return what stands between the marks of a table."""
    (table,) = _between_marks(name).findall(readme.read_text("utf-8"))
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


def write_table(name: str, table: str) -> None:
    """Put a table between its marks in each README; the Korean one holds the same."""
    for readme in READMES:
        text = _between_marks(name).sub(lambda _: table, readme.read_text("utf-8"))
        readme.write_text(text, "utf-8")


def _between_marks(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<=<!-- {name} table -->\n).*?(?=<!-- end of {name} table -->)", re.DOTALL
    )
