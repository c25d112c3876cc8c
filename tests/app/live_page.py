"""Fixtures of the tests that open the live page in a real browser.

Test modules import this and name it in pytest_plugins, which is why it says PYTEST_DONT_REWRITE.
"""

import functools
import http.server
import threading
from urllib.parse import urlsplit

import pytest
from conftest import ROOT

PAGE = ROOT / "src" / "fashion_cnn" / "page"


class Files(http.server.SimpleHTTPRequestHandler):
    """The page's files, with the policy under which it is served: nothing inline, no other host."""

    def end_headers(self):
        self.send_header(
            "Content-Security-Policy", "default-src 'self'; img-src 'self' data: blob:"
        )
        super().end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def files_url():
    """The address of the page's files, with no Python behind them."""
    handler = functools.partial(Files, directory=PAGE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def open_view(browser, files_url):
    """Open a view; check at the end that none logged anything or asked another host."""
    said, hosts, contexts = [], set(), []

    def opened(name, query="lang=en&theme=light", **kwargs):
        contexts.append(browser.new_context(**kwargs))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(f"{files_url}{name}.html?{query}", wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == [], said
    assert hosts <= {urlsplit(files_url).netloc}, hosts


def scrolls_sideways(page):
    """Tell whether a view is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth > innerWidth")


def without_a_name(page):
    """Return what can be operated but has no name that a screen reader could say."""
    return page.evaluate(
        """[...document.querySelectorAll("button, input, a, [tabindex], [role=img], [role=grid]")]
            .filter((node) => node.checkVisibility() && !node.ariaLabel && !node.labels?.length
                && !node.innerText.trim() && !node.hasAttribute("aria-labelledby"))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )
