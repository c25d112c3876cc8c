"""Every example in a docstring runs, on the stand-in data, with a trained network at hand."""

import doctest
import importlib

import numpy as np
import pytest
from conftest import ROOT
from test_house import SOURCE

import fashion_cnn as fc

MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>>" in path.read_text("utf-8")
]


def test_many_have_examples():
    assert len(MODULES) >= 8


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, trained, tiny, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    public = {name: getattr(fc, name) for name in fc.__all__} | {
        name: getattr(fc.inside, name) for name in fc.inside.__all__
    }
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("fashion_cnn.training.default_checkpoint", lambda *_: tmp_path / "a.keras")
    names = public | vars(module) | {"np": np, "data": tiny, "model": trained[0]}
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, globs=names, optionflags=options)
    assert result.attempted > 0
    assert result.failed == 0
