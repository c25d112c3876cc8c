"""Draw the pictures of the READMEs and of the site's first page: ``make figure``.

They show the packaged network and the real data, in the colours of the live page.
"""

import io
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import fashion_cnn as fc

ROOT = Path(__file__).resolve().parents[1]
INK, POSITIVE, HERE = "#1e1b26", "#5b2a9d", "#00bfa5"  # of the live page
DARK = {INK: "#f0edf5", POSITIVE: "#bda6ff"}  # the same where the page is dark


def draw_prediction(image: Any, prediction: fc.Prediction, label: int) -> str:
    """Draw an image beside its probabilities, as SVG whose colours follow the page around it."""
    parts = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    ink: Any = dict.fromkeys(parts, INK)
    with plt.rc_context({**ink, "svg.hashsalt": "prediction"}):
        figure = fc.plot_prediction(image, prediction, label)
    picture, bars = figure.axes
    picture.add_patch(plt.Rectangle((-0.5, -0.5), 28, 28, fill=False, edgecolor=HERE, linewidth=4))
    for bar in bars.patches:
        bar.set(facecolor=POSITIVE, edgecolor=POSITIVE)
    style: Any = {"transparent": True, "bbox_inches": "tight", "metadata": {"Date": None}}
    figure.savefig(svg := io.StringIO(), format="svg", **style)
    text = svg.getvalue()
    for place, colour in enumerate(DARK):
        text = text.replace(colour, f"var(--colour-{place})")
    light, dark = (
        "".join(f"--colour-{place}: {colour}; " for place, colour in enumerate(colours))
        for colours in (DARK, DARK.values())
    )
    rules = f"svg {{ {light}}} @media (prefers-color-scheme: dark) {{ svg {{ {dark}}} }}"
    return text.replace("<defs>", f"<style>{rules}</style><defs>", 1)


if __name__ == "__main__":
    data, model = fc.load_fashion_mnist(), fc.load_model()
    bag, label = data.validation.images[0], int(data.validation.labels[0])
    boot = data.validation.images[data.validation.labels == 9][0]
    outputs = fc.inside.layer_outputs(model, boot)
    for language, directory in (("en", ROOT / "docs"), ("ko", ROOT / "docs" / "ko")):
        fc.use_language(language)
        svg = draw_prediction(bag, fc.predict(model, bag), label)
        (directory / "prediction.svg").write_text(svg, "utf-8")
        fc.inside.plot_layers(boot, outputs).savefig(directory / "layers.png", dpi=98)
