import json
import re
import runpy
import subprocess
import sys

import pytest
from conftest import ROOT, TINY_DIR

import fashion_cnn as fc
from fashion_cnn import cli


def test_every_public_name_is_there():
    stub = (ROOT / "src" / "fashion_cnn" / "__init__.pyi").read_text()
    names = re.findall(r"import \w+ as (\w+)", stub)
    assert sorted(fc.__all__) == sorted(names)
    for name in names:
        assert getattr(fc, name).__doc__ or name.isupper()


def test_import_and_data_without_tensorflow():
    code = (
        "import sys, fashion_cnn as fc\n"
        f"fc.load_fashion_mnist({str(TINY_DIR)!r})\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


READMES = ["README.md", "README.ko.md"]


@pytest.mark.parametrize("readme", READMES)
def test_readme_commands_can_be_called(readme):
    commands = re.findall(
        r"^fashion-cnn (.*?) *(?:#.*)?$", (ROOT / readme).read_text("utf-8"), re.M
    )
    assert {command.split()[0] for command in commands} == set(cli.commands.commands)
    for command in commands:
        name, *args = command.split()
        cli.commands.commands[name].make_context(name, args)  # refuses what cannot be parsed


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


@pytest.mark.parametrize(
    "path", [*READMES, "data/README.md", "notebooks/photos/README.md", "CONTRIBUTING.md"]
)
def test_links_to_files_lead_somewhere(path):
    file = ROOT / path
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text("utf-8"))
    assert all((file.parent / link).exists() for link in links), links


def test_readme_pictures_are_the_notebooks():
    figures = runpy.run_path(str(ROOT / "benchmarks" / "readme_figure.py"))
    for path, place in figures["PICTURES"].items():
        assert path.read_bytes() == figures["picture_in_notebook"](*place)


def test_readme_tables_are_the_benchmarks(monkeypatch):
    """The tables in both READMEs are what the committed results give, to the letter."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    scripts = {
        name: runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"))
        for name in ("measure", "bench", "elsewhere", "photos", "page")
    }
    tables = {
        "runs": scripts["bench"]["render_table"](
            json.loads(scripts["bench"]["RESULTS"].read_text())
        ),
        "elsewhere": scripts["elsewhere"]["render_table"](),
        "photos": scripts["photos"]["render_table"](
            json.loads(scripts["photos"]["PHOTOS"].read_text())
        ),
        "page": scripts["page"]["render_table"](),
    }
    for readme in scripts["measure"]["READMES"]:
        for name, table in tables.items():
            assert scripts["measure"]["table_in"](readme, name) == table
