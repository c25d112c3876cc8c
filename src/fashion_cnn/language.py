"""Class names and the words in pictures, in English and in Korean."""

import contextlib
import functools
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from fashion_cnn.data import CLASS_NAMES

# As the book 혼자 공부하는 머신러닝+딥러닝 names them.
CLASS_NAMES_KO = (
    "티셔츠",
    "바지",
    "스웨터",
    "드레스",
    "코트",
    "샌달",
    "셔츠",
    "스니커즈",
    "가방",
    "앵클 부츠",
)
_CLASS_NAMES = {"en": CLASS_NAMES, "ko": CLASS_NAMES_KO}
_KOREAN = {
    "accuracy": "정확도",
    "after": "훈련 후",
    "average pooling": "평균 풀링",
    "before": "훈련 전",
    "best epoch": "최적 에포크",
    "bias": "절편",
    "but it is": "정답",
    "centred": "가운데 놓음",
    "confidence: probability of the predicted label": "확신도: 예측한 레이블의 확률",
    "drop in the probability": "확률 감소량",
    "epoch": "에포크",
    "feature map": "특성 맵",
    "filter": "필터",
    "grey": "회색조",
    "image": "이미지",
    "images": "이미지 개수",
    "input": "입력",
    "loss": "손실",
    "max pooling": "최대 풀링",
    "number of weights": "가중치 개수",
    "one cell of padding": "패딩 한 칸",
    "predicted label": "예측 레이블",
    "probability": "확률",
    "products": "곱",
    "resized": "축소",
    "same padding": "세임 패딩",
    "sharpened": "선명하게",
    "stride": "스트라이드",
    "sum": "합",
    "train": "훈련",
    "trimmed": "여백 자름",
    "true label": "정답 레이블",
    "true": "정답",
    "upright": "똑바로 세움",
    "valid padding": "밸리드 패딩",
    "validation": "검증",
    "weight": "가중치",
    "window": "윈도",
}
_PREFERRED_FONTS = ("Noto Sans KR", "Noto Sans CJK KR", "NanumGothic", "Malgun Gothic")


def class_names(language: str = "en") -> tuple[str, ...]:
    """Return the ten class names in label order.

    Parameters
    ----------
    language : {"en", "ko"}
        English as in the data set, or Korean as in the book.

    Returns
    -------
    tuple of str
        Ten names.

    Raises
    ------
    ValueError
        If the language is another one.

    Examples
    --------
    >>> class_names("ko")[8]
    '가방'
    """
    if language not in _CLASS_NAMES:
        raise ValueError(f"expected language 'en' or 'ko', got {language!r}")
    return _CLASS_NAMES[language]


class Words(NamedTuple):
    """What a picture is labelled with.

    Attributes
    ----------
    class_names : tuple of str
        Ten names, in label order.
    say : callable
        Gives a word of a picture in its language.
    """

    class_names: tuple[str, ...]
    say: Callable[[str], str]


@contextlib.contextmanager
def words_for_plots(language: str) -> Iterator[Words]:
    """Give the words of a language, and let the text made meanwhile use a font that has them.

    Without a Korean font, the words are English and a warning says so: Matplotlib would draw an
    empty box for each letter.
    """
    import matplotlib as mpl

    names = class_names(language)
    if language == "en":
        yield Words(names, str)
        return
    font = korean_font()
    if font is None:
        warnings.warn(
            "found no Korean font, so the picture is labelled in English. Install one, such as "
            "NanumGothic (pip install koreanize-matplotlib), and start Python again",
            stacklevel=4,
        )
        yield Words(CLASS_NAMES, str)
        return
    with mpl.rc_context({"font.family": [*mpl.rcParams["font.family"], font]}):
        yield Words(names, lambda word: _KOREAN[word])


@functools.cache
def korean_font() -> str | None:
    """Return the family name of an installed font that has the Korean letters, if there is one.

    A font of the system is looked for first, then the one that the package koreanize-matplotlib
    brings, without importing that package, which would change Matplotlib's settings.
    """
    from matplotlib.font_manager import fontManager

    package = importlib.util.find_spec("koreanize_matplotlib")
    found = _families_with_korean()
    if not found and package and package.origin:
        fontManager.addfont(Path(package.origin).parent / "fonts" / "NanumGothic.ttf")
        found = _families_with_korean()
    preferred = [family for family in _PREFERRED_FONTS if family in found]
    return next(iter(preferred + found), None)


def _families_with_korean() -> list[str]:
    from matplotlib.font_manager import fontManager, get_font

    letters = {ord(letter) for letter in "".join((*CLASS_NAMES_KO, *_KOREAN.values()))}
    families = set()
    for entry in fontManager.ttflist:
        # Matplotlib's "Last Resort" has a box for every letter there is.
        if entry.style != "normal" or entry.name.startswith("Last Resort"):
            continue
        with contextlib.suppress(OSError, RuntimeError):  # a font file that is gone or damaged
            if letters <= get_font(entry.fname).get_charmap().keys():
                families.add(entry.name)
    return sorted(families)
