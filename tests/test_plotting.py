import inspect
import re

import keras
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image
from sklearn.metrics import confusion_matrix

import fashion_cnn as fc


@pytest.fixture(autouse=True)
def _never_show(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: pytest.fail("show() was called"))


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


def test_plot_images_names_each_image(tiny):
    images, labels = tiny.test
    figure = fc.plot_images(images[:12], labels[:12])
    assert titles(figure)[:12] == [fc.CLASS_NAMES[label] for label in labels[:12]]
    for ax, image in zip(figure.axes, images, strict=False):
        if ax.images:
            np.testing.assert_array_equal(ax.images[0].get_array(), image[..., 0])
    assert sum(bool(ax.images) for ax in figure.axes) == 12


def test_plot_images_takes_a_figure_and_one_image_with_its_label(tiny):
    figure = plt.figure()
    assert fc.plot_images(tiny.test.images[0], 8, 6, 0.5, figure=figure) is figure
    assert titles(figure) == ["Bag\n✗ Shirt 50%"]
    with pytest.raises(ValueError, match=r"expected 3 confidences, got .* \(3, 10\)"):
        fc.plot_images(tiny.test.images[:3], [0, 1, 2], [0, 1, 2], np.eye(10)[:3])


def test_plot_history_shows_the_figures_and_the_best_epoch(trained):
    _, history, _ = trained
    records = history.history
    figure = fc.plot_history(history)
    best = int(np.argmin(records["val_loss"]))
    for ax, measure in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {line.get_label(): line for line in ax.get_lines()}
        np.testing.assert_array_equal(lines["train"].get_ydata(), records[measure])
        np.testing.assert_array_equal(lines["validation"].get_ydata(), records[f"val_{measure}"])
        epochs = np.arange(1, len(records["loss"]) + 1)
        np.testing.assert_array_equal(lines["train"].get_xdata(), epochs)
        (star,) = (line for label, line in lines.items() if label.startswith("best epoch"))
        assert star.get_xdata() == [best + 1]
        assert ax.get_xlabel() == "epoch"


LOSS, NAN = [3.0, 2.0, 2.5], float("nan")


@pytest.mark.parametrize(
    ("records", "best"),
    [
        ({"loss": LOSS}, None),
        ({"loss": LOSS, "accuracy": LOSS}, None),
        ({"loss": LOSS, "acc": LOSS, "val_loss": LOSS, "val_acc": LOSS}, 2),
        ({"loss": LOSS, "accuracy": LOSS, "val_loss": [1, 0.5, NAN], "val_accuracy": LOSS}, 2),
        ({"loss": LOSS, "accuracy": LOSS, "val_loss": [NAN] * 3, "val_accuracy": LOSS}, None),
        ({"learning_rate": LOSS, "loss": LOSS, "val_loss": [1, NAN, 0.5]}, 3),
    ],
)
def test_plot_history_of_other_runs(records, best):
    figure = fc.plot_history(records)
    has_accuracy = bool({"acc", "accuracy"} & set(records))
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"][: 1 + has_accuracy]
    for ax in figure.axes:
        words = [line.get_label() for line in ax.get_lines()]
        marked = [word.split()[2] for word in words if word.startswith("best epoch")]
        assert marked == ([] if best is None else [str(best)])
        assert ("validation" in words) == ("val_loss" in records)
    assert ("the best is epoch" in figure.get_label()) == (best is not None)


def test_one_epoch_is_a_dot_at_tick_one():
    (ax,) = fc.plot_history({"loss": [0.5], "val_loss": [0.4]}).axes
    low, high = ax.get_xlim()
    assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1]
    assert ax.get_lines()[0].get_marker() == "o"


@pytest.mark.parametrize("history", [None, {}, {"loss": []}, {"accuracy": [1.0]}, [0.5, 0.4]])
def test_plot_history_refuses(history):
    with pytest.raises(ValueError, match=r"expected what train or model\.fit returned, .*, got "):
        fc.plot_history(history)


BAG = fc.Prediction(8, "Bag", 0.82, np.array([0.02] * 8 + [0.82, 0.02], np.float32), 0.4)


@pytest.mark.parametrize(
    ("true_label", "title", "hatched"),
    [(None, "Bag, 82.0%", False), (8, "✓ Bag, 82.0%", False), (6, "✗ Bag, 82.0%", True)],
)
def test_plot_prediction(tiny, true_label, title, hatched):
    figure = fc.plot_prediction(tiny.test.images[0], BAG, true_label)
    image_ax, bar_ax = figure.axes
    assert image_ax.get_title().startswith(title)
    np.testing.assert_allclose([bar.get_width() for bar in bar_ax.patches], BAG.probabilities)
    # Each label stands at the middle of its own bar.
    bar_middles = [bar.get_y() + bar.get_height() / 2 for bar in bar_ax.patches]
    np.testing.assert_allclose(bar_ax.get_yticks(), bar_middles)
    names = [text.get_text() for text in bar_ax.get_yticklabels()]
    assert [name.removesuffix(" (true)") for name in names] == list(fc.CLASS_NAMES)
    assert [n for n, name in enumerate(names) if name.endswith("(true)")] == (
        [] if true_label is None else [true_label]
    )
    bar = bar_ax.patches[8]
    assert bool(bar.get_hatch()) == hatched == (bar.get_edgecolor() != bar.get_facecolor())


@pytest.mark.parametrize(
    ("true_label", "message"),
    [([0, 1], "one label"), (np.eye(10)[:1], "argmax"), (10, "from 0 to 9"), ("Bag", "integer")],
)
def test_plot_prediction_refuses_labels(tiny, true_label, message):
    with pytest.raises(ValueError, match=f"^expected the true label .*{message}"):
        fc.plot_prediction(tiny.test.images[0], BAG, true_label)


PLOTS = {name for name in [*dir(fc), *dir(fc.inside)] if name.startswith("plot_")}


@pytest.mark.parametrize("name", sorted(PLOTS - {"plot_model"}))
def test_every_plot_says_where_it_draws(name):
    plot = getattr(fc, name, None) or getattr(fc.inside, name)
    where = {"Axes": "ax", "Figure": "figure"}[plot.__annotations__["return"]]
    assert list(inspect.signature(plot).parameters)[-1] == where
    assert re.search(rf"(?s)Parameters\n.*    {where} : matplotlib.*Returns\n", plot.__doc__)


CELLS = {  # how many pictures it shows
    "import matplotlib.pyplot as plt, numpy as np, fashion_cnn as fc; image = np.eye(28)": 0,
    "fc.plot_images(image)": 1,
    "fc.plot_images(image); print()": 1,
    "fc.plot_confusion_matrix([0], [1])": 1,
    "for _ in range(3): fc.plot_images(image)": 3,
    "for _ in range(3): fc.plot_images(image); plt.show()": 3,
    "figure = fc.plot_images(image)\ndisplay(figure); print()": 1,
    "figure": 1,
}


@pytest.mark.slow
def test_a_notebook_shows_each_picture_once():
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    NotebookClient(notebook, kernel_name="python3").execute()
    for cell in notebook.cells:
        outputs = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(outputs) == CELLS[cell.source], cell.source
        assert all(output.metadata["image/png"]["alt"] for output in outputs)


def test_many_figures_do_not_warn(tiny):
    """They stay with pyplot, so that `plt.show()` shows them; other figures still warn."""
    figures = [fc.plot_images(tiny.test.images[0]) for _ in range(22)]
    assert [plt.figure(figure.number) for figure in figures] == figures
    for figure in figures[20:]:
        plt.close(figure)
    with pytest.warns(RuntimeWarning, match="More than 20 figures"):
        plt.figure()


def test_plot_confusion_matrix(trained, tiny):
    model, *_ = trained
    predicted_labels = model.predict(tiny.test.images, verbose=0).argmax(axis=1)
    ax = fc.plot_confusion_matrix(tiny.test.labels, predicted_labels)
    expected = confusion_matrix(tiny.test.labels, predicted_labels)
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(fc.CLASS_NAMES)
    assert [text.get_text() for text in ax.get_xticklabels()] == list(fc.CLASS_NAMES)
    given = Figure().subplots()
    assert fc.plot_confusion_matrix([0, 1], [0, 2], ax=given) is given
    np.testing.assert_array_equal(given.images[0].get_array().sum(), 2)
    with pytest.raises(ValueError, match="expected predicted labels from 0 to 9"):
        fc.plot_confusion_matrix([0, 1], [0, 11])


def test_plot_model_without_the_dot_program(tmp_path, monkeypatch):
    """Where no programs are found, only the Graphviz of the wheel can draw."""
    monkeypatch.setenv("PATH", "")
    graph = fc.plot_model(fc.build_cnn(), tmp_path / "model.svg")
    fc.plot_model(fc.build_cnn(), tmp_path / "model.png")
    content, details = graph._repr_mimebundle_()
    assert content["image/svg+xml"].startswith("<?xml")
    assert "conv2 (14, 14, 64)" in details["image/svg+xml"]["alt"]
    svg = (tmp_path / "model.svg").read_text()
    assert svg.count('class="node"') == 8
    text = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    for shape in ("28, 28, 1", "28, 28, 32", "14, 14, 32", "14, 14, 64", "7, 7, 64", "3136", "10"):
        assert f"(None, {shape})" in text
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.width > 1000  # sharp
        assert len(set(picture.convert("L").resize((200, 200)).tobytes())) > 10


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(10)

    def call(self, images):
        return self.dense(self.flatten(images))


def of_states():
    rows = keras.Input((28, 28))
    output, *_ = keras.layers.LSTM(3, return_state=True, name="lstm")(rows)
    return keras.Model(rows, keras.layers.Dense(10, name="dense")(output))


@pytest.mark.parametrize(
    ("make", "alt"), [(Subclassed, "flatten.*, dense"), (of_states, r"28\), lstm, dense \(10,\)")]
)
def test_plot_model_describes_any_model(make, alt):
    model = make()
    model(np.zeros((1, 28, 28)))
    content, details = fc.plot_model(model)._repr_mimebundle_()
    assert content["image/svg+xml"].startswith("<?xml")
    assert re.search(alt, details["image/svg+xml"]["alt"])
