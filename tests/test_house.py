"""Check which modules may import which, and what `import` alone must not load."""

import ast
import graphlib
import importlib
import inspect
import re
from pathlib import Path

import grimp
import pytest
from conftest import ROOT

SOURCE = ROOT / "src" / "fashion_cnn"
DRAWING = ROOT / "docs" / "house.svg"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
WINGS = {"inside", "photo", "report", "study", "app"}  # unlikeness is a room of prediction's


def imports():
    """Return which module imports which, for type checking and inside functions too."""
    graph = grimp.build_graph("fashion_cnn", cache_dir=None)
    return {
        name_of(module): sorted(map(name_of, graph.find_modules_directly_imported_by(module)))
        for module in sorted(graph.modules)
    }


def name_of(module):
    return module.removeprefix("fashion_cnn").removeprefix(".") or "fashion_cnn"


def wing_of(module):
    first = module.partition(".")[0]
    return first if first in WINGS else None


def test_no_circle():
    graphlib.TopologicalSorter(imports()).prepare()  # raises CycleError


def test_the_core_imports_no_wing_and_no_wing_another():
    for module, imported in imports().items():
        if wing_of(module) != "app" and module != "__main__":
            wings = {wing_of(other) for other in imported} - {None}
            assert wings <= {wing_of(module)}, module


def private_names(path):
    """The names of a module itself that begin with an underscore."""
    for statement in ast.parse(path.read_text("utf-8")).body:
        for node in ast.walk(statement) if isinstance(statement, ast.Assign) else [statement]:
            name = getattr(node, "id", getattr(node, "name", ""))
            if name.startswith("_") and not name.endswith("_"):
                yield name


def test_no_private_name_of_another_module_is_used():
    private = {path: set(private_names(path)) for path in MODULES}
    for path in [*MODULES, *TESTS]:
        others = set().union(*(names for other, names in private.items() if other != path))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            used = [node.name] if isinstance(node, ast.alias) else [getattr(node, "attr", "")]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":
                used = [str(getattr(argument, "value", "")) for argument in node.args]
            assert not {name.rpartition(".")[2] for name in used} & others, f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", ["fashion_cnn", "fashion_cnn.inside"])
def test_every_public_name_is_there_and_has_a_docstring(package):
    module = importlib.import_module(package)
    stub = Path(module.__file__).with_suffix(".pyi").read_text()
    names = re.findall(r"import \w+ as (\w+)", stub)
    assert sorted(module.__all__) == sorted(names)
    for name in names:
        value = getattr(module, name)
        assert value.__doc__ or name.isupper()
        if inspect.isfunction(value) and len(inspect.signature(value).parameters) > 1:
            assert "Parameters\n" in inspect.cleandoc(value.__doc__), name


def test_the_drawing_shows_the_imports():
    svg = DRAWING.read_text()
    drawn = re.findall(r"<title>([\w.]+)&#45;&gt;([\w.]+)</title>", svg)
    expected = {(module, other) for module, others in imports().items() for other in others}
    assert set(drawn) == expected
    assert set(re.findall(r"<title>cluster_(\w+)</title>", svg)) == WINGS
