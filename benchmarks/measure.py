"""What the runs measure about themselves, and where it is written."""

import re
import resource
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


def write_table(name: str, table: str) -> None:
    """Put a table between its marks in each README; the Korean one holds the same."""
    for readme in READMES:
        text = _between_marks(name).sub(lambda _: table, readme.read_text("utf-8"))
        readme.write_text(text, "utf-8")


def _between_marks(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<=<!-- {name} table -->\n).*?(?=<!-- end of {name} table -->)", re.DOTALL
    )
