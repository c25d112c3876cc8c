import ast
import errno
import os
import subprocess
import sys
from string import Formatter

import click
import matplotlib.pyplot as plt
import numpy as np
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from conftest import ROOT
from matplotlib.font_manager import fontManager

import fashion_cnn as fc
from fashion_cnn import language
from fashion_cnn.app.cli import commands
from fashion_cnn.app.words import paragraphs

# As the book names them.
BOOK = "티셔츠,바지,스웨터,드레스,코트,샌달,셔츠,스니커즈,가방,앵클 부츠"
SOURCE = ROOT / "src" / "fashion_cnn"


@pytest.fixture(autouse=True)
def _fonts_afresh():
    families = plt.rcParams["font.family"]
    yield
    plt.rcParams["font.family"] = families


def has_hangul(text):
    return any("가" <= letter <= "힣" for letter in text)


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


def help_texts():
    """Every text of the command line's help: sentences, headings and names of values."""
    found = {commands.subcommand_metavar}
    for command in (commands, *commands.commands.values()):
        context = click.Context(command)
        found.add(command.options_metavar)
        for text in [command.help, *(getattr(p, "help", None) for p in command.params)]:
            lines = "\n".join(paragraphs(text)).split("\n")
            found.update(line for line in lines if not line.startswith(("\b", " ")))
        metavars = {p.make_metavar(context) for p in command.params}
        found.update(name for name in metavars if name.isupper() and name != "BOOLEAN")
    return found - {""}


def catalogue(read=read_po, ending=".po"):
    """Return the Korean by the English text; of a text with a plural, by both."""
    path = language.LOCALE / "ko" / "LC_MESSAGES" / f"{language.DOMAIN}{ending}"
    with open(path, "rb") as file:
        messages = [message for message in read(file) if message.id]
    assert not any(message.fuzzy for message in messages)
    as_tuple = lambda x: (x,) if isinstance(x, str) else tuple(x)  # noqa: E731
    return {as_tuple(message.id): as_tuple(message.string) for message in messages}


def test_every_text_has_its_korean_and_no_other():
    translated = {english[0] for english, korean in catalogue().items() if all(korean)}
    found = (text for _, _, text, _, _ in extract_from_dir(SOURCE))
    marked = {text if isinstance(text, str) else text[0] for text in found}
    needed = marked | help_texts() | set(fc.CLASS_NAMES)
    system = {os.strerror(number) for number in errno.errorcode}
    assert needed <= translated
    own = [english[0] for english in catalogue()]
    own = own[: own.index("Usage:")]  # the first of Click's, which change with its version
    assert set(own) <= needed | system


def test_translations_have_the_same_fields_and_are_compiled():
    def fields(text):
        return sorted(str(field) for _, field, *_ in Formatter().parse(text) if field)

    for english, (korean,) in catalogue().items():
        assert fields(english[-1]) == fields(korean)
    assert catalogue(read_mo, ".mo") == catalogue(), "run `make translations`"


def test_the_standard_tool_finds_every_marked_text():
    """Babel does not read f-strings, so none may contain a marked text."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                assert "_" not in names, f"{path}:{node.lineno}"


def test_use_language():
    fc.use_language("ko")
    assert ",".join(fc.class_names()) == BOOK
    fc.use_language("en")
    assert fc.class_names() == fc.CLASS_NAMES
    with pytest.raises(ValueError, match=r"'en' or 'ko', .*, got 'kr'"):
        fc.use_language("kr")
    assert fc.class_names() == fc.CLASS_NAMES


def test_the_variable_sets_the_language_and_the_locale_does_not():
    code = """if True:
        import fashion_cnn as fc, importlib, os, sys
        from fashion_cnn import language
        for value in ("", "en", "ko", "fr"):
            os.environ[language.LANGUAGE_VARIABLE] = value
            importlib.reload(language)
            try: print(language.class_names()[8])
            except ValueError as error: print(error)
        assert "matplotlib" not in sys.modules
        os.environ["MPLBACKEND"] = "wrong"  # which makes the import of Matplotlib fail
        fc.use_language("ko")
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"LANGUAGE": "ko", "LC_ALL": "ko_KR.UTF-8", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    *names, error = done.stdout.splitlines()
    assert names == ["Bag", "Bag", "가방"]
    assert error.endswith("from use_language or FASHION_CNN_LANGUAGE, got 'fr'")


def test_tables_are_korean(tiny, trained):
    model, history, _ = trained
    fc.use_language("ko")
    validation = fc.evaluate(model, tiny.validation)
    report = fc.reproduction_report(model, tiny, history, validation=validation)
    assert all(has_hangul(name) for name in [*report.index, *report.columns])
    assert has_hangul(str(tiny.source))


@pytest.mark.slow
def test_every_picture_in_korean_with_a_glyph_for_each_letter(tiny):
    """Matplotlib warns of each letter that no font has; pytest makes that an error."""
    fc.use_language("ko")
    before = dict(plt.rcParams)
    images, labels = tiny.test.images[:3], tiny.test.labels[:3]
    probabilities = np.full((3, 10), 0.05, np.float32)
    probabilities[:, 4] = 0.55
    prediction = fc.Prediction(4, "Coat", 0.55, probabilities[0], 0.4)
    model = fc.build_cnn()
    history = type("History", (), {})()
    history.history = {name: [0.5] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    figures = [
        fc.plot_images(images, labels, [4, 4, 4]),
        fc.plot_history(history),
        fc.plot_prediction(images[0], prediction, true_label=8),
        fc.plot_confusion_matrix([0, 1], [0, 2]).figure,
        fc.plot_photo_steps(images[0]),
        fc.inside.plot_reliability(labels, probabilities).figure,
        fc.inside.plot_layers(images[0], fc.inside.layer_outputs(model, images[0])),
        fc.inside.plot_strides(),
        fc.inside.plot_grids([np.eye(3)], ["10"]),
    ]
    for number, figure in enumerate(figures):
        has_letters = any(letter.isalpha() for letter in texts(figure))
        assert has_hangul(texts(figure)) == has_letters, number
        assert has_hangul(figure.get_label()), number
        figure.draw_without_rendering()
    assert dict(plt.rcParams) == before


def test_korean_in_pictures_of_a_readers_own():
    """Matplotlib warns of each letter that no font has; pytest makes that an error."""
    for _ in range(2):
        fc.use_language("ko")
    fc.use_language("en")
    ax = plt.figure().add_subplot()
    ax.set(title="가방", xlabel="셔츠")
    ax.figure.draw_without_rendering()
    assert len(set(ax.title.get_fontfamily())) == len(ax.title.get_fontfamily())


def test_english_where_there_is_no_korean_font(tiny, monkeypatch):
    fonts = [font for font in fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(fontManager, "ttflist", [*fonts])  # Matplotlib's own, and no other
    assert language.korean_font() == "NanumGothic"  # of the package
    monkeypatch.setattr(fontManager, "ttflist", fonts)
    monkeypatch.setattr(language.importlib.util, "find_spec", lambda name: None)
    fc.use_language("ko")
    with pytest.warns(UserWarning, match=r'한글 글꼴.*pip install "fashion-cnn\[ko\]"') as caught:
        figure = fc.plot_images(tiny.test.images[:3], tiny.test.labels[:3])
    assert {warning.filename for warning in caught} == {__file__}  # it names the caller's line
    assert not has_hangul(texts(figure) + figure.get_label())
    figure.draw_without_rendering()
    assert fc.class_names()[4] == "코트"  # only pictures need a font
