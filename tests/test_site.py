"""The site: complete in both languages, whole, quiet, and for everyone to use."""

import base64
import gzip
import hashlib
import html.parser
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import filelock
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, served, watched
from playwright.sync_api import expect

import fashion_cnn as fc

NOTEBOOKS = ["01_train", "02_convolution", "03_inside", "04_experiments"]
MOVED = {"fashion_cnn": "01_train", "inside_the_cnn": "02_convolution", "play": "network"}
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
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
            command = [sys.executable, ROOT / "docs" / "build.py", base / "site"]
            build = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert build.returncode == 0, build.stderr
    return base / "site" / "html"


class Page(html.parser.HTMLParser):
    """What the tests ask of a page: its language, its ids, its links, and what it shows."""

    def __init__(self, path):
        super().__init__()
        self.language, self.other, self.ids, self.links = None, None, set(), []
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "html":
            self.language = attrs["lang"]
        if "language-switch" in (attrs.get("class") or ""):
            self.other = attrs["href"]
        self.links += filter(None, (attrs.get(name) for name in ("href", "src", "data-address")))


@pytest.fixture(scope="session")
def pages(site):
    return {
        path.relative_to(site).as_posix(): Page(path)
        for path in sorted(site.rglob("*.html"))
        if not {"play", "_static"} & {*path.relative_to(site).parts} and path.stem not in MOVED
    }


def test_every_public_name_is_documented_in_both_sites(pages):
    public = {name for name in fc.__all__ if name != "inside"}
    public |= {f"inside.{name}" for name in fc.inside.__all__}
    for root in ("", "ko/"):
        api = [page for name, page in pages.items() if name.startswith(f"{root}api/")]
        assert {f"fashion_cnn.{name}" for name in public} <= set().union(*(p.ids for p in api))
        for plot in (name for name in fc.inside.__all__ if name.startswith("plot_")):
            assert f"_images/{plot}.png" in pages[f"{root}api/inside.html"].text


def test_links_and_pictures_inside_the_site_exist(site, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme:
                continue
            path = unquote(address.path)
            target = Path(os.path.normpath(Path(name).parent / path)) if path else Path(name)
            known = pages.get(target.as_posix())
            anchor = unquote(address.fragment) if known else ""
            if not (site / target).is_file() or (anchor and anchor not in known.ids):
                broken.append(f"{name}: {link}")
    assert not broken


def test_both_languages_have_the_same_pages_and_lead_to_each_other(pages):
    english = {name for name in pages if not name.startswith("ko/")}
    assert english == {name.removeprefix("ko/") for name in pages if name.startswith("ko/")}
    for name in english:
        both = [(name, "en", f"ko/{name}"), (f"ko/{name}", "ko", name)]
        for page, language, other in both:
            assert pages[page].language == language
            assert os.path.normpath(f"{Path(page).parent}/{pages[page].other}") == other


def test_what_is_only_in_english_says_so_in_korean(pages):
    for name in ("benchmarks", "api/training"):
        assert "이 페이지는 영어로만 제공합니다." in pages[f"ko/{name}.html"].text
        assert re.search(r'<section [^>]*lang="en"', pages[f"ko/{name}.html"].text)
    assert "영어로만 제공" not in pages["ko/notebooks/01_train.html"].text
    start = pages["ko/index.html"].text
    menu = re.findall(r'<li class="toctree-l.*?href="([^.]+\.html)">(.+?)</a>', start)
    assert len(menu) > 15
    for address, words in menu:
        assert ("(영어)" in words) == ("영어로만 제공" in pages[f"ko/{address}"].text), words


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("edition", ["", "ko/"])
def test_notebooks_are_shown_with_their_committed_outputs_and_offered(site, pages, edition, name):
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
    assert min(pictures, streams) >= 5
    assert f"{name}.ipynb" in page.links
    committed = (ROOT / "notebooks" / edition / f"{name}.ipynb").read_bytes()
    assert (site / edition / "notebooks" / f"{name}.ipynb").read_bytes() == committed


@pytest.mark.parametrize(("edition", "language"), [("", "en"), ("ko/", "ko")])
def test_live_views_stand_on_the_pages_and_in_the_menu(pages, edition, language):
    for name, view in (
        ("index", "network"),
        ("notebooks/01_train", "network"),
        ("notebooks/02_convolution", "convolution"),
        ("notebooks/03_inside", "learning"),
    ):
        address = f"{'../' * f'{edition}{name}'.count('/')}play/{view}.html?lang={language}"
        frames = [link for link in pages[f"{edition}{name}.html"].links if "embed" in link]
        assert frames == [f"{address}&embed=1"]
        assert address in pages[f"{edition}{name}.html"].links[:30]


@pytest.fixture
def visit(site, browser):
    """Open pages of the site in a browser; at the end, none had a fault."""
    pages = []
    quiet = ("log", "info")  # the theme says on the console which mode it chose
    with served(site) as home:

        def opened(address, width=1280, theme="light", **kwargs):
            look = {"viewport": {"width": width, "height": 844}, "color_scheme": theme}
            page, faults = watched(browser, home, quiet, **look, **kwargs)
            has_scripts = kwargs.get("java_script_enabled", True)
            pages.append((page, faults if has_scripts else []))  # else each of them is missed
            page.set_default_timeout(120_000)  # other tests may keep the machine busy
            page.goto(home + address)
            return page

        yield opened
        for page, _ in pages:
            page.context.close()
    assert [fault for _, faults in pages for fault in faults] == []


@pytest.mark.parametrize(("edition", "theme"), [("", "light"), ("ko/", "dark")])
def test_pages_fit_a_phone_serve_everyone_and_ask_nobody_else(visit, pages, edition, theme):
    faults, twins = [], [name for name in pages if "영어로만 제공" in pages[name].text]
    names = {name for name in pages if name.startswith("ko/") == bool(edition)} - {*twins[1:]}
    for name in sorted(names):  # of the pages that are the same in both languages, one
        page = visit(name, width=390, theme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            faults.append(f"{name}: {width} pixels wide")
        options = {"iframes": False, "preload": False, "resultTypes": ["violations"]}
        result = Axe().run(page, options=options)
        faults += [
            f"{name}: {violation['id']}: {node['html']}"
            for violation in result.response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        page.close()
    assert not faults


@pytest.mark.parametrize(("edition", "language"), [("", "en"), ("ko/", "ko")])
def test_old_addresses_lead_to_new_ones(visit, edition, language):
    for old, new in MOVED.items():
        page = visit(f"{edition}{old}.html" if old == "play" else f"{edition}notebooks/{old}.html")
        expect(page).to_have_url(re.compile(rf"/{new}\.html"))
        expect(page.locator("html")).to_have_attribute("lang", language)


WORDS = {"": "convolution convolutions plot_history", "ko/": "합성곱 합성곱을 풀링 plot_history"}


@pytest.mark.parametrize("edition", WORDS)
def test_search_finds_words(visit, edition):
    for word in WORDS[edition].split():
        page = visit(f"{edition}search.html?q={word}")
        results = page.locator("#search-results li a")
        excerpts = page.locator("#search-results .context")
        expect(excerpts.first).to_be_visible()
        assert not re.search(r"Contents|Light\s+Dark|밝게", " ".join(excerpts.all_inner_texts()))
        where = [result.get_attribute("href") for result in results.all()]
        expected = "api/pictures" if word == "plot_history" else "notebooks/01_train"
        assert any(expected in place for place in where), (word, where)


@pytest.mark.parametrize(("language", "start"), [("en", "index.html"), ("ko", "ko/index.html")])
def test_live_page_leads_home_and_start_page_shows_a_light_network(site, visit, language, start):
    page = visit(f"play/network.html?lang={language}")
    page.get_by_role("link", name="fashion-cnn").click()
    page.wait_for_url(re.compile(rf"\d/{start}$"))
    live = page.frame_locator("iframe").first
    expect(live.locator("html[data-ready]").get_by_text("conv1", exact=True)).to_be_visible()
    names = "performance.getEntries().map(entry => new URL(entry.name, location).pathname)"
    paths = {site / path[1:] for frame in page.frames for path in frame.evaluate(names)}
    loaded = [path.read_bytes() for path in paths if path.is_file()]
    assert sum(map(len, loaded)) < 1_500_000
    assert 700_000 < sum(len(gzip.compress(file)) for file in loaded) < 900_000
    expect(live.locator("#detail")).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(live.locator("h1")).to_be_hidden()
    is_whole = "body => body.scrollHeight <= innerHeight && innerHeight > 612"
    assert live.locator("body").evaluate(is_whole)
    for width in (390, 820):  # scrolls in its frame, so that its sheet opens in the window
        page.set_viewport_size({"width": width, "height": 844})
        assert page.locator("iframe").bounding_box()["height"] < 844


def test_live_views_come_alive_in_the_sites_language_and_theme(visit):
    frame = visit("ko/notebooks/02_convolution.html", theme="dark").locator(".live iframe")
    frame.scroll_into_view_if_needed()
    live = frame.content_frame
    expect(live.locator("html")).to_have_attribute("lang", "ko")
    expect(live.locator("html")).to_have_attribute("data-theme", "dark")
    expect(live.locator("main")).to_be_visible()
    expect(live.locator("header.shell")).to_be_hidden()


def test_the_start_page_has_a_picture_without_javascript(visit):
    page = visit("index.html", java_script_enabled=False)
    expect(page.locator(".live img")).to_be_visible()
    expect(page.locator(".door > p:first-child")).to_have_text(["Learn", "Play", "Use"])
