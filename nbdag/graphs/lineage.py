"""The graph of all deployed pipelines and the assets between them, as SVG, DOT or Mermaid."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import graphviz

from .dot import FONT, LINE
from .labels import shorten
from .layout import lay_out
from .svg import line_path, tip_path

LINEAGE_FORMATS = ("svg", "dot", "mmd")
_NAME = 60  # maximum number of characters of a name that are shown
_STYLE = """
  .back {{ fill: none }}
  path.line {{ fill: none; stroke: {line}; stroke-width: 1.2 }}
  path.tip {{ fill: {line} }}
  .dag {{ fill: none; stroke: #4078c0; stroke-width: 1.4 }}
  .asset {{ fill: none; stroke: {line}; stroke-dasharray: 4 2 }}
  text {{ font: 13px {font}, Arial, sans-serif; fill: #24292f; text-anchor: middle; dominant-baseline: central }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}
"""


def lineage_picture(dags: Sequence[str], assets: Sequence[str], edges: Sequence[tuple[str, str]], format: str) -> str:
    """Return the graph as text. In `edges`, a pipeline is `dag:ID`, and an asset is its name."""
    nodes = [*((f"dag:{dag}", dag, "dag") for dag in dags), *((asset, asset, "asset") for asset in assets)]
    if format == "mmd":
        return _mermaid(nodes, edges)
    source = _dot(nodes, edges)
    return source if format == "dot" else _svg(source, nodes)


def _dot(nodes: Sequence[tuple[str, str, str]], edges: Sequence[tuple[str, str]]) -> str:
    graph = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "bgcolor": "transparent", "pad": "0.1", "fontname": FONT},
        node_attr={"shape": "box", "fontname": FONT, "fontsize": "13", "height": "0.36"},
        edge_attr={"color": LINE, "arrowsize": "0.7"},
    )
    # Numbered names, because Graphviz reads a colon in a name as the start of a port.
    names = {key: f"n{number}" for number, (key, _, _) in enumerate(nodes)}
    for key, label, kind in nodes:
        style = "rounded" if kind == "dag" else "dashed"
        graph.node(
            names[key], label=graphviz.escape(shorten(label, _NAME)), tooltip=graphviz.escape(label), style=style
        )
    for one, other in edges:
        graph.edge(names[one], names[other])
    return str(graph.source)


def _svg(source: str, nodes: Sequence[tuple[str, str, str]]) -> str:
    layout = lay_out(source)
    width, height = round(layout.width) + 16, round(layout.height) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="-8 -8 {width} {height}" '
        'role="img" aria-label="pipelines and assets">',
        f"<style>{_STYLE.format(line=LINE, font=FONT)}</style>",
    ]
    for curve in layout.curves.values():
        parts.append(f'<path class="line" d="{line_path(curve)}"/><path class="tip" d="{tip_path(curve)}"/>')
    for number, (_, label, kind) in enumerate(nodes):
        box = layout.boxes[f"n{number}"]
        left, top, radius = box.x - box.width / 2, box.y - box.height / 2, 6 if kind == "dag" else 0
        parts.append(
            f'<g><title>{escape(label)}</title><rect class="{kind}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius}"/>'
            f'<text x="{box.x:.1f}" y="{box.y:.1f}">{escape(shorten(label, _NAME))}</text></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _mermaid(nodes: Sequence[tuple[str, str, str]], edges: Sequence[tuple[str, str]]) -> str:
    names = {key: f"n{number}" for number, (key, _, _) in enumerate(nodes)}
    lines = ["flowchart LR"]
    for key, label, kind in nodes:
        opening, closing = ("(", ")") if kind == "dag" else ("[/", "/]")
        text = "".join(c if c.isalnum() or c in " _-./" else f"#{ord(c)};" for c in shorten(label, _NAME))
        lines.append(f'  {names[key]}{opening}"{text}"{closing}')
    lines += [f"  {names[one]} --> {names[other]}" for one, other in edges]
    return "\n".join(lines) + "\n"
