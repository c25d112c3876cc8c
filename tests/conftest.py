"""Shared fixtures: data, networks, mirrors on this machine, the live page; and no network."""

import contextlib
import functools
import http.server
import io
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from playwright.sync_api import sync_playwright

import fashion_cnn as fc
from fashion_cnn import data as data_module
from fashion_cnn.data import DATA_DIR_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
TINY_DIR = ROOT / "data" / "tiny"
PAGE = ROOT / "src" / "fashion_cnn" / "page"
DRAWINGS = ROOT / "notebooks" / "drawings"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
POLICY = "default-src 'self'; img-src 'self' data: blob:"  # nothing inline, no other host

plt.switch_backend("agg")
# A background shell makes its children ignore Ctrl-C; with a handler here, ours do not.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests start processes in other directories; a relative path is relative to this one.
if os.environ.get(DATA_DIR_VARIABLE):
    os.environ[DATA_DIR_VARIABLE] = str(Path(os.environ[DATA_DIR_VARIABLE]).absolute())


def build_small(**sizes):
    """Build a network that is trained in a second or two."""
    return fc.build_cnn(**{"filters": (4, 8), "dense_units": 16} | sizes)


def assert_equal_weights(*models):
    """Check that networks have the same weights, bit for bit."""
    for arrays in zip(*(model.get_weights() for model in models), strict=True):
        for array in arrays:
            np.testing.assert_array_equal(array, arrays[0])


def content_of(folder):
    """Return the bytes of every file below a folder, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def written(image, kind="PNG", **options):
    """Return the bytes of a picture file."""
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


class MakesDirectory:
    """An object whose unpickling makes the directory ``proof``."""

    def __reduce__(self):
        return os.mkdir, ("proof",)


def pytest_collection_modifyitems(items):
    """Mark tests that need the real data or a browser as slow."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if item.get_closest_marker("real_data") or item.get_closest_marker("browser"):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _english_and_no_figures_afterwards():
    """Undo what a test, or an example that it runs, did to the whole process."""
    yield
    fc.use_language("en")
    plt.close("all")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Block look-ups of other machines, so that no test depends on one."""
    look_up = socket.getaddrinfo

    def look_up_this_machine(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(f"the tests run offline; {host} was looked up")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_this_machine)


@pytest.fixture(scope="session")
def tiny():
    return fc.load_fashion_mnist(TINY_DIR)


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
    """A network trained on the stand-in data by the book's recipe: model, history, checkpoint."""
    checkpoint = tmp_path_factory.mktemp("trained") / "best-cnn-model.keras"
    model = fc.build_cnn()
    history = fc.train(model, tiny, checkpoint=checkpoint, seed=0, verbose=0)
    return model, history, checkpoint


@pytest.fixture(scope="session")
def packaged():
    """The network that comes with the package."""
    return fc.load_model()


@pytest.fixture(scope="session")
def real_dir():
    """The directory of the real Fashion-MNIST, for tests marked real_data."""
    try:
        return data_module.data_source().directory
    except fc.DatasetError as error:
        pytest.skip(f"{error}; set {DATA_DIR_VARIABLE} to run this test")


@pytest.fixture(scope="session")
def real(real_dir):
    return fc.load_fashion_mnist(real_dir)


@pytest.fixture
def keras_cache(tmp_path, monkeypatch):
    """An empty Keras cache, and nothing else that names a data directory."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


@pytest.fixture
def tiny_is_real(monkeypatch):
    """Let the stand-in files stand for the real ones, for tests of download and cache."""
    monkeypatch.setattr(data_module, "PUBLISHED_SUMS", TINY_DIR / "SHA256SUMS")


@contextlib.contextmanager
def served(directory, headers=(), requests=None):
    """Serve the files of a directory, with headers of their own; yield the address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            for header in headers:
                self.send_header(*header)
            super().end_headers()

        def log_request(self, code="-", size="-"):
            if requests is not None:
                requests.append((self.path, int(code)))

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def serve():
    """Start web servers on this machine; each serves a directory and counts its requests."""
    with contextlib.ExitStack() as servers:

        def start(directory):
            requests = []
            return servers.enter_context(served(directory, requests=requests)), requests

        yield start


@pytest.fixture
def mirrors(monkeypatch):
    """Set the mirrors that are tried, in order."""

    def set_to(*urls):
        monkeypatch.setattr(data_module, "MIRRORS", urls)

    return set_to


@pytest.fixture(scope="module")
def browser():
    """An installed Chromium; per module, because its event loop would disturb other tests."""
    names = ("chromium", "chromium-browser", "chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium or Chrome; install one to see the page in a real browser")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=flags)


# The live page in a real browser


def watched(browser, home, ignoring=(), **kwargs):
    """Return a new page, and the list of what it will say, throw, miss or ask of other hosts."""
    page = browser.new_context(**kwargs).new_page()
    faults = []
    page.on("console", lambda m: m.type in ignoring or faults.append(m.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    aborted = "net::ERR_ABORTED"  # by leaving the page
    page.on("requestfailed", lambda r: r.failure == aborted or faults.append(f"failed: {r.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((home, "data:", "blob:")) or faults.append(request.url)
        ),
    )
    return page, faults


@pytest.fixture(scope="session")
def models(packaged):
    """The package's network, and one of other sizes with weights that need 32 bits."""
    small = fc.build_cnn(filters=(8, 16), dense_units=20)
    rng = np.random.default_rng(0)
    small.set_weights([w + rng.normal(0, 0.05, w.shape) for w in small.get_weights()])
    return {"model": packaged, "small": small}


@pytest.fixture(scope="session")
def play(models, tiny, tmp_path_factory):
    """The directory of the page, not the root of its host, and of one with a network of digits."""
    directory = tmp_path_factory.mktemp("site") / "play"
    fc.write_page(models["model"], directory)
    own = {"name": "digits.keras", "class_names": DIGITS, "data": tiny}
    fc.write_page(models["small"], directory / "small", **own)
    return directory


@pytest.fixture(scope="module")
def home(play):
    """The address of the page, served as files with nothing behind them."""
    with served(play.parent, [("Content-Security-Policy", POLICY)]) as url:
        yield f"{url}play/"


@pytest.fixture
def open_view(browser, home):
    """Open views; at the end, none has logged a message, missed a file or asked another host."""
    visits = []

    def opened(name, query="lang=en&theme=light", routes=None, **kwargs):
        visits.append(watched(browser, home, **kwargs))
        page = visits[-1][0]
        for pattern, answer in (routes or {}).items():
            page.route(pattern, answer)
        page.goto(f"{home}{name}.html?{query}")
        page.wait_for_selector("html[data-ready], #reading:not(:empty)", state="attached")
        return page

    yield opened
    for page, _ in visits:
        page.context.close()
    assert [fault for _, faults in visits for fault in faults] == []


def scrolls_sideways(page):
    """Tell whether a view is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def without_a_name(page):
    """Return what can be operated but has no name that a screen reader could say."""
    return page.evaluate(
        """[...document.querySelectorAll("button, input, a, [tabindex], [role=img], [role=grid]")]
            .filter((node) => node.checkVisibility() && node.tagName !== "MAIN" && !node.ariaLabel
                && !node.labels?.length && !node.textContent.trim()
                && !node.hasAttribute("aria-labelledby"))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
