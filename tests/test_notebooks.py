import json
import os
import re
import signal
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT, TINY_DIR

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook(path):
    """Small, with the outputs of one whole run on the real data, and without definitions."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code_cells] == list(range(1, len(code_cells) + 1))
    outputs = [output for cell in code_cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    text = json.dumps(outputs)
    assert "Fashion-MNIST (SHA-256 verified)" in text
    assert "stand-in" not in text
    for cell in code_cells:
        assert len(cell.source.splitlines()) <= 12
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_on_the_stand_in_data(path, tmp_path):
    """As `make notebook DATA_DIR=data/tiny` runs it, in a real kernel."""
    environment = os.environ | {"FASHION_CNN_DATA_DIR": str(TINY_DIR), "PYTHONWARNINGS": ""}
    copy = tmp_path / "notebooks" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    finished = subprocess.run(
        [sys.executable, str(ROOT / "notebooks" / "run.py"), str(copy)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    # It shows the progress of the training, and ends with the report.
    assert re.search(r"Epoch 1/20\n.*25/25", finished.stdout, re.DOTALL)
    assert "Reproduction report" in finished.stdout.split("Wrote ")[-1]
    executed = nbformat.read(tmp_path / "runs" / path.name, as_version=4)
    code_cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code_cells)
    # The saved progress bar is one line an epoch, without what it overwrote.
    printed = "".join(
        output.text
        for cell in code_cells
        if "fc.train" in cell.source
        for output in cell.outputs
        if output.output_type == "stream"
    )
    epochs = len(re.findall(r"^Epoch \d+/20$", printed, re.MULTILINE))
    assert epochs >= 3
    assert len(printed.splitlines()) == 2 * epochs
    assert not re.search("[\b\r]", printed)
    html = (tmp_path / "runs" / path.with_suffix(".html").name).read_text("utf-8")
    assert html.count("<img") >= 5
    assert "data:image/svg+xml" in html
    assert "Reproduction report" in html


def test_a_failing_cell_is_shown_and_what_ran_is_kept(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in ("print('kept')", "1 / 0", "2")]
    )
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_interrupt_says_how_to_go_on(tmp_path):
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
