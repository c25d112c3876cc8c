"""A web page over `predict`: what the network says of a picture, and how it comes to it.

Needs the extra ``[demo]``, which brings Gradio. The page listens on this machine only, unless told
otherwise, sends nothing anywhere and loads nothing from another host.
"""

import base64
import io
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import keras
import matplotlib as mpl
import numpy as np
from gradio.data_classes import ImageData
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from fashion_cnn.checkpoint import load_model
from fashion_cnn.data import (
    CLASS_NAMES,
    DatasetError,
    NotAvailableError,
    Split,
    data_source,
    load_fashion_mnist,
)
from fashion_cnn.explain import layer_outputs, occlusion_map
from fashion_cnn.language import CLASS_NAMES_KO
from fashion_cnn.model import build_cnn
from fashion_cnn.photo import PhotoSteps, photo_steps
from fashion_cnn.plotting import side_by_side
from fashion_cnn.prediction import evaluate, predict
from fashion_cnn.report import save_history
from fashion_cnn.training import FAST, state_path_of, train
from fashion_cnn.unlikeness import (
    WARNED_OF_FASHION_MNIST,
    WARNED_OF_OTHER_THINGS,
    UnlikeDataWarning,
    unlikeness,
)

NAMES = [f"{name} · {korean}" for name, korean in zip(CLASS_NAMES, CLASS_NAMES_KO, strict=True)]
MOST_UPLOAD = "50mb"
SYSTEM_FONTS = ("system-ui", "sans-serif")  # the visitor's, which have the visitor's letters
CANVAS_SIDE = 280  # pixels of the drawing
PREVIEW_SIDE = 192  # pixels of a preparation step, at most
STEPS = {
    "upright": "upright",
    "grey": "light on dark",
    "trimmed": "trimmed",
    "resized": "shrunk to 28 pixels",
    "sharpened": "sharpened",
    "centred": "centred: this is what the network sees",
}
LAYERS = {
    "conv1": "the first filters find edges and surfaces",
    "pool1": "of every 2×2 cells the largest stays",
    "conv2": "filters over those maps find parts",
    "pool2": "again the largest of 2×2",
    "hidden": "what the network makes of all the maps",
}
STYLE = """
.figures {display: flex; flex-wrap: wrap; gap: 1rem}
.figures figure {margin: 0; width: 8rem}
.figures.large figure {width: 17.5rem; max-width: 100%}
.figures img {width: 100%; image-rendering: pixelated}
.figures figcaption {font-size: 0.9rem; line-height: 1.3}
#examples .grid-container {grid-template-columns: repeat(5, minmax(0, 1fr))}
#examples, #examples .grid-wrap {min-height: 0}
#examples .caption-label {display: none}
#answer .html-container, #steps .html-container, #looked .html-container,
#layers .html-container {padding: 0}
.answer {font-size: 1.4rem; margin: 0}
.careful {border-left: 0.3rem solid #d97706; padding-left: 0.7rem; margin: 0.5rem 0 0}
"""
LOOKED = "<h2>Where the network looked</h2>"
# Screen readers say what changes here.
ANNOUNCE = "() => document.getElementById('answer')?.setAttribute('role', 'status')"
Answer = tuple[Any, Any, Any, Any, Any]  # answer, probabilities, steps, layers, where it looked
NO_ANSWER: Answer = ("<p>The answer will stand here.</p>", None, "", "", "")


def serve(
    checkpoint: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None,
    host: str,
    port: int,
    on_start: Callable[[str], object],
) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    checkpoint : path
        The saved model. If there is none, the page offers to train one and to save it there.
    data_dir : path, optional
        As for `load_fashion_mnist`; for the test images and for the training.
    host, port : str, int
        Where to listen.
    on_start : callable
        Called with the address of the page once it answers.

    Raises
    ------
    ValueError
        If the checkpoint is not a model of `build_cnn`'s architecture.
    OSError
        If the port is taken.
    """
    # Gradio sums all its events up after each one, for a page that is not served here.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
    # It also asks its own page whether it answers, in which no proxy has a part.
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, [no_proxy, "localhost", "127.0.0.1", host]))
    # By default all servers share a folder for their pictures, and the end of one empties it.
    with tempfile.TemporaryDirectory(prefix="fashion-cnn-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        demo = Demo(checkpoint, data_dir)
        page = demo.page()
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                ssr_mode=False,
                prevent_thread_lock=True,
                quiet=True,
                enable_monitoring=False,
                footer_links=[],
                max_file_size=MOST_UPLOAD,
                css=STYLE,
                theme=gr.themes.Default(
                    primary_hue="blue",  # white on it can be read
                    font=SYSTEM_FONTS,
                    font_mono=SYSTEM_FONTS,
                ),
            )
        except OSError as error:
            raise OSError(
                f"the page cannot listen on {host}, port {port}, which may be taken; "
                "choose another port, or another host"
            ) from error
        try:
            on_start(url)
            threading.Event().wait()
        except KeyboardInterrupt:
            demo.is_closing.set()
        finally:
            page.close(verbose=False)


class Demo:
    """What the page shows and knows: one network, and the test images where the data set is.

    Attributes
    ----------
    model : keras.Sequential or None
        The network, once there is one.
    is_closing : threading.Event
        Set when the server ends; a training under way then stops, and can be gone on with.
    """

    def __init__(
        self, checkpoint: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None
    ) -> None:
        self.checkpoint = Path(checkpoint).expanduser()
        self.data_dir = data_dir
        self.is_closing = threading.Event()
        self.model: keras.Sequential | None = None
        self.test: Split | None = None
        if self.checkpoint.exists():
            self._open()
        try:
            data_source(data_dir)
            self.test = load_fashion_mnist(data_dir).test
        except DatasetError as error:
            self.no_data = str(error)

    def _open(self) -> None:
        """Load the network and use it once, so that no visitor waits for that."""
        self.model = load_model(self.checkpoint)
        noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        steps = photo_steps(noise)
        for _ in self._answers(steps.centred, _steps(steps)):
            pass

    def page(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(
            title="fashion-cnn", analytics_enabled=False, delete_cache=(3600, 3600)
        ) as page:
            gr.Markdown(
                "# What is it?\n"
                "A small network tells ten kinds of clothes apart. Give it a picture of one "
                "garment on a plain background (shoes: toe to the left) and see how it decides. "
                "Nothing you give it leaves this machine."
            )
            with gr.Column(visible=self.model is None) as no_network:
                gr.Markdown(
                    f"## There is no trained network yet\nNone was found at `{self.checkpoint}`. "
                    "Training one with the recipe FAST takes up to a minute on two cores; the data "
                    "set, 30 MB, is downloaded first if it is not here."
                )
                training = gr.Button("Train a network now", variant="primary")
            training_status = gr.HTML(elem_id="training", min_height=40, visible=self.model is None)
            with gr.Column(visible=self.model is not None) as network:
                if self.model is not None and state_path_of(self.checkpoint).exists():
                    gr.Markdown(
                        "The training of this network was cut off. To go on with it, end the page "
                        "and run `fashion-cnn train` with the same recipe and checkpoint."
                    )
                with gr.Row():
                    with gr.Column():
                        inputs = _tabs()
                    with gr.Column():
                        answer = gr.HTML(NO_ANSWER[0], elem_id="answer")
                        bars = gr.Label(
                            label="Probabilities", num_top_classes=10, show_heading=False
                        )
                steps = gr.HTML(elem_id="steps")
                looked = gr.HTML(elem_id="looked")
                layers = gr.HTML(elem_id="layers")

            outputs = [answer, bars, steps, layers, looked]
            # One after another: they share the network and the cores.
            in_turn: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "network"}
            quiet: dict[str, Any] = {
                "show_progress": "hidden",
                "outputs": outputs,
                "trigger_mode": "multiple",  # who goes on before the end is answered, too
                **in_turn,
            }
            inputs.photo.upload(self.of_photo, inputs.photo, api_name="predict", **quiet)
            inputs.photo.clear(lambda: NO_ANSWER, None, api_visibility="private", **quiet)
            inputs.drawing.change(
                self.of_drawing,
                inputs.drawing,
                api_visibility="private",
                **{**quiet, "trigger_mode": "always_last"},  # not every stroke
            )
            inputs.gallery.select(self.of_example, None, api_visibility="private", **quiet)
            gr.on(
                [inputs.show.click, inputs.number.submit],
                self.of_test_image,
                inputs.number,
                api_visibility="private",
                **quiet,
            )
            whats_there: dict[str, Any] = {
                "fn": self.whats_there,
                "outputs": [
                    *(no_network, training, training_status, network),
                    *(inputs.about_test, inputs.gallery, inputs.number, inputs.show),
                ],
                "show_progress": "hidden",
                "api_visibility": "private",
            }
            page.load(**whats_there).then(None, js=ANNOUNCE)
            training.click(
                lambda: gr.update(interactive=False), None, training, api_visibility="private"
            ).then(self.train, None, training_status, api_visibility="private", **in_turn).then(
                **whats_there
            ).then(None, js=ANNOUNCE)
        return page

    def whats_there(self) -> list[Any]:
        """Show what can be used: the offer to train or the network, and the test images."""
        ready = self.model is not None
        has_test = self.test is not None
        return [
            gr.update(visible=not ready),
            gr.update(interactive=True),
            gr.update(visible=not ready),
            gr.update(visible=ready),
            ""
            if has_test
            else f"There are no test images: {self.no_data} Fetch them with "
            "`fashion-cnn data --fetch` and start the page again.",
            gr.update(visible=has_test, value=self._examples() if has_test else None),
            gr.update(visible=has_test),
            gr.update(visible=has_test),
        ]

    def _example_numbers(self) -> NDArray[np.int64]:
        """Return the number of the first test image of each class."""
        assert self.test is not None
        return np.unique(self.test.labels, return_index=True)[1]

    def _examples(self) -> list[tuple[Image.Image, str]]:
        assert self.test is not None
        return [
            (
                Image.fromarray(_bytes(self.test.images[index, ..., 0])).resize(
                    (112, 112), Image.Resampling.NEAREST
                ),
                NAMES[self.test.labels[index]],
            )
            for index in self._example_numbers()
        ]

    def train(self, progress: gr.Progress = gr.Progress()) -> str:  # noqa: B008 (Gradio's way)
        """Train a network, unless another visitor just has, and use it from then on."""
        if self.model is not None:
            return ""
        try:
            progress(0, desc="Reading the data set")
            data = load_fashion_mnist(self.data_dir)
            model = build_cnn()
            start = time.monotonic()
            history = train(
                model,
                data,
                FAST,
                checkpoint=self.checkpoint,
                callbacks=[_Progress(progress, self.is_closing)],
                verbose=0,
            )
            save_history(history, self.checkpoint)
            self.test = data.test
            self._open()
        except NotAvailableError as error:
            return (
                f"<p class='careful'>{escape(error.summary)} Connect this machine to the internet "
                "and try again, or put the four files there.</p>"
            )
        except (DatasetError, OSError, ValueError, KeyboardInterrupt) as error:
            return f"<p class='careful'>{escape(str(error))}</p>"
        accuracy = evaluate(model, data.validation).accuracy
        gr.Info(f"Trained in {time.monotonic() - start:.0f} s; validation accuracy {accuracy:.4f}")
        return ""

    def of_photo(self, path: str | None) -> Iterator[Answer]:
        """Answer an uploaded file."""
        if path is None:
            yield NO_ANSWER
            return
        yield from self._of(path, name=Path(path).name)

    def of_drawing(self, editor: dict[str, Any] | None) -> Iterator[Answer]:
        """Answer a drawing, once there is one."""
        if editor is None or editor["composite"] is None or not editor["composite"][..., 3].any():
            yield NO_ANSWER
            return
        yield from self._of(editor["composite"])

    def of_example(self, event: gr.SelectData) -> Iterator[Answer]:
        """Answer one of the pictured test images."""
        yield from self.of_test_image(self._example_numbers()[event.index])

    def of_test_image(self, number: float | None) -> Iterator[Answer]:
        """Answer an image of the test split, and say whether the answer is right."""
        assert self.test is not None
        if number is None or number not in range(len(self.test.labels)):
            yield _refusal(f"expected a whole number from 0 to {len(self.test.labels) - 1:,}")
            return
        number = int(number)
        image, true_label = self.test.images[number], int(self.test.labels[number])
        yield from self._answers(image, _test_image(number, image), true_label)

    def _of(self, photo: str | ArrayLike, *, name: str = "") -> Iterator[Answer]:
        try:
            steps = photo_steps(photo)
        except (OSError, ValueError) as error:
            yield _refusal(str(error).replace(str(photo), name) if name else str(error))
            return
        yield from self._answers(steps.centred, _steps(steps))

    def _answers(
        self, image: NDArray[np.float32], origin: str, true_label: int | None = None
    ) -> Iterator[Answer]:
        """Give the answer at once, then how it came about, the slowest part last."""
        if self.model is None:
            yield _refusal("there is no trained network yet")
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnlikeDataWarning)  # said in other words
            prediction = predict(self.model, image)
        label = prediction.label
        (measure,) = unlikeness(image[np.newaxis])
        yield (
            _answer(label, prediction.probability, measure, true_label),
            dict(zip(NAMES, prediction.probabilities.tolist(), strict=True)),
            *[gr.skip()] * 3,
        )
        yield (
            *[gr.skip()] * 2,
            origin,
            _layers(layer_outputs(self.model, image)),
            f"{LOOKED}<p>Covering the picture, patch by patch …</p>",
        )
        drops = occlusion_map(self.model, image, label)
        yield (*[gr.skip()] * 4, _looked(image, drops, label))


class _Inputs(NamedTuple):
    """What a visitor can give a picture with, or choose one."""

    photo: gr.Image
    drawing: gr.ImageEditor
    about_test: gr.Markdown
    gallery: gr.Gallery
    number: gr.Number
    show: gr.Button


def _tabs() -> _Inputs:
    """Lay the three ways to a picture out, a tab each."""
    with gr.Tab("Picture"):
        photo = gr.Image(
            label="A picture: drop, paste or choose one",
            sources=["upload", "clipboard"],
            buttons=[],
            height=320,
        )
        # Gradio would open the file: photo_steps does, within its limits.
        photo.preprocess = _path_of  # type: ignore[assignment,method-assign]
    with gr.Tab("Draw"):
        gr.Markdown("Take the brush and fill the shape, like a silhouette.")
        drawing = gr.Sketchpad(
            label="A drawing",
            type="numpy",
            canvas_size=(CANVAS_SIDE, CANVAS_SIDE),
            brush=gr.Brush(default_size=20, colors=["#000000", "#777777"], color_mode="fixed"),
            sources=(),
            transforms=(),
            layers=False,
            buttons=[],
        )
    with gr.Tab("Test image"):
        about_test = gr.Markdown()
        gallery = gr.Gallery(
            label="The first test image of each class",
            show_label=False,
            elem_id="examples",
            columns=5,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            buttons=[],
        )
        number = gr.Number(0, label="Or its number in the test split", step=1)
        show = gr.Button("Show this test image")
    return _Inputs(photo, drawing, about_test, gallery, number, show)


class _Progress(keras.callbacks.Callback):
    """Show a training on the page; end it when the server ends."""

    def __init__(self, progress: gr.Progress, is_closing: threading.Event) -> None:
        super().__init__()
        self.progress = progress
        self.is_closing = is_closing
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.is_closing.is_set():
            raise KeyboardInterrupt
        epochs, steps = self.params["epochs"], self.params["steps"]
        done = (self.epoch + (batch + 1) / steps) / epochs
        self.progress(done, desc=f"Training: epoch {self.epoch + 1} of {epochs}")


def _path_of(upload: ImageData | None) -> str | None:
    return upload.path if upload else None


def _refusal(message: str) -> Answer:
    return f"<p class='careful'>This cannot be used: {escape(message)}.</p>", None, "", "", ""


def _answer(label: int, probability: float, measure: float, true_label: int | None) -> str:
    parts = [f"<p class='answer'><strong>{NAMES[label]}</strong>, {probability:.1%}</p>"]
    if true_label is not None:
        verdict = "✓ right" if label == true_label else f"✗ wrong: it is {NAMES[true_label]}"
        parts.append(f"<p>{verdict}</p>")
    if measure > 1:
        parts.append(
            "<p class='careful'><strong>Do not rely on this.</strong> The picture is unlike the "
            f"clothes that the network has learned from (unlikeness {measure:.1f}; of the data "
            f"set's images about {WARNED_OF_FASHION_MNIST} in 100 is above 1, of other pictures "
            f"about {WARNED_OF_OTHER_THINGS} in 100).</p>"
        )
    return "".join(parts)


def _steps(steps: PhotoSteps) -> str:
    figures = []
    for name, image in steps._asdict().items():
        height, width = image.shape[:2]
        preview = Image.fromarray(_bytes(np.squeeze(image)))
        preview.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        figures.append(_figure(preview, f"{STEPS[name]}, {width}×{height}", STEPS[name]))
    return f"<h2>How the picture was prepared</h2>{_figures(figures)}"


def _test_image(number: int, image: NDArray[np.float32]) -> str:
    picture = Image.fromarray(_bytes(image[..., 0]))
    figure = _figure(picture, "what the network sees, 28×28", f"test image {number}")
    return f"<h2>Test image {number:,}</h2>{_figures([figure])}"


def _layers(outputs: dict[str, NDArray[np.float32]]) -> str:
    figures = []
    for name, words in LAYERS.items():
        output = outputs[name][0]
        size = "×".join(map(str, output.shape))
        what = f"{output.shape[-1]} {'feature maps' if output.ndim == 3 else 'numbers'}"
        figures.append(
            _figure(
                _colored(side_by_side(output), "viridis", 0, output.max()),
                f"<strong>{name}</strong>, {size}: {words}",
                f"{what} of layer {name}",
            )
        )
    return f"<h2>Layer by layer</h2>{_figures(figures, large=True)}"


def _looked(image: NDArray[np.float32], drops: NDArray[np.float32], label: int) -> str:
    row, column = np.unravel_index(drops.argmax(), drops.shape)
    place = _place(int(row), int(column))
    largest = float(np.abs(drops).max())
    summary = (
        f"A black patch of 7×7 pixels was laid on every place. At the {place} it lowers the "
        f"probability of {NAMES[label]} most, by {100 * drops.max():.0f} percentage points."
        if drops.max() >= 0.005
        else "A black patch of 7×7 pixels, wherever it is laid, hardly changes the probability of "
        f"{NAMES[label]}."
    )
    colors = _colored(drops, "PuOr_r", -largest, largest).convert("RGB")
    grey = Image.fromarray(_bytes(image[..., 0])).convert("RGB")
    figures = [
        _figure(grey, "what the network sees", "the prepared picture"),
        _figure(
            Image.blend(colors, grey, 0.35),
            "orange: hiding it makes the network less sure; violet: surer",
            summary,
        ),
    ]
    return f"{LOOKED}<p>{summary}</p>{_figures(figures, large=True)}"


def _place(row: int, column: int) -> str:
    """Name a pixel's place in the picture."""
    vertical = ("top", "middle", "bottom")[row * 3 // 28]
    horizontal = ("left", "middle", "right")[column * 3 // 28]
    return vertical if vertical == horizontal else f"{vertical} {horizontal}"


def _bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return grey or RGB values in [0, 1] as bytes."""
    return np.rint(image * 255).astype(np.uint8)


def _colored(values: NDArray[np.floating[Any]], cmap: str, low: float, high: float) -> Image.Image:
    """Colour values between low and high; where there are none (NaN), the picture is clear."""
    norm = mpl.colors.Normalize(low, max(high, low + 1e-9))
    return Image.fromarray(mpl.colormaps[cmap](norm(np.ma.masked_invalid(values)), bytes=True))


def _figure(image: Image.Image, caption: str, alt: str) -> str:
    with io.BytesIO() as file:
        image.save(file, "PNG", compress_level=1)  # it need not travel far
        content = base64.b64encode(file.getvalue()).decode()
    return (
        f"<figure><img src='data:image/png;base64,{content}' alt='{escape(alt)}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _figures(figures: list[str], *, large: bool = False) -> str:
    return f"<div class='figures{' large' if large else ''}'>{''.join(figures)}</div>"
