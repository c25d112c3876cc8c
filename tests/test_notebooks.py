import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import nbformat
import pytest
from conftest import ROOT, TINY_DIR

DIRECTORY = ROOT / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.rglob("*.ipynb"))
IDS = [path.relative_to(DIRECTORY).with_suffix("").as_posix() for path in NOTEBOOKS]
SOLUTIONS = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_picture(cell):
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return any(kind.startswith("image/") for kind in kinds)


def test_every_notebook_has_a_korean_edition():
    assert IDS
    assert {f"ko/{name}" for name in IDS if "/" not in name} == {n for n in IDS if "/" in n}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_committed_notebook(path):
    """It is small, with the outputs of one complete run on the real data; words follow pictures."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000
    code_cells = code_of(notebook)
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    assert all(len(cell.source.splitlines()) <= 12 for cell in code_cells)
    outputs = [output for cell in code_cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    text = json.dumps(outputs, ensure_ascii=False)
    assert "Fashion-MNIST (SHA-256 verified)" in text or "패션 MNIST(SHA-256으로 확인함)" in text
    assert "stand-in" not in text
    for output in outputs:
        if output.get("name") == "stderr":  # only the progress of a study
            assert re.fullmatch(r"(\s*study: .*seeds?(/s)?\])+\s*", output.text), output.text
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                assert len(output.metadata[kind]["alt"]) >= 8, kind
    for cell, follower in itertools.pairwise(notebook.cells):
        if has_picture(cell):
            both = cell.get("outputs", []) + follower.get("outputs", [])
            says = any(output.output_type == "stream" for output in both)
            assert says or follower.cell_type == "markdown" or has_picture(follower), cell.id


def parts_of(source):
    """Count what code is made of but for texts, whose words stand in another order; texts too."""
    nodes = list(ast.walk(ast.parse(source.replace(");", ")"))))
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    texts = {value for value in constants if isinstance(value, str)}
    others = [node for node in nodes if not isinstance(node, ast.Constant | ast.JoinedStr)]
    names = [getattr(node, "id", getattr(node, "attr", type(node).__name__)) for node in others]
    return Counter(names + [value for value in constants if value not in texts]), texts


@pytest.mark.parametrize("name", [name for name in IDS if "/" not in name])
def test_korean_edition_has_the_same_code(name):
    """The cells are the same, in the same order; only comments and words are Korean."""
    english, korean = (
        nbformat.read(DIRECTORY / edition / f"{name}.ipynb", as_version=4).cells
        for edition in ("", "ko")
    )
    assert [(c.id, c.cell_type) for c in korean] == [(c.id, c.cell_type) for c in english]
    for here, there in zip(english, korean, strict=True):
        pairs = [(here.source, there.source)]
        if here.cell_type == "markdown":
            assert re.search("[가-힣]", there.source), there.id
            solutions = SOLUTIONS.findall(here.source), SOLUTIONS.findall(there.source)
            pairs = zip(*solutions, strict=True)
        for sources in pairs:
            (code, _), (korean_code, texts) = map(parts_of, sources)
            assert korean_code == code, there.id
            assert here.id != "settings" or '"ko"' in there.source
            in_english = {text for text in texts if re.search("[a-z]{2,} [a-z]{2,}", text)}
            assert in_english <= {"counted by Keras", "receptive field"}  # names of columns


def run(name, directory):
    """Run a notebook in a directory as `make notebook` does; return the finished process."""
    return subprocess.run(
        [sys.executable, str(DIRECTORY / "run.py"), name],
        cwd=directory,
        env=os.environ | {"FASHION_CNN_DATA_DIR": str(TINY_DIR), "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in IDS if "/" not in name])
def test_it_runs_on_the_stand_in_data(name, tmp_path):
    """Its hidden solutions too; its page says what it shows, and loads nothing from elsewhere."""
    notebook = nbformat.read(DIRECTORY / f"{name}.ipynb", as_version=4)
    hidden = SOLUTIONS.findall("\n".join(cell.source for cell in notebook.cells))
    notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in hidden]
    shutil.copytree(DIRECTORY / "drawings", tmp_path / "notebooks" / "drawings")
    nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "photos.png", tmp_path / "docs")
    finished = run(f"notebooks/{name}.ipynb", tmp_path)
    shown = finished.stdout + finished.stderr
    assert finished.returncode == 0, shown
    assert not re.search(r"retracing|Swig", shown)
    executed = nbformat.read(tmp_path / "runs" / f"{name}.ipynb", as_version=4)
    assert all(cell.execution_count for cell in code_of(executed))
    streams = [o.text for c in code_of(executed) for o in c.outputs if o.get("name") == "stdout"]
    assert not re.search("[\b\r]", "".join(streams))  # what a progress bar overwrote
    html = (tmp_path / "runs" / f"{name}.html").read_text("utf-8")
    assert re.search(r"<title>\w.*\w\??</title>", html)
    for picture in re.findall(r"<img[^>]*>", html):
        assert re.search(r'src="data:', picture)
        alt = re.search(r'alt="([^"]*)"', picture)[1]
        assert len(alt) > 10
        assert "No description" not in alt
    assert not re.search(r"<script|<link[^>]*href=|@import|url\(['\"]?https?:", html)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "error", "says"),
    [("1 / 0", "ZeroDivisionError", ""), ("ctrl_c()", "KeyboardInterrupt", "same command again")],
)
def test_what_ran_is_kept_when_a_cell_fails_or_ctrl_c_ends_it(tmp_path, source, error, says):
    """Below it, no output of an earlier run remains."""
    ctrl_c = (
        "def ctrl_c(): os.kill(os.getppid(), signal.SIGINT); time.sleep(60)\n"
        "import os, signal, time; print('kept')"
    )
    cells = [nbformat.v4.new_code_cell(code) for code in (ctrl_c, source, "2")]
    cells[2].outputs = [nbformat.v4.new_output("stream", text="of an earlier run")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "failing.ipynb")
    finished = run("failing.ipynb", tmp_path)
    assert finished.returncode == 1
    assert error in finished.stderr
    assert says in finished.stderr
    executed = nbformat.read(tmp_path / "runs" / "failing.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "kept\n"
    assert executed.cells[2].outputs == []
    assert executed.cells[2].execution_count is None
