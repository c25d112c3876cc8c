import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys

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
    """It is small and has the outputs of one complete run on the real data."""
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_every_picture_is_followed_by_words(path):
    """By text, or by a cell that prints what the picture shows."""
    cells = nbformat.read(path, as_version=4).cells
    says = [
        cell.cell_type == "markdown" or any(o.output_type == "stream" for o in cell.outputs)
        for cell in cells
    ]
    for number, cell in enumerate(cells):
        if has_picture(cell):
            follower = cells[number + 1]
            assert says[number] or says[number + 1] or has_picture(follower), cell.id


class WithoutWords(ast.NodeTransformer):
    """Leaves of a text only what is computed for it, in any order, and collects the others."""

    def __init__(self):
        self.texts = set()
        self.phrases = set()  # of f-strings

    def visit_JoinedStr(self, node):
        computed = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        for part in computed:
            part.value = self.visit(part.value)
        self.phrases |= {part.value for part in node.values if isinstance(part, ast.Constant)}
        return ast.Constant("".join(sorted(map(ast.dump, computed))))

    def visit_Constant(self, node):
        if not isinstance(node.value, str):
            return node
        self.texts.add(node.value)
        return ast.Constant("")


def without_words(source):
    """Return the code without comments and texts, its texts that are not Korean, and all words."""
    words = WithoutWords()
    tree = words.visit(ast.parse(source.replace(");", ")")))
    not_korean = {text for text in words.texts if not re.search("[가-힣]", text)}
    return ast.dump(tree), not_korean, words.texts | words.phrases


@pytest.mark.parametrize("name", [name for name in IDS if "/" not in name])
def test_korean_edition_has_the_same_code(name):
    """The cells are the same, in the same order; only comments and words are Korean."""
    english = nbformat.read(DIRECTORY / f"{name}.ipynb", as_version=4)
    korean = nbformat.read(DIRECTORY / "ko" / f"{name}.ipynb", as_version=4)
    assert [(cell.id, cell.cell_type) for cell in korean.cells] == [
        (cell.id, cell.cell_type) for cell in english.cells
    ]
    for here, there in zip(english.cells, korean.cells, strict=True):
        if here.cell_type == "markdown":
            assert re.search("[가-힣]", there.source), there.id
            pairs = zip(
                SOLUTIONS.findall(here.source), SOLUTIONS.findall(there.source), strict=True
            )
        else:
            pairs = [(here.source, there.source)]
        for sources in pairs:
            code, texts, _ = without_words(sources[0])
            korean_code, korean_texts, words = without_words(sources[1])
            assert korean_code == code, there.id
            if here.id == "settings":
                assert '"ko"' in there.source
            else:
                assert korean_texts <= texts, there.id
            english = {text for text in words if re.search("[a-z]{2,} [a-z]{2,}", text)}
            assert english <= {"counted by Keras", "receptive field"}  # names of columns


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
    assert not re.search(r"oneDNN|cuda|Fontconfig|retracing|Swig", shown)
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
def test_a_failing_cell_is_shown_and_what_ran_is_kept(tmp_path):
    """What ran is kept; below it, no output of an earlier run remains."""
    cells = [nbformat.v4.new_code_cell(source) for source in ("print('kept')", "1 / 0", "2")]
    cells[2].outputs = [nbformat.v4.new_output("stream", text="of an earlier run")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "failing.ipynb")
    finished = run("failing.ipynb", tmp_path)
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr
    executed = nbformat.read(tmp_path / "runs" / "failing.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "kept\n"
    assert executed.cells[2].outputs == []
    assert executed.cells[2].execution_count is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupt_says_how_to_resume(tmp_path):
    cell = nbformat.v4.new_code_cell("import time\nprint('started')\ntime.sleep(60)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "long.ipynb")
    process = subprocess.Popen(
        [sys.executable, str(DIRECTORY / "run.py"), "long.ipynb"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "started" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 1
    assert "KeyboardInterrupt" in errors
    assert "run the same command again" in errors
    executed = nbformat.read(tmp_path / "runs" / "long.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "started\n"
