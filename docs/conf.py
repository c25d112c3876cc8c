"""Sphinx's configuration, for both languages; build.py collects the pages and starts Sphinx."""

import base64
import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.search import SearchLanguage, languages
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))

from build import ENGLISH_ONLY, LESSONS, ROOT

import fashion_cnn

project = "fashion-cnn"
author = "The fashion-cnn maintainers"
copyright = "2026, the fashion-cnn maintainers, MIT licence"
version = release = fashion_cnn.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["files/**"]
templates_path = ["_templates"]
locale_dirs = ["locale"]
default_role = "py:obj"  # of a name in single backticks, in a docstring

# Notebooks are shown as they were committed; nothing runs.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say the types, with shapes and ranges
napoleon_google_docstring = False
napoleon_use_ivar = True  # the fields of a class are listed once, in its docstring

html_theme = "sphinx_book_theme"
html_title = "fashion-cnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "article_header_end": ["language", "article-header-buttons"],
    "footer_content_items": ["copyright"],
    "home_page_in_toc": False,
    "logo": {"text": "fashion-cnn"},
    "navbar_persistent": [],
    "pygments_dark_style": "github-dark",
    "pygments_light_style": "a11y-high-contrast-light",
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_issues_button": False,
}
if repository := os.environ.get("GITHUB_REPOSITORY"):  # as on GitHub, which publishes the site
    html_theme_options |= {
        "repository_url": f"https://github.com/{repository}",
        "repository_branch": os.environ.get("GITHUB_REF_NAME", "main"),
        "use_repository_button": True,
        "launch_buttons": {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }

# Where others document a name, by rule: nothing is fetched, and no list of theirs is kept here.
ELSEWHERE = {
    r"(keras(?:\.\w+)+)": "https://www.tensorflow.org/api_docs/python/tf/{path}",
    r"(numpy(?:\.\w+)+)": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    r"(matplotlib(?:\.\w+)+)": "https://matplotlib.org/stable/api/_as_gen/{name}.html",
    r"(pandas(?:\.\w+)+)": "https://pandas.pydata.org/docs/reference/api/{name}.html",
}
# Short forms in docstrings, at the beginning of a type such as "ndarray of float32".
SHORT_FORMS = {
    "ndarray": "https://numpy.org/doc/stable/reference/generated/numpy.ndarray.html",
    "array_like": "https://numpy.org/doc/stable/glossary.html#term-array_like",
}


def link_elsewhere(app: Sphinx, env: Any, node: nodes.Element, words: nodes.Node) -> Any:
    """Link a name of Keras, NumPy, Matplotlib or pandas to its documentation."""
    target = node.get("reftarget", "")
    text = words.astext()
    for pattern, address in ELSEWHERE.items():
        if match := re.match(pattern, target):
            name = match[1]
            return link(text, name, address.format(name=name, path=name.replace(".", "/")))
    for name, address in SHORT_FORMS.items():
        if re.match(rf"{name}\b", target):
            return link(text, name, address)
    return None


def link(text: str, name: str, address: str) -> nodes.Node:
    """Link the name at the beginning of a text; leave the rest as it is."""
    if not text.startswith(name):
        return nodes.reference(text, text, internal=False, refuri=address)
    reference = nodes.reference(name, name, internal=False, refuri=address)
    return nodes.inline("", "", reference, nodes.Text(text[len(name) :]))


TITLES = {
    "en": {
        "network": "Live: a picture on its way through the network",
        "convolution": "Live: a window that slides over a picture",
        "learning": "Live: what the filters learn from epoch to epoch",
    },
    "ko": {
        "network": "실습: 신경망을 지나는 이미지",
        "convolution": "실습: 이미지 위를 움직이는 필터",
        "learning": "실습: 에포크마다 필터가 배우는 것",
    },
}
WHOLE = {"en": "Open it on a page of its own", "ko": "새 페이지에서 크게 보기"}


class Live(SphinxDirective):
    """A view of the live page; its content is what stands there without JavaScript."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the frame, and the fallback."""
        view, language = self.arguments[0], self.config.language
        address = live_view(self.env.docname, language, view)
        before = (
            f'<div class="live"><iframe title="{TITLES[language][view]}" loading="lazy" '
            f'data-address="{address}&amp;embed=1"></iframe><noscript>'
        )
        after = f'</noscript><p><a class="whole" href="{address}">{WHOLE[language]}</a></p></div>'
        return [
            nodes.raw("", before, format="html"),
            *self.parse_content_to_nodes(),
            nodes.raw("", after, format="html"),
        ]


def home_of(page: str, language: str) -> str:
    """Return the way from a page to the root of the whole site."""
    return "../" * (page.count("/") + (language != "en"))


def live_view(page: str, language: str, view: str) -> str:
    """Return the way from a page to a view of the live page."""
    return f"{home_of(page, language)}play/{view}.html?lang={language}"


def lead_to_live_views(app: Sphinx, page: str, template: str, context: Any, tree: Any) -> None:
    """Let the entries ``live://…`` of the menu lead to the live page, unknown to Sphinx."""
    menu, language = context["toctree"], app.config.language

    def with_views(**options: Any) -> str:
        return re.sub(
            r'external" href="live://(\w+)',
            lambda entry: f'internal" href="{live_view(page, language, entry[1])}',
            menu(**options),
        )

    context["toctree"] = with_views


def add_other_language(app: Sphinx, page: str, template: str, context: Any, tree: Any) -> None:
    """Tell the templates where the same page is in the other language."""
    language = app.config.language
    context["other_language"] = "ko" if language == "en" else "en"
    context["other_address"] = (
        home_of(page, language) + ("ko/" if language == "en" else "") + page + ".html"
    )


def launch_own_edition(app: Sphinx, page: str, template: str, context: Any, tree: Any) -> None:
    """Let the launch buttons of a Korean page open its own notebook, which lies in ``ko/``."""
    if app.config.language == "ko":
        for group in context["header_buttons"]:
            for button in group.get("buttons", []):
                group["tooltip"], button["tooltip"] = "노트북 실행", f"{button['text']}에서 실행"
                button["url"] = button.get("url", "").replace("/notebooks/", "/notebooks/ko/")


def prepare_page(app: Sphinx, tree: nodes.document) -> None:
    """Say that a page of the Korean site is in English, to readers and to their browsers."""
    if app.config.language == "ko" and app.env.docname in ENGLISH_ONLY:
        section = next(tree.findall(nodes.section))
        section["classes"].append("language-en")  # docutils turns it into lang="en"
        note = nodes.paragraph("", "이 페이지는 영어로만 제공합니다.")
        note["classes"] += ["english-only", "language-ko"]
        section.insert(1, note)


def describe_recipe(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Take the docstring below an assignment, which a package that imports lazily hides."""
    if what == "data":
        docstrings = ModuleAnalyzer.for_module(type(thing).__module__).find_attr_docs()
        lines[:] = docstrings["", name.rpartition(".")[2]]


def show_picture(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Put a picture below the first sentence of a plot."""
    if found := pictures().get(name.rpartition(".")[2]):
        file, picture, alt = found
        path = Path(app.srcdir) / "files" / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)
        lines[1:1] = ["", f".. image:: /files/{file}", "   :width: 32em", f"   :alt: {alt}", ""]


@functools.cache
def pictures() -> dict[str, tuple[str, bytes, str]]:
    """Return the first picture of each plot in the lessons: name, file, alternative text."""
    layers = (ROOT / "docs" / "layers.png").read_bytes()  # in no lesson
    found = {"plot_layers": ("plot_layers.png", layers, "A boot on its way through all layers")}
    for lesson in LESSONS:
        for cell in nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4).cells:
            functions = re.findall(r"\b(plot_\w+)\(", cell.source)
            for output in cell.get("outputs", []) if functions else []:
                data, about = output.get("data", {}), output.get("metadata", {})
                if png := data.get("image/png"):
                    kind, picture, suffix = "image/png", base64.b64decode(png), "png"
                elif svg := data.get("image/svg+xml"):
                    kind, picture, suffix = "image/svg+xml", svg.encode(), "svg"
                else:
                    continue
                file, alt = f"{functions[0]}.{suffix}", about[kind]["alt"].replace("\n", " ")
                found.setdefault(functions[0], (file, picture, alt))
    return found


def skip_field(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the fields of a named tuple: its docstring has them."""
    return True if type(thing).__name__ == "_tuplegetter" else None


class SearchKorean(SearchLanguage):
    """Find a Korean noun whatever particle follows it: words are indexed by their beginnings."""

    lang = "ko"
    language_name = "Korean"
    js_stemmer_code = """
var Stemmer = function () {
  const particle = /(?<=[가-힣]{2})(으로|에서|에는|부터|까지|처럼|[은는이가을를의에와과도만로])$/;
  this.stemWord = (word) => word.replace(particle, "");
};
"""

    def split(self, input: str) -> list[str]:
        """Return every word, and the beginnings, of at least two letters, of a Korean one."""
        words = []
        for word in super().split(input):
            korean = re.match("[가-힣]*", word)
            words += [word, *(word[:end] for end in range(2, korean.end() + 1 if korean else 0))]
        return words


def setup(app: Sphinx) -> None:
    """Register what is above."""
    languages["ko"] = SearchKorean
    app.add_directive("live", Live)
    app.connect("missing-reference", link_elsewhere)
    app.connect("autodoc-process-docstring", describe_recipe, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", show_picture, priority=600)  # after napoleon
    app.connect("autodoc-skip-member", skip_field)
    app.connect("doctree-read", prepare_page)
    app.connect("html-page-context", add_other_language)
    app.connect("html-page-context", lead_to_live_views)
    app.connect("html-page-context", launch_own_edition, priority=900)  # after the theme's
