"""Make the pictures of the READMEs and of the site's first page: ``make figure``.

One is taken from the committed lessons; the other is drawn, with the packaged network and the real
data.
"""

import base64
from pathlib import Path

import nbformat

import fashion_cnn as fc

ROOT = Path(__file__).resolve().parents[1]
# Picture: lesson, and the cell that shows it.
PICTURES = {
    ROOT / "docs" / "prediction.png": ("01_train", "plot-prediction"),
    ROOT / "docs" / "ko" / "prediction.png": ("ko/01_train", "plot-prediction"),
}


def picture_in_notebook(name: str, cell_id: str) -> bytes:
    """Return the PNG that a cell shows."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    (cell,) = (cell for cell in cells if cell.id == cell_id)
    (output,) = (output for output in cell.outputs if "image/png" in output.get("data", {}))
    return base64.b64decode(output.data["image/png"])


def draw_layers() -> None:
    """Draw one image passing through all layers, in both languages."""
    data, model = fc.load_fashion_mnist(), fc.load_model()
    boot = data.validation.images[data.validation.labels == 9][0]
    outputs = fc.inside.layer_outputs(model, boot)
    for language, directory in (("en", "docs"), ("ko", "docs/ko")):
        fc.use_language(language)
        figure = fc.inside.plot_layers(boot, outputs)
        figure.savefig(ROOT / directory / "layers.png", dpi=98)


if __name__ == "__main__":
    for path, place in PICTURES.items():
        path.write_bytes(picture_in_notebook(*place))
    draw_layers()
