import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import nbformat
import numpy as np
import pytest
from conftest import ROOT, TINY_DIR

import fashion_cnn as fc

DIRECTORY = ROOT / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.rglob("*.ipynb"))
IDS = [path.relative_to(DIRECTORY).with_suffix("").as_posix() for path in NOTEBOOKS]
SOLUTIONS = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_picture(cell):
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return any(kind.startswith("image/") for kind in kinds)


def test_every_notebook_is_there_in_both_languages():
    assert IDS == ["fashion_cnn", "inside_the_cnn", "ko/fashion_cnn", "ko/inside_the_cnn"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_committed_notebook(path):
    """It is small, has the outputs of one complete run on the real data, and defines nothing."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000
    code_cells = code_of(notebook)
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    outputs = [output for cell in code_cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    text = json.dumps(outputs, ensure_ascii=False)
    assert "Fashion-MNIST (SHA-256 verified)" in text or "패션 MNIST(SHA-256으로 확인함)" in text
    assert "stand-in" not in text
    for output in outputs:
        if output.get("name") == "stderr":  # only the progress of a study
            assert re.fullmatch(r"(\s*study: .*seeds?(/s)?\])+\s*", output.text), output.text
    for output in outputs:
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                assert len(output.metadata[kind]["alt"]) >= 8, kind
    for cell in code_cells:
        assert len(cell.source.splitlines()) <= 12
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_every_picture_is_followed_by_words(path):
    """By text, or by a cell that prints what the picture shows."""
    cells = nbformat.read(path, as_version=4).cells
    pictures = [number for number, cell in enumerate(cells) if has_picture(cell)]
    assert len(pictures) >= 5
    for number in pictures:
        prints = any(output.output_type == "stream" for output in cells[number].outputs)
        follower = cells[number + 1]
        speaks = follower.cell_type == "markdown" or any(
            output.output_type == "stream" for output in follower.outputs
        )
        assert prints or speaks or has_picture(follower), cells[number].id


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


@pytest.mark.parametrize("name", ["fashion_cnn", "inside_the_cnn"])
def test_korean_edition_has_the_same_code(name):
    """The cells are the same, in the same order; only comments and words are Korean.

    Running the Korean edition too would only prove that the language changes nothing but words,
    which test_language.py checks for every picture.
    """
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


@pytest.mark.slow
def test_the_written_out_lines_do_what_the_package_does(tiny, tmp_path):
    """Run the Keras lines of the notebook on the stand-in data."""
    notebook = nbformat.read(DIRECTORY / "fashion_cnn.ipynb", as_version=4)
    source = {cell.id: cell.source for cell in notebook.cells}
    names = {"keras": keras, "layers": keras.layers, "fc": fc, "time": time}
    names |= {"data": tiny, "root": tmp_path}
    for cell in ("build", "compile", "train"):
        exec(source[cell], names)
    model, history = names["model"], names["history"]
    packaged = fc.build_cnn()
    written_out, ready_made = ([one.get_config() for one in m.layers] for m in (model, packaged))
    assert written_out == ready_made
    adam = [m.optimizer.get_config() | {"name": "adam"} for m in (model, packaged)]
    assert adam[0] == adam[1]
    assert model.loss == packaged.loss
    losses = history.history["val_loss"]
    assert len(losses) in (20, np.argmin(losses) + 1 + fc.BOOK.patience)
    validation = fc.evaluate(model, tiny.validation)
    assert validation.loss == pytest.approx(min(losses), rel=1e-3)
    assert fc.evaluate(fc.load_model(names["checkpoint"]), tiny.validation) == validation
    fc.train(packaged, tiny, fc.BOOK, checkpoint=tmp_path / "model.keras", seed=42, verbose=0)
    assert validation.accuracy == pytest.approx(
        fc.evaluate(packaged, tiny.validation).accuracy, abs=0.05
    )


def run_notebook(name, directory, *, solutions):
    """Run a notebook as `make notebook` does; return it, the finished process and the page.

    With `solutions`, the hidden solutions are appended as cells.
    """
    notebook = nbformat.read(DIRECTORY / f"{name}.ipynb", as_version=4)
    hidden = SOLUTIONS.findall("\n".join(cell.source for cell in notebook.cells))
    assert len(hidden) == 5
    if solutions:
        notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in hidden]
    (directory / "notebooks").mkdir()
    nbformat.write(notebook, directory / "notebooks" / f"{name}.ipynb")
    shutil.copytree(DIRECTORY / "drawings", directory / "notebooks" / "drawings")
    (directory / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "photos.png", directory / "docs")
    finished = subprocess.run(
        [sys.executable, str(DIRECTORY / "run.py"), f"notebooks/{name}.ipynb"],
        cwd=directory,
        env=os.environ | {"FASHION_CNN_DATA_DIR": str(TINY_DIR), "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    executed = nbformat.read(directory / "runs" / f"{name}.ipynb", as_version=4)
    assert all(cell.execution_count for cell in code_of(executed))
    html = (directory / "runs" / f"{name}.html").read_text("utf-8")
    return executed, finished, html


def check_page(html):
    """Check that the page has a title and described pictures, and loads nothing from elsewhere."""
    assert re.search(r"<title>\w.*\w\??</title>", html)
    pictures = re.findall(r"<img[^>]*>", html)
    assert len(pictures) >= 5
    for picture in pictures:
        assert re.search(r'src="data:', picture)
        alt = re.search(r'alt="([^"]*)"', picture)[1]
        assert len(alt) > 10
        assert "No description" not in alt
    assert "<script" not in html
    assert not re.search(r"<link[^>]*href=|@import|url\(['\"]?https?:", html)


@pytest.mark.slow
def test_the_tutorial_runs_on_the_stand_in_data(tmp_path):
    executed, finished, html = run_notebook("fashion_cnn", tmp_path, solutions=True)
    check_page(html)
    check_training_and_report(executed, finished.stdout, html)
    # No notes about the machine are shown, and the model is not saved as a real one.
    assert not re.search(
        r"oneDNN|cuda|Fontconfig|retracing|Swig", finished.stdout + finished.stderr
    )
    assert not (tmp_path / "best-cnn-model.keras").exists()
    assert fc.load_model(tmp_path / "stand-in-model.keras").count_params() == 333_526
    assert fc.load_model(tmp_path / "own.keras").name.endswith("trained_on_stand_in_data")


@pytest.mark.slow
def test_the_look_inside_runs_on_the_stand_in_data(tmp_path):
    *_, html = run_notebook("inside_the_cnn", tmp_path, solutions=True)
    check_page(html)


def check_training_and_report(executed, shown, html):
    """Check that training shows its progress, and that the report is shown once."""
    assert re.search(r"Epoch 1/20\n.*25/25", shown, re.DOTALL)
    assert shown.count("stand-in data: means nothing") == 8  # rows
    # The saved progress bar is one line an epoch, without what it overwrote.
    printed = "".join(
        output.text
        for cell in code_of(executed)
        if cell.id == "train"
        for output in cell.outputs
        if output.output_type == "stream"
    )
    epochs = len(re.findall(r"^Epoch \d+/20$", printed, re.MULTILINE))
    assert epochs >= 3
    assert len(printed.splitlines()) == 2 * epochs
    assert not re.search("[\b\r]", printed)
    assert "data:image/svg+xml" in html
    assert "steps per epoch" in html


@pytest.mark.slow
def test_a_failing_cell_is_shown_and_what_ran_is_kept(tmp_path):
    """What ran is kept; below it, no output of an earlier run remains."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in ("print('kept')", "1 / 0", "2")]
    )
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="of an earlier run")]
    notebook.cells[2].execution_count = 3
    nbformat.write(notebook, tmp_path / "failing.ipynb")
    finished = subprocess.run(
        [sys.executable, str(ROOT / "notebooks" / "run.py"), "failing.ipynb"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr
    executed = nbformat.read(tmp_path / "runs" / "failing.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "kept\n"
    assert executed.cells[2].outputs == []
    assert executed.cells[2].execution_count is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupt_says_how_to_resume(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import time\nprint('started')\ntime.sleep(60)")]
    )
    nbformat.write(notebook, tmp_path / "long.ipynb")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "notebooks" / "run.py"), "long.ipynb"],
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
