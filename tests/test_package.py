import json
import re
import runpy
import subprocess
import sys

import pytest
from conftest import ROOT, TINY_DIR

import fashion_cnn as fc


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


def test_readme_python_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CNN_DATA_DIR", str(TINY_DIR))
    monkeypatch.setenv("MPLBACKEND", "agg")
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Prediction(label=" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["README.md", "data/README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_somewhere(path):
    file = ROOT / path
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text("utf-8"))
    assert all((file.parent / link).exists() for link in links), links


def test_readme_picture_is_the_notebooks():
    figure = runpy.run_path(str(ROOT / "benchmarks" / "readme_figure.py"))
    assert figure["FIGURE"].read_bytes() == figure["picture_in_notebook"]()


def test_readme_tables_are_the_benchmarks(monkeypatch):
    """The tables in the README are what the committed results give, to the letter."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    readme = (ROOT / "README.md").read_text("utf-8")
    bench = runpy.run_path(str(ROOT / "benchmarks" / "bench.py"))
    results = json.loads(bench["RESULTS"].read_text())
    assert bench["TABLE"].search(readme).group() == bench["render_table"](results)
    elsewhere = runpy.run_path(str(ROOT / "benchmarks" / "elsewhere.py"))
    assert elsewhere["TABLE"].search(readme).group() == elsewhere["render_table"]()
