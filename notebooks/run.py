"""Run notebooks top to bottom in a real Jupyter kernel, showing what they print as they go.

``python notebooks/run.py notebooks/fashion_cnn.ipynb`` (or ``make notebook``) writes the executed
copy as ``runs/fashion_cnn.ipynb`` and ``runs/fashion_cnn.html`` under the current directory, and
ends by printing what the cell tagged ``report`` shows.
"""

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter

# Notes of TensorFlow's and Graphviz's C++ parts about the machine, which no setting turns off.
MACHINE_NOTES = re.compile(
    r"^(?:[IWE]0000 .*|WARNING: All log messages before absl.*|To enable the following "
    r"instructions: .*|Fontconfig warning: .*)\n",
    re.MULTILINE,
)


class ShowingClient(NotebookClient):
    """A notebook client that shows in the terminal what the cells print."""

    def output(
        self, outs: list[nbformat.NotebookNode], msg: dict, display_id: str | None, cell_index: int
    ) -> Any:
        """Record an output as usual, without notes about the machine, and show its text."""
        content = msg["content"]
        if msg["msg_type"] == "stream" and content["name"] == "stderr":
            content["text"] = MACHINE_NOTES.sub("", content["text"])
            if not content["text"]:
                return None
        print(_text(content), end="", flush=True)
        return super().output(outs, msg, display_id, cell_index)


def run(path: Path, output_dir: Path) -> nbformat.NotebookNode:
    """Execute a notebook and write the executed copy as .ipynb and .html.

    Both are written as far as the run came when a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)

    def announce(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            number = sum(c.cell_type == "code" for c in notebook.cells[: cell_index + 1])
            first_line = cell.source.splitlines()[0] if cell.source else ""
            print(f"\n[{number}/{code_cells}] {first_line}", flush=True)

    def interrupt_cell_on_ctrl_c(notebook: nbformat.NotebookNode) -> None:
        # nbclient would shut the kernel down; a cell that is interrupted can say how to go on.
        if os.name == "posix":
            kernel: Any = client.km
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGINT, lambda: asyncio.ensure_future(kernel.interrupt_kernel())
            )

    client = ShowingClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        coalesce_streams=True,
        on_notebook_start=interrupt_cell_on_ctrl_c,
        on_cell_start=announce,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    finally:
        output_dir.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, output_dir / path.name)
        html, _ = HTMLExporter().from_notebook_node(notebook)
        (output_dir / path.with_suffix(".html").name).write_text(html, encoding="utf-8")
    return notebook


def report_of(notebook: nbformat.NotebookNode) -> str:
    """Return the text of the cells tagged ``report``."""
    return "\n".join(
        _text(output)
        for cell in notebook.cells
        if "report" in cell.metadata.get("tags", [])
        for output in cell.outputs
    )


def _text(output: dict) -> str:
    """Return what of an output a terminal can show."""
    if "text" in output:
        return output["text"]
    plain = output.get("data", {}).get("text/plain")
    return f"{plain}\n" if plain else ""


def main() -> None:
    """Run the notebooks named on the command line."""
    variable = "FASHION_CNN_DATA_DIR"
    if os.environ.get(variable):
        # The kernel works in the notebook's directory, the path was meant from here.
        os.environ[variable] = str(Path(os.environ[variable]).expanduser().absolute())
    for path in map(Path, sys.argv[1:]):
        parts = path.parent.parts
        below = parts[parts.index("notebooks") + 1 :] if "notebooks" in parts else ()
        output_dir = Path("runs", *below)
        start = time.monotonic()
        print(f"Running {path}", flush=True)
        try:
            notebook = run(path, output_dir)
        except (CellExecutionError, DeadKernelError) as error:
            raise SystemExit(
                f"\n{path} stopped with an error:\n{error}\n"
                f"What ran is in {output_dir}. If you cut off a training, run the same command "
                "again: it goes on after the last finished epoch."
            ) from None
        executed = output_dir / path.name
        print(f"\nWrote {executed} and {executed.with_suffix('.html')}", end=" ")
        print(f"after {time.monotonic() - start:.0f} s.\n\n{report_of(notebook)}", flush=True)


if __name__ == "__main__":
    main()
