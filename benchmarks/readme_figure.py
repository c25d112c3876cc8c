"""Take the README's picture from the committed notebook: ``make figure``."""

import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "fashion_cnn.ipynb"
CELL_ID = "predict"
FIGURE = ROOT / "docs" / "prediction.png"


def picture_in_notebook() -> bytes:
    """Return the PNG that the prediction cell shows."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (cell,) = (cell for cell in cells if cell.id == CELL_ID)
    (output,) = (output for output in cell.outputs if "image/png" in output.get("data", {}))
    return base64.b64decode(output.data["image/png"])


if __name__ == "__main__":
    FIGURE.write_bytes(picture_in_notebook())
