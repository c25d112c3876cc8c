"""Check which modules may import which, and what `import` alone must not load.

``python tests/test_house.py docs/house.svg`` (or ``make house``) draws the imports.
"""

import ast
import graphlib
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest
from conftest import ROOT, TINY_DIR

import fashion_cnn as fc

SOURCE = ROOT / "src" / "fashion_cnn"
DRAWING = ROOT / "docs" / "house.svg"
MODULES = sorted(SOURCE.rglob("*.py"))
WINGS = ("inside", "photo", "study", "app")
# Heavy or optional: a function may import these, with a comment that says why.
LATE = {
    *(
        "babel",
        "distributed",
        "keras",
        "matplotlib",
        "pandas",
        "pooch",
        "pydot",
        "pygraphviz",
        "requests",
    ),
    *("sklearn", "tensorflow", "tqdm", "urllib3", "fashion_cnn"),
}


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


def test_no_private_name_of_another_module_is_used():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fashion_cnn"):
                assert not any(alias.name.startswith("_") for alias in node.names), path


def test_imports_inside_functions_have_a_reason():
    for path in MODULES:
        text = path.read_text("utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        top_level = {id(node) for block in ast.walk(tree) for node in top_level_of(block)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in top_level:
                names = [getattr(node, "module", None) or node.names[0].name]
                assert names[0].partition(".")[0] in LATE, f"{path}:{node.lineno}"
                nearby = lines[node.lineno - 3 : node.end_lineno]
                assert any("#" in line for line in nearby), f"{path}:{node.lineno} gives no reason"


def top_level_of(node):
    """The imports of a module itself, and of its blocks for type checking."""
    if isinstance(node, ast.Module):
        for statement in node.body:
            yield from statement.body if isinstance(statement, ast.If) else [statement]


@pytest.mark.parametrize("module", ["", ".images", ".data", ".photo", ".prediction", ".app.cli"])
def test_imported_without_tensorflow(module):
    code = (
        f"import sys, fashion_cnn{module}, fashion_cnn as fc\n"
        f"fc.load_fashion_mnist({str(TINY_DIR)!r})\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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


def test_version_is_the_installed_one():
    assert fc.__version__ == importlib.metadata.version("fashion-cnn")


def test_the_drawing_shows_the_imports():
    drawn = re.findall(r"<title>([\w.]+)&#45;&gt;([\w.]+)</title>", DRAWING.read_text())
    expected = {(module, other) for module, others in imports().items() for other in others}
    assert set(drawn) == expected


def draw(path):
    """Draw the graph of imports, the wings in boxes."""
    import pygraphviz

    graph = pygraphviz.AGraph(directed=True, rankdir="TB", ranksep="0.5", nodesep="0.15")
    graph.node_attr.update(shape="box", style="rounded,filled", fillcolor="white", height="0.3")
    graph.node_attr.update(fontname="Helvetica", fontsize="11")
    graph.edge_attr.update(color="#888888", arrowsize="0.6")
    for module, imported in imports().items():
        graph.add_node(module, label=module)
        for other in imported:
            graph.add_edge(module, other)
    for wing in WINGS:
        rooms = [module for module in imports() if wing_of(module) == wing]
        graph.add_subgraph(rooms, name=f"cluster_{wing}", style="rounded,filled", color="#DCE9F5")
    graph.draw(path, prog="dot")


if __name__ == "__main__":
    draw(sys.argv[1])
