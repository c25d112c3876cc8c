"""A web page for `predict`: what the network says about a picture, and how it arrives there.

It needs the ``[demo]`` extra, which installs Gradio. Unless told otherwise, the page listens only
on this machine; it sends nothing anywhere and loads nothing from another host.
"""

import base64
import functools
import io
import ipaddress
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import numpy as np
from gradio.components.image_editor import EditorData
from gradio.data_classes import ImageData
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fashion_cnn.data import DatasetError, data_source, load_fashion_mnist
from fashion_cnn.images import CLASS_NAMES, Split
from fashion_cnn.inside.layers import layer_outputs, occlusion_map
from fashion_cnn.inside.pictures import plot_layers, plot_occlusion
from fashion_cnn.language import translated
from fashion_cnn.model import is_trained_on_stand_in, load_model
from fashion_cnn.photo import PhotoSteps, photo_steps, plot_photo_steps
from fashion_cnn.plotting import plot_images
from fashion_cnn.prediction import predict

NAMES = [f"{name} · {translated(name, 'ko')}" for name in CLASS_NAMES]
MOST_UPLOAD = "50mb"
SYSTEM_FONTS = ("system-ui", "sans-serif")  # the visitor's, which have the visitor's letters
CANVAS_SIDE = 280  # pixels of the drawing
DPI = 80  # of the pictures, which are drawn while a visitor waits
STYLE = """
#steps img, #layers img {width: 100%; max-width: 60rem}
#looked img {width: 100%; max-width: 36rem}
#examples .grid-container {grid-template-columns: repeat(5, minmax(0, 1fr))}
#examples, #examples .grid-wrap {min-height: 0}
#examples .caption-label {display: none}
.answer {font-size: 1.4rem; margin: 0}
.careful {border-left: 0.3rem solid #d97706; padding-left: 0.7rem; margin: 0.5rem 0 0}
"""
# Screen readers announce what changes here.
ANNOUNCE = "() => document.getElementById('answer')?.setAttribute('role', 'status')"
Answer = tuple[Any, Any, Any, Any, Any]  # answer, probabilities, steps, layers, where it looked
NO_ANSWER: Answer = ("<p>The answer will appear here.</p>", None, "", "", "")


def serve(
    checkpoint: str | os.PathLike[str] | None,
    data_dir: str | os.PathLike[str] | None,
    host: str,
    port: int,
    on_start: Callable[[str], object],
) -> None:
    """Serve the page until Ctrl-C; call `on_start` with its address once it answers."""
    # After each event Gradio summarises all of them, for a page that is not served here.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
    # It also checks that its own page answers, and no proxy should handle that request.
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, [no_proxy, "localhost", "127.0.0.1", host]))
    # By default all servers share a folder for their pictures, and the first to stop empties it.
    with tempfile.TemporaryDirectory(prefix="fashion-cnn-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = Demo(checkpoint, data_dir).page()
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
                app_kwargs={"middleware": [Middleware(OnlyFromThisPage)]},
                theme=gr.themes.Default(
                    primary_hue="blue",  # white text on it is legible
                    font=SYSTEM_FONTS,
                    font_mono=SYSTEM_FONTS,
                ),
            )
        except OSError as error:
            raise OSError(
                f"the page cannot listen on {host}, port {port}, which may be in use; "
                "choose another port or host"
            ) from error
        try:
            on_start(url)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            page.close(verbose=False)


class OnlyFromThisPage:
    """Refuse requests that another website makes a visitor's browser send.

    A website can let its name point to this machine: then ``Host`` has that name. What its own
    pages send has that website as its ``Origin``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if its headers name this machine, or answer it with 403."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not _is_this_machine(host) or origin not in (None, f"http://{host}"):
                answer = PlainTextResponse("This page answers only requests of its own.\n", 403)
                return await answer(scope, receive, send)
        return await self.app(scope, receive, send)


def _is_this_machine(host: str) -> bool:
    """Tell whether a ``Host`` header is a number, which no website can be, or this machine's."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        is_name = name in ("localhost", socket.gethostname().lower())
        return is_name or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


class Demo:
    """The page and its data: one network, and the test images if the data set is there."""

    def __init__(
        self, checkpoint: str | os.PathLike[str] | None, data_dir: str | os.PathLike[str] | None
    ) -> None:
        self.model = load_model(checkpoint)
        self.network = (
            f"Network: `{checkpoint}`." if checkpoint else "Network: the one of the package."
        )
        if is_trained_on_stand_in(self.model):
            self.network += " **It was trained on stand-in data: its answers mean nothing.**"
        self.test: Split | None = None
        try:
            self.test = load_fashion_mnist(data_source(data_dir).directory).test
        except DatasetError as error:
            self.no_data = str(error)
        # Use everything once, so that no visitor has to wait for the first use.
        noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        for _ in self.of_picture(noise):
            pass

    def page(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(
            title="fashion-cnn", analytics_enabled=False, delete_cache=(3600, 3600)
        ) as page:
            gr.Markdown(
                "# What is it?\n"
                "A small network tells ten kinds of clothes apart. Give it a picture of one "
                "garment on a plain background (one shoe, from the side) and see how it decides. "
                f"Nothing you give it leaves this machine. {self.network}"
            )
            with gr.Row():
                with gr.Column():
                    with gr.Tab("Picture"):
                        photo = gr.Image(
                            label="A picture: drop, paste or choose one",
                            sources=["upload", "clipboard"],
                            buttons=[],
                            height=320,
                        )
                        # Gradio must not open the file: photo_steps does, within its limits.
                        photo.preprocess = _upload  # type: ignore[assignment,method-assign]
                    with gr.Tab("Draw"):
                        gr.Markdown("Draw a filled shape with the brush, like a silhouette.")
                        drawing = gr.Sketchpad(
                            label="A drawing",
                            canvas_size=(CANVAS_SIDE, CANVAS_SIDE),
                            brush=gr.Brush(
                                default_size=20, colors=["#000000", "#777777"], color_mode="fixed"
                            ),
                            sources=(),
                            transforms=(),
                            layers=False,
                            buttons=[],
                        )
                        drawing.preprocess = functools.partial(  # type: ignore[assignment,method-assign]
                            _composite, drawing
                        )
                    with gr.Tab("Test image"):
                        examples, number, show = self._test_images()
                with gr.Column():
                    answer = gr.HTML(NO_ANSWER[0], elem_id="answer")
                    bars = gr.Label(label="Probabilities", num_top_classes=10, show_heading=False)
            steps, looked, layers = (
                gr.HTML(elem_id=name) for name in ("steps", "looked", "layers")
            )

            quiet: dict[str, Any] = {
                "show_progress": "hidden",
                "outputs": [answer, bars, steps, layers, looked],
                "trigger_mode": "multiple",  # a visitor who does not wait is answered too
                # One at a time: they share the network and the cores.
                **{"concurrency_limit": 1, "concurrency_id": "network"},
            }
            private: dict[str, Any] = {"api_visibility": "private", **quiet}
            photo.upload(self.of_picture, photo, api_name="predict", **quiet)
            photo.clear(lambda: NO_ANSWER, None, **private)
            not_every_stroke = {**private, "trigger_mode": "always_last"}
            drawing.change(self.of_drawing, drawing, **not_every_stroke)
            examples.select(self.of_example, None, **private)
            gr.on([show.click, number.submit], self.of_test_image, number, **private)
            page.load(None, js=ANNOUNCE)
        return page

    def _test_images(self) -> tuple[gr.Gallery, gr.Number, gr.Button]:
        """Lay out the choice of a test image, or say why there are none."""
        has_test = self.test is not None
        if not has_test:
            gr.Markdown(
                f"There are no test images: {self.no_data} Fetch them with "
                "`fashion-cnn data --fetch` and start the page again."
            )
        gallery = gr.Gallery(
            [self._example(label) for label in range(len(NAMES))] if has_test else None,
            label="The first test image of each class",
            show_label=False,
            elem_id="examples",
            columns=5,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            buttons=[],
            visible=has_test,
        )
        number = gr.Number(0, label="Or its number in the test split", step=1, visible=has_test)
        return gallery, number, gr.Button("Show this test image", visible=has_test)

    def _first_of(self, label: int) -> int:
        """Return the number of the first test image of a class."""
        assert self.test is not None
        return int(np.argmax(self.test.labels == label))

    def _example(self, label: int) -> tuple[Image.Image, str]:
        assert self.test is not None
        pixels = np.rint(255 * self.test.images[self._first_of(label), ..., 0]).astype(np.uint8)
        return Image.fromarray(pixels).resize((112, 112), Image.Resampling.NEAREST), NAMES[label]

    def of_drawing(self, drawing: Image.Image | None) -> Iterator[Answer]:
        """Answer a drawing, once there is one."""
        try:
            answers = self.of_picture(photo_steps(drawing) if drawing else None)
        except (OSError, ValueError):  # nothing is drawn yet, or the last stroke is erased
            answers = iter([NO_ANSWER])
        yield from answers

    def of_example(self, event: gr.SelectData) -> Iterator[Answer]:
        """Answer one of the pictured test images."""
        yield from self.of_test_image(self._first_of(event.index))

    def of_test_image(self, number: float | None) -> Iterator[Answer]:
        """Answer an image of the test split, and say whether the answer is right."""
        assert self.test is not None
        if number is None or number not in range(len(self.test.labels)):
            yield _refusal(f"expected a whole number from 0 to {len(self.test.labels) - 1:,}")
            return
        image, true_label = self.test.images[int(number)], int(self.test.labels[int(number)])
        heading = f"Test image {int(number):,}"
        draw = functools.partial(plot_images, [image], [true_label], figure=_figure(1.5, 1.8))
        yield from self._answers(image, heading, draw, true_label)

    def of_picture(self, picture: str | ArrayLike | PhotoSteps | None) -> Iterator[Answer]:
        """Answer an uploaded file, an array of pixels, or the steps of a drawing."""
        if picture is None:
            yield NO_ANSWER
            return
        try:
            steps = picture if isinstance(picture, PhotoSteps) else photo_steps(picture)
        except (OSError, ValueError) as error:
            text = str(error)
            if isinstance(picture, str):
                text = text.replace(picture, Path(picture).name)
            yield _refusal(text)
            return
        draw = functools.partial(plot_photo_steps, steps, figure=_figure(12, 2.6))
        yield from self._answers(steps.centred, "How the picture was prepared", draw)

    def _answers(
        self,
        image: NDArray[np.float32],
        heading: str,
        draw: Callable[[], Figure],
        true_label: int | None = None,
    ) -> Iterator[Answer]:
        """Give the answer at once, then how it came about, the slowest part last."""
        prediction = predict(self.model, image, warn=False)
        label = prediction.label
        answer = f"<p class='answer'><strong>{NAMES[label]}</strong>, {prediction.probability:.1%}"
        if true_label is not None:
            is_right = label == true_label
            answer += f"<p>{'✓ right' if is_right else f'✗ wrong: it is {NAMES[true_label]}'}</p>"
        if prediction.remark:
            answer += f"<p class='careful'>{prediction.remark}.</p>"
        probabilities = dict(zip(NAMES, prediction.probabilities.tolist(), strict=True))
        yield answer, probabilities, *[gr.skip()] * 3
        time.sleep(0.05)  # the answer is sent before the pictures occupy the interpreter
        yield *[gr.skip()] * 2, _section(heading, draw()), *[gr.skip()] * 2
        layers = plot_layers(image, layer_outputs(self.model, image), figure=_figure(10, 9))
        yield *[gr.skip()] * 3, _section("Layer by layer", layers), gr.skip()
        drops = occlusion_map(self.model, image, label)
        looked = _section(
            "Where the network looked",
            plot_occlusion(image, drops, figure=_figure(7, 3.3)),
            f"A black patch on an orange spot makes {NAMES[label]} less probable, on a violet spot "
            "more probable.",
        )
        yield *[gr.skip()] * 4, looked


def _upload(file: ImageData | None) -> str | None:
    """Return the path of an uploaded file: a request may name any other file of this machine."""
    if file is None or file.path is None:
        return None
    path = os.path.realpath(file.path)
    if not Path(path).is_relative_to(os.path.realpath(os.environ["GRADIO_TEMP_DIR"])):
        raise gr.Error("Send the picture itself, not a path.", print_exception=False)
    return path


def _composite(drawing: gr.Sketchpad, sent: EditorData | None) -> Image.Image | None:
    """Return a drawing, not decoded yet, which Gradio would do without limits."""
    blobs = drawing.blob_storage.get(sent.id) if sent and sent.id else None
    if blobs is None or blobs.composite is None:
        return None
    return Image.open(io.BytesIO(blobs.composite), formats=["PNG", "WEBP"])


def _refusal(message: str) -> Answer:
    return f"<p class='careful'>This cannot be used: {escape(message)}.</p>", None, "", "", ""


def _figure(width: float, height: float) -> Figure:
    """Return a figure unknown to pyplot, because visitors are answered in many threads."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _section(heading: str, figure: Figure, text: str = "") -> str:
    with io.BytesIO() as file:
        figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})  # size hardly matters
        content = base64.b64encode(file.getvalue()).decode()
    alt = escape(str(figure.get_label()), quote=True)
    picture = f'<figure><img src="data:image/png;base64,{content}" alt="{alt}"></figure>'
    paragraph = f"<p>{escape(text)}</p>" if text else ""
    return f"<h2>{heading}</h2>{paragraph}{picture}"
