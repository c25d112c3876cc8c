import ast
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta

import nbformat
import pytest
from conftest import ROOT, TINY_DIR

DIRECTORY = ROOT / "notebooks"
NOTEBOOKS = sorted(DIRECTORY.rglob("*.ipynb"))
IDS = [path.relative_to(DIRECTORY).with_suffix("").as_posix() for path in NOTEBOOKS]
LESSONS = [name for name in IDS if "/" not in name]
# For each lesson: the most cells and words, and lines that a learner finds on its page.
LIMITS = {
    "01_train": (50, 2_300, ["np.frombuffer(", "/ 255", "train_test_split(", "layers.Conv2D(32, 3",
                             "-np.log(p)", "model.compile(", "ModelCheckpoint(", "EarlyStopping(",
                             "model.fit(", "model.evaluate(", "fc.load_model(", "model.predict("]),
    "02_convolution": (35, 1_600, ["for row, column in", "layers.Conv2D(", "MaxPooling2D("]),
    "03_inside": (35, 1_800, ["keras.Model(", "LambdaCallback(", "np.ndindex(28, 28)"]),
    "04_experiments": (35, 1_800, ["fc.FAST", "fc.study(", "KeyboardInterrupt"]),
}  # fmt: skip
SOLUTIONS = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_picture(cell):
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return any(kind.startswith("image/") for kind in kinds)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_committed_notebook_is_one_run_on_the_real_data(path):
    """Its cells ran in order, and what they printed of their seconds fits the time they took."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000
    code_cells = code_of(notebook)
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    outputs = [output for cell in code_cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert "stand-in" not in json.dumps(outputs)
    times = [cell.metadata.execution for cell in code_cells]
    spans = [(t["iopub.status.busy"], t["iopub.status.idle"]) for t in times]
    spans = [tuple(map(datetime.fromisoformat, span)) for span in spans]
    moments = [moment for span in spans for moment in span]
    assert moments == sorted(moments)
    for cell, (start, end) in zip(code_cells, spans, strict=True):
        text = "".join(output.get("text", "") for output in cell.outputs)
        epochs = sum(int(seconds) for seconds in re.findall(r"- (\d+)s - ", text))
        assert epochs <= (end - start).total_seconds() + text.count("Epoch") + 1, cell.id
    assert moments[-1] - moments[0] < timedelta(minutes=15)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_lesson_is_short_and_its_lines_stand_on_the_page(path):
    notebook = nbformat.read(path, as_version=4)
    cells, words, lines = LIMITS[path.stem]
    assert len(notebook.cells) <= cells
    total = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.id.startswith(("quiz", "exercise")):
            count = len(re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL).split())
            assert count <= 130, cell.id
            total += count
    assert total <= words
    code = "\n".join(cell.source for cell in code_of(notebook))
    assert all(len(cell.source.splitlines()) <= 12 for cell in code_of(notebook))
    assert [line for line in lines if line not in code] == []
    names = set(re.findall(r"\bfc\.(?:inside\.)?\w+", code, re.ASCII)) - {"fc.inside"}
    assert len(names) <= 12, names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=IDS)
def test_pictures_have_an_alternative_text_and_words_follow_them(path):
    notebook = nbformat.read(path, as_version=4)
    for output in (output for cell in code_of(notebook) for output in cell.outputs):
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
    without_magic = re.sub(r"^( *)%.*$", r"\1pass", source, flags=re.MULTILINE)
    nodes = list(ast.walk(ast.parse(without_magic.replace(");", ")"))))
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    texts = {value for value in constants if isinstance(value, str)}
    others = [node for node in nodes if not isinstance(node, ast.Constant | ast.JoinedStr)]
    names = [getattr(node, "id", getattr(node, "attr", type(node).__name__)) for node in others]
    return Counter(names + [value for value in constants if value not in texts]), texts


@pytest.mark.parametrize("name", LESSONS)
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
            assert here.id != "setup" or '"ko"' in there.source
            words = {re.sub("`[^`]*`", "", text) for text in texts}
            in_english = {text for text in words if re.search("[a-z]{2,} [a-z]{2,}", text)}
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
@pytest.mark.parametrize("name", LESSONS)
def test_it_runs_on_the_stand_in_data(name, tmp_path):
    """Its hidden solutions too; its page says what it shows, and loads nothing from elsewhere."""
    notebook = nbformat.read(DIRECTORY / f"{name}.ipynb", as_version=4)
    hidden = SOLUTIONS.findall("\n".join(cell.source for cell in notebook.cells))
    notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in hidden]
    shutil.copytree(DIRECTORY / "drawings", tmp_path / "notebooks" / "drawings")
    nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
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
