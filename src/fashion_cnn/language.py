"""The reader's language: English, or Korean after ``use_language("ko")``.

Texts are marked in the source as ``_("text")``, where ``_`` is `gettext`, and translated in
``locale/ko/LC_MESSAGES/fashion_cnn.po``, which ``make translations`` compiles.
"""

import contextlib
import functools
import importlib.util
import os
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

    English is ``"en"``; Korean, in the words of the book, is ``"ko"``; any other raises a
    ValueError. Without this call, ``$FASHION_CNN_LANGUAGE`` decides; the default is English.

    Examples
    --------
    >>> use_language("ko")
    >>> class_names()[8]
    '가방'
    >>> use_language("en")
    """
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
        use_language(os.environ.get(LANGUAGE_VARIABLE) or "en")
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


def translated(text: str, language: str) -> str:
    """Return an English text in a given language, or as it is if the catalogue lacks it."""
    return translation(DOMAIN, LOCALE, [language], fallback=True).gettext(text)


@contextlib.contextmanager
def words_in_pictures() -> Iterator[None]:
    """Let plot functions, which this decorates, find a font with Korean letters.

    Without a Korean font, warn and use English, because Matplotlib would draw boxes.
    """
    import matplotlib as mpl  # heavy, and here only for pictures

    language, families = current_language(), mpl.rcParams["font.family"]
    if language == "ko":
        font = korean_font()
        if font is None:
            warnings.warn(
                "found no Korean font, so the picture is labelled in English. Install one, such as "
                "NanumGothic (pip install koreanize-matplotlib), and restart Python",
                stacklevel=4,
            )
            use_language("en")
        else:
            # Not mpl.rc_context: it would undo what the first figure of a notebook sets up.
            mpl.rcParams["font.family"] = [*families, font]
    try:
        yield
    finally:
        use_language(language)
        mpl.rcParams["font.family"] = families


@functools.cache
def korean_font() -> str | None:
    """Return the name of a font with the Korean letters: the system's, or koreanize-matplotlib's.

    That package is not imported, because it would change Matplotlib's settings.
    """
    from matplotlib.font_manager import fontManager  # heavy, and here only for pictures

    package = importlib.util.find_spec("koreanize_matplotlib")
    if package is not None and package.origin is not None:
        fontManager.addfont(Path(package.origin).parent / "fonts" / "NanumGothic.ttf")
    installed = fontManager.get_font_names()
    return next((font for font in KOREAN_FONTS if font in installed), None)
