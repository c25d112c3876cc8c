"""Shared fixtures: data, Keras's cache, mirrors on this machine, and no network."""

import http.server
import os
import shutil
import signal
import socket
import threading
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from playwright.sync_api import sync_playwright

import fashion_cnn as fc
from fashion_cnn import data as data_module
from fashion_cnn.data import DATA_DIR_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
TINY_DIR = ROOT / "data" / "tiny"

plt.switch_backend("agg")
# A background shell makes its children ignore Ctrl-C; with a handler here, ours do not.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests start processes in other directories; a relative path is relative to this one.
if os.environ.get(DATA_DIR_VARIABLE):
    os.environ[DATA_DIR_VARIABLE] = str(Path(os.environ[DATA_DIR_VARIABLE]).absolute())


def pytest_collection_modifyitems(items):
    """Mark tests that need the real data or a browser as slow."""
    for item in items:
        if item.get_closest_marker("real_data") or item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture
def serve():
    """Start web servers on this machine; each serves a directory and counts its requests."""
    servers = []

    def start(directory):
        requests = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(directory))

            def log_request(self, code="-", size="-"):
                requests.append((self.path, int(code)))

            def log_message(self, format, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/", requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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
