"""Fixtures of the tests that open the live page in a real browser.

Test modules import this and name it in pytest_plugins, which is why it says PYTEST_DONT_REWRITE.
"""

import contextlib
import functools
import http.server
import shutil
import threading

import numpy as np
import pytest
from conftest import ROOT

import fashion_cnn as fc
from fashion_cnn.app.page_model import write_model

PAGE = ROOT / "src" / "fashion_cnn" / "page"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
POLICY = "default-src 'self'; img-src 'self' data: blob:"  # nothing inline, no other host


def pytest_collection_modifyitems(items):
    """Mark the tests that open a browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
            item.add_marker("slow")


@contextlib.contextmanager
def served(directory, headers=None):
    """Serve the files of a directory, with headers of their own; yield the address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def watched(browser, home, ignoring=(), **kwargs):
    """Return a new page, and the list of what it will say, throw, miss or ask of other hosts."""
    page = browser.new_context(**kwargs).new_page()
    faults = []
    page.on("console", lambda m: m.type in ignoring or faults.append(m.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((home, "data:", "blob:")) or faults.append(request.url)
        ),
    )
    return page, faults


@pytest.fixture(scope="session")
def models():
    """The package's network, and one of other sizes with weights that need 32 bits."""
    small = fc.build_cnn(filters=(8, 16), dense_units=20)
    rng = np.random.default_rng(0)
    small.set_weights([w + rng.normal(0, 0.05, w.shape) for w in small.get_weights()])
    return {"model": fc.load_model(), "small": small}


@pytest.fixture(scope="session")
def play(models, tmp_path_factory):
    """The directory of the page with its models, which is not the root of its host."""
    directory = tmp_path_factory.mktemp("site") / "play"
    shutil.copytree(PAGE, directory)
    for name, model in models.items():
        write_model(model, directory / name)
    return directory


@pytest.fixture(scope="module")
def home(play):
    """The address of the page, served as files with nothing behind them."""
    with served(play.parent, {"Content-Security-Policy": POLICY}) as url:
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
