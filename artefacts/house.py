"""Draw which module imports which: ``python artefacts/house.py`` (or ``make house``)."""

from pathlib import Path

import grimp
import pygraphviz

PATH = Path(__file__).resolve().parents[1] / "docs" / "house.svg"
BOXES = ("inside", "photo", "report", "study", "app")  # the wings


def draw(path: Path) -> None:
    """Draw the graph of imports, each wing in a box."""
    imports = grimp.build_graph("fashion_cnn", cache_dir=None)
    names = {module: module.removeprefix("fashion_cnn.") for module in sorted(imports.modules)}
    graph = pygraphviz.AGraph(directed=True, rankdir="TB", ranksep="0.5", nodesep="0.15")
    graph.node_attr.update(shape="box", style="rounded,filled", fillcolor="white", height="0.3")
    graph.node_attr.update(fontname="Helvetica", fontsize="11")
    graph.edge_attr.update(color="#888888", arrowsize="0.6")
    for module, name in names.items():
        graph.add_node(name, label=name)
        for other in sorted(imports.find_modules_directly_imported_by(module)):
            graph.add_edge(name, names[other])
    for wing in BOXES:
        rooms = [name for name in names.values() if name.partition(".")[0] == wing]
        graph.add_subgraph(rooms, name=f"cluster_{wing}", style="rounded,filled", color="#DCE9F5")
    graph.draw(str(path), prog="dot")


if __name__ == "__main__":
    draw(PATH)
