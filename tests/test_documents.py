"""What the READMEs and the other documents promise: commands, examples, links, tables."""

import ast
import contextlib
import importlib
import json
import logging
import re

import click
import keras
import numpy as np
import pytest
from conftest import ROOT, TINY_DIR

from fashion_cnn.app import cli

READMES = ["README.md", "README.ko.md"]
DOCUMENTS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[a-z]*/**/*.md"))
DOCUMENTS = [path for path in DOCUMENTS if not {"runs", "_build"} & {*path.parts}]


@pytest.mark.parametrize("readme", READMES)
def test_readme_commands_can_be_called(readme):
    text = (ROOT / readme).read_text("utf-8")
    commands = re.findall(r"^fashion-cnn (.*?) *(?:#.*)?$", text, re.MULTILINE)
    assert {command.split()[0] for command in commands} == set(cli.commands.commands)
    for command in commands:
        name, *args = command.split()
        parent = click.Context(cli.commands, **cli.commands.context_settings)
        cli.commands.commands[name].make_context(name, args, parent)  # refuses what is wrong


@pytest.mark.parametrize("readme", READMES)
def test_make_targets_exist(readme):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", (ROOT / readme).read_text("utf-8"), re.MULTILINE)
    assert {"notebook", "test"} <= set(named) <= set(targets)


@pytest.mark.slow
def test_readme_python_runs(tmp_path, monkeypatch, capsys):
    """That of the Korean one, which is that of the English one but for a line."""
    texts = [(ROOT / readme).read_text("utf-8") for readme in READMES]
    found = ["".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)) for text in texts]
    english, korean = map(ast.parse, found)
    shared = [node for node in korean.body if "use_language" not in ast.dump(node)]
    assert ast.dump(english) == ast.dump(ast.Module(shared, []))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CNN_DATA_DIR", str(TINY_DIR))
    exec(compile(korean, READMES[1], "exec"), {})
    assert "Prediction(label=" in capsys.readouterr().out


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere_and_lines_are_short(path):
    text = path.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert all((path.parent / link).exists() for link in links), links
    for line in text.splitlines():
        assert len(line) <= 120 or line.startswith(("|", "!", "[")), line


@pytest.mark.parametrize("readme", READMES)
def test_readme_is_short_and_its_tables_narrow(readme):
    text = (ROOT / readme).read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.count("|") - 1 <= 5 for row in rows)
    if readme == "README.md":
        assert len(text.split()) < 900


def test_tables_are_the_benchmarks(monkeypatch):
    """The tables match the committed results, to the letter, in both languages."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench, measure = map(importlib.import_module, ("bench", "measure"))
    tables: dict[tuple[str, str], str] = {}
    for part in bench.PARTS:
        tables |= importlib.import_module(part).tables(measure.results_of(part))
    for (document, name), table in tables.items():
        marked = f"<!-- {name} table -->\n{table}<!-- end of {name} table -->"
        assert marked in (ROOT / document).read_text("utf-8"), name
    documents = {document for document, _ in tables}
    assert documents == {*READMES, "docs/benchmarks.md", "docs/photos.md"}
    assert len(tables) == sum(
        (ROOT / document).read_text("utf-8").count("<!-- end of") for document in documents
    )


def test_the_results_are_written_as_they_are_committed(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measure = importlib.import_module("measure")
    text = measure.RESULTS.read_text()
    copy = tmp_path / "results.json"
    copy.write_text(json.dumps(json.loads(text)))
    monkeypatch.setattr(measure, "RESULTS", copy)
    measure.keep_results("page", measure.results_of("page"))
    assert copy.read_text() == text


# What docs/old-keras.md says of old lines


def test_metrics_as_a_word_fail_and_saving_as_h5_warns(tmp_path, caplog):
    def fit(metrics, ending=".keras"):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
        model.compile(loss="sparse_categorical_crossentropy", metrics=metrics)
        checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / f"best{ending}")
        model.fit(np.zeros((4, 2)), np.zeros(4), callbacks=[checkpoint], verbose=0)
        return any("legacy" in record.getMessage() for record in caplog.records)

    with pytest.raises(ValueError, match="metrics"):
        fit("accuracy")
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert not fit(["accuracy"])
        with contextlib.suppress(ValueError):  # early Keras 3 even refuses it
            assert fit(["accuracy"], ".h5")


def test_input_shape_in_a_layer_warns():
    with pytest.warns(UserWarning, match="input_shape"):
        keras.Sequential([keras.layers.Conv2D(2, 3, input_shape=(28, 28, 1))])
