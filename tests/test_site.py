"""The site: complete in both languages, whole, quiet, and for everyone to use."""

import base64
import functools
import hashlib
import html.parser
import http.server
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urljoin, urlsplit

import filelock
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT
from playwright.sync_api import expect

import fashion_cnn as fc

TROUBLE = ("error", "warning")  # the theme also says on the console which mode it chose
NOTEBOOKS = ["fashion_cnn", "inside_the_cnn"]
# Found by Python when it starts: no process of the build looks up or reaches another machine.
OFFLINE = """
import socket
def refuse(*args, **kwargs):
    raise OSError("the site is built offline")
socket.getaddrinfo = socket.socket.connect = refuse
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id):
    """The directory of the built site; pytest's processes share it."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent
    with filelock.FileLock(base / "site.lock"):
        if not (base / "site" / "html" / "play").exists():
            (base / "offline").mkdir(exist_ok=True)
            (base / "offline" / "sitecustomize.py").write_text(OFFLINE)
            paths = [str(base / "offline"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
            build = subprocess.run(
                [sys.executable, ROOT / "docs" / "build.py", base / "site"],
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
            assert build.returncode == 0, build.stderr
    return base / "site" / "html"


class Page(html.parser.HTMLParser):
    """What the tests ask of a page: its language, its ids, its links, and what it shows."""

    def __init__(self, path):
        super().__init__()
        self.language, self.other, self.ids, self.links, self.frames = None, None, set(), [], []
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "html":
            self.language = attrs["lang"]
        if tag == "iframe":
            self.frames.append(attrs["data-address"])
        if "language-switch" in (attrs.get("class") or ""):
            self.other = attrs["href"]
        self.links += filter(None, (attrs.get(name) for name in ("href", "src", "data-address")))


@pytest.fixture(scope="session")
def pages(site):
    return {
        path.relative_to(site).as_posix(): Page(path)
        for path in sorted(site.rglob("*.html"))
        if "play" not in path.relative_to(site).parts[:1] and "_static" not in path.parts
    }


def test_every_public_name_is_documented_in_both_sites(pages):
    public = {name for name in fc.__all__ if name != "inside"}
    public |= {f"inside.{name}" for name in fc.inside.__all__}
    for root in ("", "ko/"):
        documented = set().union(
            *(page.ids for name, page in pages.items() if name.startswith(f"{root}api/"))
        )
        assert {f"fashion_cnn.{name}" for name in public} <= documented


def test_types_lead_to_the_documentation_of_others(pages):
    links = pages["api/training.html"].links + pages["api/pictures.html"].links
    assert "https://www.tensorflow.org/api_docs/python/tf/keras/Sequential" in links
    assert "https://matplotlib.org/stable/api/_as_gen/matplotlib.figure.Figure.html" in links
    links = pages["api/inside.html"].links
    assert "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html" in links


def test_links_and_pictures_inside_the_site_exist(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            address = urlsplit(urljoin(f"site:///{name}", link) if link else link)
            if re.match(r"[a-z]+:", link) and not link.startswith("site:"):
                continue
            target = Path(os.path.normpath(f"{Path(name).parent}/{unquote(urlsplit(link).path)}"))
            target = Path(name) if not urlsplit(link).path else target
            anchor = unquote(address.fragment)
            is_there = (site / target).is_file()
            if is_there and anchor and target.as_posix() in pages:
                is_there = anchor in pages[target.as_posix()].ids
            if not is_there:
                broken.append(f"{name}: {link}")
    assert not broken


def test_both_languages_have_the_same_pages_and_lead_to_each_other(pages):
    english = {name for name in pages if not name.startswith("ko/")}
    assert english == {name.removeprefix("ko/") for name in pages if name.startswith("ko/")}
    for name in english:
        korean = f"ko/{name}"
        assert (pages[name].language, pages[korean].language) == ("en", "ko")
        assert os.path.normpath(f"{Path(name).parent}/{pages[name].other}") == korean
        assert os.path.normpath(f"{Path(korean).parent}/{pages[korean].other}") == name


def test_what_is_only_in_english_says_so_in_korean(pages):
    for name in ("benchmarks", "api/training"):
        assert "이 페이지는 영어로만 제공합니다." in pages[f"ko/{name}.html"].text
        assert re.search(r'<section [^>]*lang="en"', pages[f"ko/{name}.html"].text)
    assert "영어로만 제공" not in pages["ko/notebooks/fashion_cnn.html"].text


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("edition", ["", "ko/"])
def test_notebooks_are_shown_with_their_committed_outputs(site, pages, edition, name):
    notebook = nbformat.read(ROOT / "notebooks" / edition / f"{name}.ipynb", as_version=4)
    page = pages[f"{edition}notebooks/{name}.html"]
    text = html.unescape(re.sub(r"<[^>]*>", "", page.text))
    pictures = streams = 0
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if output.output_type == "stream" and output.name == "stdout":
            plain = re.sub(r"\x1b\[[\d;]*m", "", output.text)  # colours
            assert all(line in text for line in plain.rstrip().splitlines())
            streams += 1
        if picture := output.get("data", {}).get("image/png"):
            sha256 = hashlib.sha256(base64.b64decode(picture)).hexdigest()
            assert f"_images/{sha256}.png" in page.text
            alt = output.metadata["image/png"]["alt"]
            assert f'alt="{html.escape(alt)}"' in page.text
            pictures += 1
    assert pictures >= 5
    assert streams >= 5


@pytest.mark.parametrize("edition", ["", "ko/"])
def test_live_views_stand_on_the_pages(site, pages, edition):
    language = "ko" if edition else "en"
    start, play, inside = (
        [Path(urlsplit(frame).path).stem for frame in pages[f"{edition}{name}.html"].frames]
        for name in ("index", "play", "notebooks/inside_the_cnn")
    )
    assert start == ["network"]
    assert play == ["network", "convolution", "learning"]
    assert inside == ["convolution"]
    text = pages[f"{edition}notebooks/inside_the_cnn.html"].text
    assert text.index("animate_convolution") < text.index("<iframe")
    assert f"lang={language}&amp;embed=1" in text


def test_the_live_page_has_the_packages_network(site):
    weights = (site / "play" / "model" / "weights.bin").stat().st_size
    assert weights == 2 * fc.load_model().count_params()


@pytest.fixture(scope="module")
def visit(site, browser):
    """Open a page of the site in a browser; what it asks of others, and complains of, is kept."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{server.server_port}/"

        def visit(address, width=1280, theme="light", **kwargs):
            context = browser.new_context(
                viewport={"width": width, "height": 844}, color_scheme=theme, **kwargs
            )
            context.set_default_timeout(120_000)  # other tests may keep the machine busy
            page = context.new_page()
            faults = []
            page.on("console", lambda m: m.type in TROUBLE and faults.append(m.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("requestfailed", lambda r: faults.append(f"failed: {r.url}"))
            page.on(
                "request",
                lambda r: r.url.startswith((home, "data:", "blob:")) or faults.append(r.url),
            )
            page.goto(home + address)
            return SimpleNamespace(page=page, faults=faults, context=context, home=home)

        yield visit
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *args):
        pass


@pytest.mark.browser
@pytest.mark.parametrize(("edition", "theme"), [("", "light"), ("ko/", "dark")])
def test_pages_fit_a_phone_serve_everyone_and_ask_nobody_else(visit, pages, edition, theme):
    faults = []
    for name in pages:
        if name.startswith("ko/") != bool(edition):
            continue
        visited = visit(name, width=390, theme=theme)
        page = visited.page
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            faults.append(f"{name}: {width} pixels wide")
        faults += [f"{name}: {fault}" for fault in visited.faults]
        result = Axe().run(page, options={"iframes": False, "preload": False})
        faults += [
            f"{name}: {violation['id']}: {node['html']}"
            for violation in result.response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        visited.context.close()
    assert not faults


@pytest.mark.browser
def test_the_switch_leads_to_the_same_page_and_back(visit):
    page = visit("notebooks/inside_the_cnn.html").page
    page.get_by_role("link", name="한국어", exact=True).first.click()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page).to_have_url(re.compile("/ko/notebooks/inside_the_cnn.html$"))
    page.get_by_role("link", name="English", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"\d/notebooks/inside_the_cnn.html$"))


@pytest.mark.browser
@pytest.mark.parametrize(
    ("edition", "words"),
    [
        ("", ["convolution", "convolutions", "plot_history"]),
        ("ko/", ["합성곱", "합성곱을", "풀링", "드롭아웃", "plot_history"]),
    ],
)
def test_search_finds_words(visit, edition, words):
    for word in words:
        page = visit(f"{edition}search.html?q={word}").page
        results = page.locator("#search-results li a")
        expect(results.first).to_be_visible()
        where = [results.nth(i).get_attribute("href") for i in range(results.count())]
        expected = "api/pictures" if word == "plot_history" else "notebooks/fashion_cnn"
        assert any(expected in place for place in where), (word, where)


@pytest.mark.browser
@pytest.mark.parametrize(("language", "start"), [("en", "index.html"), ("ko", "ko/index.html")])
def test_live_page_leads_home_and_start_page_shows_layers(visit, language, start):
    visited = visit(f"play/network.html?lang={language}")
    visited.page.get_by_role("link", name="fashion-cnn").click()
    visited.page.wait_for_url(visited.home + start)
    live = visited.page.frame_locator("iframe").first
    expect(live.get_by_text("conv1", exact=True)).to_be_visible()
    expect(live.locator("#detail")).to_be_hidden()
    assert visited.page.locator("iframe").first.bounding_box()["height"] > 700
    assert not visited.faults
    visited.context.close()


@pytest.mark.browser
def test_live_views_come_alive_in_the_sites_language_and_theme(visit):
    visited = visit("ko/notebooks/inside_the_cnn.html", theme="dark")
    page = visited.page
    frame = page.locator(".live iframe")
    frame.scroll_into_view_if_needed()
    live = frame.content_frame
    expect(live.locator("html")).to_have_attribute("lang", "ko")
    expect(live.locator("html")).to_have_attribute("data-theme", "dark")
    expect(live.locator("h1")).to_be_visible()
    expect(live.locator("header.shell")).to_be_hidden()
    assert not visited.faults


@pytest.mark.browser
def test_the_start_page_has_a_picture_without_javascript(visit):
    page = visit("index.html", java_script_enabled=False).page
    expect(page.locator(".live img")).to_be_visible()
    doors = page.locator(".door > p:first-child")
    expect(doors).to_have_text(["Read", "Play", "Run"])
