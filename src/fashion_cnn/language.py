"""The reader's language: English, or Korean after ``use_language("ko")``.

Texts are marked in the source as ``_("text")``, where ``_`` is `gettext`, and translated in
``locale/ko/LC_MESSAGES/fashion_cnn.po``, which ``make translations`` compiles.
"""

import contextlib
import functools
import importlib.util
import os
import unicodedata
import warnings
from collections.abc import Iterator
from gettext import translation
from pathlib import Path

from fashion_cnn.images import CLASS_NAMES

LANGUAGES = ("en", "ko")
LANGUAGE_VARIABLE = "FASHION_CNN_LANGUAGE"
DOMAIN, LOCALE = "fashion_cnn", Path(__file__).with_name("locale")
KOREAN_FONTS = (
    "Noto Sans KR", "Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Nanum Gothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "Gulim", "UnDotum", "Baekmuk Gulim",
)  # fmt: skip
_chosen: str | None = None


def use_language(language: str) -> None:
    """Set the language of pictures, class names, tables and warnings.

    English is ``"en"``; Korean, in the words of the book, is ``"ko"``, which also gives Matplotlib
    a font for the Korean in pictures of your own; any other raises a ValueError. Without this call,
    ``$FASHION_CNN_LANGUAGE`` decides; the default is English.

    Examples
    --------
    >>> use_language("ko")
    >>> class_names()[8]
    '가방'
    >>> use_language("en")
    """
    set_language(language)
    if language == "ko":
        korean_font()


def set_language(language: str) -> None:
    """Set the language without a font for pictures, so without the import of Matplotlib."""
    global _chosen
    if language not in LANGUAGES:
        raise ValueError(
            f"expected the language 'en' or 'ko', from use_language or {LANGUAGE_VARIABLE}, "
            f"got {language!r}"
        )
    _chosen = language


def current_language() -> str:
    """Return the language in use: ``"en"`` or ``"ko"``."""
    if _chosen is None:
        set_language(os.environ.get(LANGUAGE_VARIABLE) or "en")
    return str(_chosen)


def class_names() -> tuple[str, ...]:
    """Return the ten class names, in label order, in the language in use.

    Examples
    --------
    >>> class_names()[8]
    'Bag'
    """
    return tuple(map(gettext, CLASS_NAMES))


def gettext(text: str) -> str:
    """Translate an English text into the language in use."""
    return translated(text, current_language())


@functools.cache  # finding the catalogue takes as long as a prediction, which needs it
def translated(text: str, language: str) -> str:
    """Return an English text in a given language, or as it is if the catalogue lacks it."""
    return translation(DOMAIN, LOCALE, [language], fallback=True).gettext(text)


@contextlib.contextmanager
def words_in_pictures() -> Iterator[None]:
    """Make the plot functions that this decorates use English if no font has Korean letters."""
    language = current_language()
    if language == "ko" and korean_font() is None:
        message = gettext(
            "found no Korean font, so the picture is labelled in English. Install one, as with "
            'pip install "fashion-cnn[ko]", and restart Python'
        )
        warnings.warn(message, stacklevel=4)
        set_language("en")
    try:
        yield
    finally:
        set_language(language)


def korean_font() -> str | None:
    """Let all text of Matplotlib fall back on a font with Korean letters; return its name or None.

    It is the system's or koreanize-matplotlib's; importing that package would change settings.
    """
    with contextlib.suppress(Exception):  # such as StopIteration, or a wrong MPLBACKEND
        import matplotlib as mpl  # heavy, and here only for pictures
        from matplotlib import font_manager

        fonts = font_manager.fontManager
        package = importlib.util.find_spec("koreanize_matplotlib")
        if package and package.origin and "NanumGothic" not in fonts.get_font_names():
            fonts.addfont(Path(package.origin).parent / "fonts" / "NanumGothic.ttf")
        installed = fonts.get_font_names()
        font = next(name for name in KOREAN_FONTS if name in installed)
        if font not in mpl.rcParams["font.family"]:
            mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], font]
        return font
    return None


def on_disk(path: str | os.PathLike[str]) -> Path:
    """Return a path, without ``~``, as the disk spells it: macOS decomposes Korean letters."""
    path = Path(path).expanduser()
    if path.exists() or path == path.parent:
        return path
    parent = on_disk(path.parent)
    spellings = (parent / unicodedata.normalize(form, path.name) for form in ("NFC", "NFD"))
    return next(filter(Path.exists, spellings), path)
