"""Build the site: docs/_build/html, the Korean site in its ko/, the live page in its play/.

The site's pages are documents of this repository, wherever they lie. For each language they are
copied to a source directory for Sphinx, and the links in them are turned to their new places.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
LIVE = ROOT / "src" / "fashion_cnn" / "page"
LANGUAGES = ("en", "ko")

# Each page of the site: its document in English and in Korean. Where both are the same, the page
# is in English, and the Korean site says so.
PAGES = {
    "index": ("docs/index.md", "docs/ko/index.md"),
    "guide": ("README.md", "README.ko.md"),
    "own-network": ("docs/own-network.md", "docs/ko/own-network.md"),
    "old-keras": ("docs/old-keras.md", "docs/ko/old-keras.md"),
    "api/index": ("docs/api/index.md", "docs/ko/api.md"),
} | {
    page: (document, document)
    for page, document in {
        "api/data": "docs/api/data.rst",
        "api/training": "docs/api/training.rst",
        "api/prediction": "docs/api/prediction.rst",
        "api/pictures": "docs/api/pictures.rst",
        "api/photos": "docs/api/photos.rst",
        "api/inside": "docs/api/inside.rst",
        "benchmarks": "docs/benchmarks.md",
        "photos": "docs/photos.md",
        "experiments": "benchmarks/NOTES.md",
        "security": "SECURITY.md",
        "data": "data/README.md",
        "drawings": "notebooks/drawings/README.md",
        "contributing": "CONTRIBUTING.md",
    }.items()
}
LESSONS = ("01_train", "02_convolution", "03_inside", "04_experiments")
PAGES |= {f"notebooks/{x}": (f"notebooks/{x}.ipynb", f"notebooks/ko/{x}.ipynb") for x in LESSONS}
REDIRECTS = {  # from where pages were; from the root of the whole site
    "notebooks/fashion_cnn": "{edition}notebooks/01_train.html",
    "notebooks/inside_the_cnn": "{edition}notebooks/02_convolution.html",
    "play": "play/network.html?lang={language}",
}
ENGLISH_ONLY = sorted(page for page, (english, korean) in PAGES.items() if english == korean)

# The live views in the lessons: the cell after which one stands.
EMBEDDED = {
    ("notebooks/01_train", "network-end"): "network",
    ("notebooks/02_convolution", "sizes"): "convolution",
    ("notebooks/03_inside", "maps-words"): "learning",
}
MOVED = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>fashion-cnn</title>
<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url={address}">
<a href="{address}">{address}</a></html>
"""
DOWNLOAD = {"en": "Download this notebook", "ko": "이 노트북 내려받기"}
SHOW_CODE = {"en": "Show the code", "ko": "코드 보기"}
OTHER_EDITION = re.compile(
    r"^\[(한국어|English)\]\([^()]*\)\n\n", re.MULTILINE
)  # the header has it
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s#]+)(#[^()\s]*)?\)")


def main() -> None:
    """Build both languages, then add the live page."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT / "docs" / "_build")
    build(parser.parse_args().directory.resolve())


def build(directory: Path) -> Path:
    """Build the site in `directory`, afresh, and return the directory of its HTML."""
    shutil.rmtree(directory, ignore_errors=True)
    html = directory / "html"
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    builds = []
    for language in LANGUAGES:
        source = directory / "source" / language
        collect(language, source)
        results = directory / language
        places = ["-c", ROOT / "docs", "-d", results / "doctrees", source, results / "html"]
        words = [f"language={language}", f"nb_code_prompt_show={SHOW_CODE[language]}"]
        command = [*sphinx, *(f"-D{one}" for one in words), *map(str, places)]
        builds.append(subprocess.Popen(command))
    if any([process.wait() for process in builds]):
        sys.exit("the site has faults, named above")
    shutil.move(directory / "en" / "html", html)
    shutil.move(directory / "ko" / "html", html / "ko")
    for language, edition in zip(LANGUAGES, (html, html / "ko"), strict=True):
        for page, documents in PAGES.items():
            if page.startswith("notebooks/"):
                committed = ROOT / documents[LANGUAGES.index(language)]
                shutil.copy(committed, edition / f"{page}.ipynb")
        for old, new in REDIRECTS.items():
            path = (edition / old).with_suffix(".html")
            target = new.format(edition="" if edition == html else "ko/", language=language)
            address = os.path.relpath(html / target, path.parent)
            path.write_text(MOVED.format(language=language, address=address), "utf-8")
    add_live_page(html / "play")
    return html


def collect(language: str, source: Path) -> None:
    """Copy the pages of a language, and what they show, into a source directory for Sphinx."""
    documents = {page: both[LANGUAGES.index(language)] for page, both in PAGES.items()}
    for page, document in documents.items():
        path = ROOT / document
        target = (source / page).with_suffix(path.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    # Jupyter's anchors keep capitals and points; Sphinx's do not.
                    text = re.sub(r"(?<=\]\(#)[^)]+", slug, cell.source)
                    cell.source = relinked(text, page, documents, language, source)
            describe_pictures(notebook)
            add_site_parts(notebook, page, language)
            nbformat.write(notebook, target)
        elif path.suffix == ".md":
            text = OTHER_EDITION.sub("", path.read_text("utf-8"))
            target.write_text(relinked(text, page, documents, language, source), "utf-8")
        else:
            shutil.copy(path, target)
    shutil.copytree(ROOT / "docs" / "locale", source / "locale")  # Sphinx compiles it in place


def slug(anchor: re.Match[str]) -> str:
    """Return the anchor that Sphinx gives a heading, from the one that Jupyter gives it."""
    return re.sub(r"[^\w-]", "", anchor[0].lower())


def describe_pictures(notebook: nbformat.NotebookNode) -> None:
    """Copy the alternative texts of outputs to where myst-nb looks for them: their cells."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for description in output.get("metadata", {}).values():
                if alt := description.get("alt"):
                    cell.metadata["mystnb"] = {"image": {"alt": alt}}


def add_site_parts(notebook: nbformat.NotebookNode, page: str, language: str) -> None:
    """Offer the committed notebook below its title, and put live views after their cells."""
    path = f"{Path(page).name}.ipynb"
    link = f'<p class="download"><a href="{path}" download>{DOWNLOAD[language]}</a></p>'
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(link, id="download"))
    for (where, cell_id), view in EMBEDDED.items():
        if where == page:
            (index,) = (i for i, cell in enumerate(notebook.cells) if cell.id == cell_id)
            cell = nbformat.v4.new_markdown_cell(f":::{{live}} {view}\n:::", id=f"{view}-live")
            notebook.cells.insert(index + 1, cell)


def relinked(text: str, page: str, documents: dict[str, str], language: str, source: Path) -> str:
    """Turn the relative links of a page, which lead through the repository, to the site's places.

    A file that is no page is copied. A directory has no place in the site: its link becomes text.
    """
    here = (ROOT / documents[page]).parent
    up = "../" * page.count("/")
    home = up if language == "en" else up + "../"
    pages = {document: name for name, document in documents.items()}
    foreign = {document: name for name, both in PAGES.items() for document in both}

    def turned(link: re.Match[str]) -> str:
        image, words, target, anchor = link[1], link[2], link[3], link[4] or ""
        view = target.removeprefix("http://127.0.0.1:7860/")  # `fashion-cnn demo` serves it there
        if view != target:
            return f'<a href="{home}play/{view}?lang={language}{anchor}">{words}</a>'
        if re.match(r"[a-z]+:", target):
            return link[0]
        path = Path(os.path.normpath(here / target))
        if not path.exists():
            raise FileNotFoundError(f"{documents[page]} links to {target}, which does not exist")
        document = path.relative_to(ROOT).as_posix()
        if path.is_dir() and f"{document}/README.md" in pages:
            document += "/README.md"
        if document in pages:
            name = f"{up}{pages[document]}{Path(document).suffix}"
            return f"[{words}]({name}{anchor})"
        if document in foreign:
            other = home + ("" if language == "ko" else "ko/") + foreign[document]
            return f'<a href="{other}.html{anchor}">{words}</a>'
        if path.parent == LIVE:
            return f'<a href="{home}play/{path.name}?lang={language}{anchor}">{words}</a>'
        if path.is_dir():
            return words
        copy = source / "files" / document
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        return f"{image}[{words}]({up}files/{document})"

    return LINK.sub(turned, text)


def add_live_page(target: Path) -> None:
    """Write the live page, which leads home to the site."""
    from fashion_cnn import load_model, write_page  # heavy

    write_page(load_model(), target)
    for view in target.glob("*.html"):
        text = view.read_text("utf-8")
        view.write_text(text.replace("<head>", '<head>\n<link rel="home" href="../">'), "utf-8")


if __name__ == "__main__":
    main()
