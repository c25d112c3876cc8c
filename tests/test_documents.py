"""What the READMEs and the other documents promise: commands, examples, links, tables."""

import re
import runpy

import click
import pytest
from conftest import ROOT, TINY_DIR

from fashion_cnn.app import cli

READMES = ["README.md", "README.ko.md"]
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[a-z]*/**/*.md"))
DOCUMENTS = [path for path in DOCUMENTS if not {"runs", "_build"} & {*path.parts}]


@pytest.mark.parametrize("readme", READMES)
def test_readme_commands_can_be_called(readme):
    text = (ROOT / readme).read_text("utf-8")
    commands = re.findall(r"^fashion-cnn (.*?) *(?:#.*)?$", text, re.MULTILINE)
    assert {command.split()[0] for command in commands} == set(cli.commands.commands)
    for command in commands:
        name, *args = command.split()
        parent = click.Context(cli.commands, **cli.commands.context_settings)
        cli.commands.commands[name].make_context(name, args, parent)  # refuses what is wrong


@pytest.mark.parametrize("readme", READMES)
def test_make_targets_exist(readme):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert {"notebook", "test"} <= set(named) <= set(targets)


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES)
def test_readme_python_runs(readme, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text("utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CNN_DATA_DIR", str(TINY_DIR))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for block in blocks:
        exec(compile(block, readme, "exec"), {})
    assert "Prediction(label=" in capsys.readouterr().out


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_lines_are_short(path):
    text = path.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert all((path.parent / link).exists() for link in links), links
    for line in text.splitlines():
        assert len(line) <= 120 or line.startswith(("|", "!", "[")), line


@pytest.mark.parametrize("readme", READMES)
def test_readme_is_short_and_its_tables_narrow(readme):
    text = (ROOT / readme).read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.count("|") - 1 <= 5 for row in rows)
    if readme == "README.md":
        assert len(text.split()) < 1_000


def test_readme_pictures_are_the_notebooks():
    figures = runpy.run_path(str(ROOT / "artefacts" / "readme_figure.py"))
    for path, place in figures["PICTURES"].items():
        assert path.read_bytes() == figures["picture_in_notebook"](*place)


def test_tables_are_the_benchmarks(monkeypatch):
    """The tables match the committed results, to the letter, in both languages."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measure, trainings, *others = (
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"))
        for name in ("measure", "trainings", "growth", "photos", "page", "elsewhere")
    )
    results = {
        part: measure["results_of"](part) for part in ("trainings", "growth", "photos", "page")
    }
    tables = {
        "runs": trainings["render_table"](results["trainings"]),
        "growth": others[0]["render_table"](results["growth"]),
        "photos": others[1]["render_table"](results["photos"]),
        "real": others[1]["render_real_table"](results["photos"]),
        "page": others[2]["render_table"](results["page"]),
        "elsewhere": others[3]["render_table"](
            measure["results_of"]("elsewhere"), results["trainings"]
        ),
    }
    for name, table in tables.items():
        assert measure["table_in"](name) == table
    for readme in measure["READMES"]:
        short = trainings["render_short_table"](results["trainings"], readme)
        assert measure["table_in"]("short", readme) == short
