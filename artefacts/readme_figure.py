"""Take the READMEs' pictures from the committed notebooks: ``make figure``."""

import base64
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
# Picture: notebook, and the cell that shows it.
PICTURES = {
    ROOT / "docs" / "prediction.png": ("fashion_cnn", "predict"),
    ROOT / "docs" / "layers.png": ("inside_the_cnn", "look"),
}
# The Korean README shows the same cells of the Korean edition.
PICTURES |= {
    path.parent / "ko" / path.name: (f"ko/{name}", cell_id)
    for path, (name, cell_id) in PICTURES.items()
}


def picture_in_notebook(name: str, cell_id: str) -> bytes:
    """Return the PNG that a cell shows."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    (cell,) = (cell for cell in cells if cell.id == cell_id)
    (output,) = (output for output in cell.outputs if "image/png" in output.get("data", {}))
    return base64.b64decode(output.data["image/png"])


if __name__ == "__main__":
    for path, place in PICTURES.items():
        path.write_bytes(picture_in_notebook(*place))
