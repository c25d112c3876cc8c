import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.font_manager import fontManager

import fashion_cnn as fc
from fashion_cnn import language

plt.switch_backend("agg")
# As the book names them.
BOOK = "티셔츠,바지,스웨터,드레스,코트,샌달,셔츠,스니커즈,가방,앵클 부츠"


@pytest.fixture(autouse=True)
def _close_and_look_anew():
    language.korean_font.cache_clear()
    yield
    language.korean_font.cache_clear()
    plt.close("all")


@pytest.fixture
def no_korean_font(monkeypatch):
    """A machine whose only fonts are those of Matplotlib."""
    fonts = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    monkeypatch.setattr(language.importlib.util, "find_spec", lambda name: None)


def draw_everything(tiny, language):
    """Draw every picture that has words, for a language; return the figures."""
    images, labels = tiny.test.images[:3], tiny.test.labels[:3]
    probabilities = np.full((3, 10), 0.05, np.float32)
    probabilities[:, 4] = 0.55
    prediction = fc.Prediction(4, "Coat", 0.55, probabilities[0])
    model = fc.build_cnn()
    history = type("History", (), {})()
    history.history = {name: [0.5] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return [
        fc.plot_images(images, labels, [4, 4, 4], language=language),
        fc.plot_history(history, language=language),
        fc.plot_prediction(images[0], prediction, true_label=8, language=language),
        fc.plot_confusion_matrix([0, 1], [0, 2], language=language).figure,
        fc.plot_reliability(labels, probabilities, language=language),
        fc.plot_filters(model, model, language=language),
        fc.plot_layers(images[0], fc.layer_outputs(model, images[0]), language=language),
        fc.plot_occlusion(images[0], np.zeros((28, 28)), language=language),
        fc.plot_convolution_step(images[0], np.eye(3), 0.1, 5, 5, language=language),
        fc.plot_strides(language=language),
        fc.plot_photo_steps(images[0], language=language),
        fc.plot_pooling(np.eye(4), language=language),
    ]


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


def has_hangul(text):
    return any("가" <= letter <= "힣" for letter in text)


def test_class_names():
    assert ",".join(fc.class_names("ko")) == BOOK
    assert fc.class_names() == fc.class_names("en") == fc.CLASS_NAMES
    with pytest.raises(ValueError, match="'en' or 'ko', got 'kr'"):
        fc.class_names("kr")


def test_every_picture_in_korean_with_a_glyph_for_each_letter(tiny):
    """Matplotlib warns of each letter that no font has; pytest makes that an error."""
    before = dict(plt.rcParams)
    for number, figure in enumerate(draw_everything(tiny, "ko")):
        assert has_hangul(texts(figure)), number
        figure.draw_without_rendering()
    assert dict(plt.rcParams) == before


def test_every_picture_in_english(tiny):
    for figure in draw_everything(tiny, "en"):
        assert not has_hangul(texts(figure))


def test_english_where_there_is_no_korean_font(tiny, no_korean_font):
    with pytest.warns(UserWarning, match="no Korean font.*pip install") as caught:
        figures = draw_everything(tiny, "ko")
    assert {warning.filename for warning in caught} == {__file__}  # it names the caller's line
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in figures:
            assert not has_hangul(texts(figure))
            figure.draw_without_rendering()
    assert "Coat" in texts(figures[2])


def test_the_font_of_the_package_serves_where_the_system_has_none(monkeypatch):
    fonts = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    assert language.korean_font() == "NanumGothic"
