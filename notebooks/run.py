"""Run notebooks top to bottom in a real Jupyter kernel, showing what they print as they go.

``python notebooks/run.py notebooks/01_train.ipynb`` (or ``make notebook``) writes the executed
copy as ``runs/01_train.ipynb`` and ``runs/01_train.html`` under the current directory.
"""

import asyncio
import base64
import io
import os
import re
import signal
import sys
import time
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ClearOutputPreprocessor
from PIL import Image

DATA_DIR_VARIABLE = "FASHION_CNN_DATA_DIR"
# Text and pictures that fit a phone and do not sprawl on a desk.
STYLE = """
<style>
body.jp-Notebook {max-width: 60rem; margin: 0 auto; padding: 1rem}
.jp-InputPrompt, .jp-OutputPrompt {display: none}
.jp-OutputArea-output img, .jp-OutputArea-output svg {max-width: 100%; height: auto}
.jp-RenderedHTMLCommon, .jp-OutputArea-output {overflow-x: auto; overflow-wrap: break-word}
</style>
</head>"""


class ShowingClient(NotebookClient):
    """A notebook client that shows in the terminal what the cells print."""

    def output(
        self, outs: list[nbformat.NotebookNode], msg: dict, display_id: str | None, cell_index: int
    ) -> Any:
        """Record an output as usual, and show its text, unless it is a picture's."""
        content = msg["content"]
        data = content.get("data", {})
        is_picture = any(kind.startswith("image/") for kind in data)
        if "text" in content:
            print(content["text"], end="", flush=True)
        elif "text/plain" in data and not is_picture:
            print(data["text/plain"], flush=True)
        return super().output(outs, msg, display_id, cell_index)


def run(path: Path, output_dir: Path) -> None:
    """Execute a notebook and write the executed copy as .ipynb and .html.

    If a cell fails, both hold what ran until then, and no outputs of an earlier run.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook, _ = ClearOutputPreprocessor().preprocess(notebook, {})
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)

    def announce(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            number = sum(c.cell_type == "code" for c in notebook.cells[: cell_index + 1])
            first_line = cell.source.splitlines()[0] if cell.source else ""
            print(f"\n[{number}/{code_cells}] {first_line}", flush=True)

    def interrupt_cell_on_ctrl_c(notebook: nbformat.NotebookNode) -> None:
        # nbclient would shut the kernel down; a cell that is interrupted can say how to resume.
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
        extra_arguments=["--log-level=ERROR"],  # not that its messages stay on this machine
        on_notebook_start=interrupt_cell_on_ctrl_c,
        on_cell_start=announce,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    finally:
        shrink_pictures(notebook)
        output_dir.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, output_dir / path.name)
        page = output_dir / path.with_suffix(".html").name
        page.write_text(html_of(notebook), encoding="utf-8")


def shrink_pictures(notebook: nbformat.NotebookNode) -> None:
    """Store pictures with a palette of 256 colours, which takes a third of the space.

    One without an alternative text gets that of its cell, in a comment ``# alt: ...``.
    """
    for cell in notebook.cells:
        alt = re.search(r"^# alt: (.+)$", cell.source, re.MULTILINE)
        for output in cell.get("outputs", []):
            if "image/png" not in output.get("data", {}):
                continue
            if alt and "alt" not in output.metadata.get("image/png", {}):
                output.metadata["image/png"] = {"alt": alt[1]}
            with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
                if getattr(picture, "is_animated", False):
                    continue
                few_colors = picture.convert("RGB").quantize(
                    256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
                )
            file = io.BytesIO()
            few_colors.save(file, format="PNG", optimize=True)
            output.data["image/png"] = base64.b64encode(file.getvalue()).decode()


def html_of(notebook: nbformat.NotebookNode) -> str:
    """Return a notebook as a page that loads nothing from another host."""
    title = next(
        (cell.source.splitlines()[0].lstrip("# ") for cell in notebook.cells if cell.source), ""
    )
    language = "ko" if re.search("[가-힣]", title) else "en"
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="")
    html, _ = exporter.from_notebook_node(
        notebook, {"metadata": {"name": title, "language_code": language}}
    )
    # The template leaves out the alternative texts that the pictures carry.
    alts = (
        output.metadata[kind].get("alt", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
        if kind in output.metadata
    )
    no_alt = r'(?<=alt=")No description has been provided for this image(?=")'
    html = re.sub(no_alt, lambda _: escape(next(alts)), html)
    # What is left of scripts from other hosts: empty addresses, and MathJax's settings.
    html = re.sub(r"<script[^>]*>(?:(?!</script>).)*</script>", "", html, flags=re.DOTALL)
    return html.replace("</head>", STYLE, 1)


def main() -> None:
    """Run the notebooks named on the command line."""
    if os.environ.get(DATA_DIR_VARIABLE):
        # The kernel works in the notebook's directory; a relative path was meant from here.
        place = Path(os.environ[DATA_DIR_VARIABLE]).expanduser().absolute()
        os.environ[DATA_DIR_VARIABLE] = str(place)
    for path in map(Path, sys.argv[1:]):
        parts = path.parent.parts
        below = parts[parts.index("notebooks") + 1 :] if "notebooks" in parts else ()
        output_dir = Path("runs", *below)
        start = time.monotonic()
        print(f"Running {path}", flush=True)
        try:
            run(path, output_dir)
        except (CellExecutionError, DeadKernelError) as error:
            raise SystemExit(
                f"\n{path} stopped with an error:\n{error}\n"
                f"What ran is in {output_dir}. If you interrupted a training, run the same command "
                "again: it resumes after the last finished epoch."
            ) from None
        executed = output_dir / path.name
        seconds = time.monotonic() - start
        print(f"\nWrote {executed} and {executed.with_suffix('.html')} after {seconds:.0f} s.")


if __name__ == "__main__":
    main()
