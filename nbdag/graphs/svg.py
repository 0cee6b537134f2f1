"""A Dag as SVG: one picture that is legible on light and dark backgrounds, as a file and in a notebook.

The background is transparent. Text has a halo in the background colour, nodes are filled with that colour, and lines
have a medium brightness. So the picture is legible even if the themes of the page and the system differ.
In a page, the colours come from CSS variables of JupyterLab or VS Code; in a file, from the system's theme. No element
has an id, so several pictures can be in one page. The picture contains no scripts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from xml.sax.saxutils import escape, quoteattr

from ..core.model.dag import Dag, Edge, Task
from .dot import dot
from .labels import CROWDED, NAME, edge_label, edge_tooltip, listing, mark_text, shorten, task_note, task_tooltip, title
from .layout import Box, Curve, Layout, Point, lay_out
from .marks import STATE_STYLES, Mark, state_style

PAGE = 900.0  # maximum width in points of a picture that fits into a notebook without scrolling
_PAD = 8.0
_STEP = 90.0  # smallest possible length in points of a task and its arrow, from left to right
_STACK = 3.5  # distance in points between the stacked boxes of a mapped task

_LIGHT = {"ink": "#1f2328", "soft": "#59636e", "paper": "#ffffff", "line": "#8a94a0"}
_DARK = {"ink": "#e6edf3", "soft": "#a3acb6", "paper": "#15181d", "line": "#6f7a86"}


def svg(dag: Dag, marks: Mapping[str, Mark] | None = None, *, direction: str = "auto", theme: str = "auto") -> str:
    """Return the graph as an SVG document.

    `direction` is TB, LR, or auto to choose the direction that fits a page. `theme` is auto, light or dark. With light
    or dark, the picture has fixed colours and a filled background.
    """
    marks = marks or {}
    layout = arrange(dag, marks, direction)
    width, height = layout.width + 2 * _PAD, layout.height + 2 * _PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbdag" role="img" aria-label={quoteattr(title(dag))}'
        f' width="{width:.0f}" height="{height:.0f}" viewBox="{-_PAD:g} {-_PAD:g} {width:.0f} {height:.0f}">',
        f"<title>{escape(title(dag))}</title>",
        f"<desc>{escape(listing(dag, marks))}</desc>",
        f"<style>{_style(theme, {marks.get(task, Mark()).state for task in dag.tasks})}</style>",
    ]
    if theme != "auto":
        parts.append(f'<rect class="page" x="{-_PAD:g}" y="{-_PAD:g}" width="100%" height="100%"/>')
    crowded = len(dag.edges) > CROWDED
    for edge in (*dag.edges, *dag.file_edges):
        if (curve := layout.curves.get((edge.source, edge.target))) is not None:
            parts.append(_edge(edge, curve, crowded=crowded))
    parts.extend(_node(task, layout.boxes[task.id], marks.get(task.id)) for task in dag.tasks.values())
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def arrange(dag: Dag, marks: Mapping[str, Mark], direction: str = "auto") -> Layout:
    """Return the layout of the graph.

    With `auto`, the graph runs from left to right if this fits a page, else from top to bottom if this fits the width
    of a page. If neither fits, the narrower layout is used.

    Each node has room for the longest text of any state, so that nodes do not move when states change.
    """
    if marks:
        # Reserve room for "3 min 5 s", so that a long duration does not widen its node.
        longest = max((Mark(state="success", duration=185.0), *marks.values()), key=lambda mark: len(mark_text(mark)))
        marks = {
            task: replace(longest, count=marks.get(task, longest).count, reason="", selected=False)
            for task in dag.tasks
        }
    if direction != "auto":
        return lay_out(dot(dag, marks, direction=direction))
    if _depth(dag) * _STEP <= PAGE:
        across = lay_out(dot(dag, marks, direction="LR"))
        if across.width <= PAGE and across.height <= PAGE:
            return across
    down = lay_out(dot(dag, marks, direction="TB"))
    if down.width <= PAGE:
        return down
    return min(lay_out(dot(dag, marks, direction="LR")), down, key=lambda layout: layout.width)


def _depth(dag: Dag) -> int:
    """Return the number of tasks on the longest path through the graph, or 1 if there is a cycle."""
    depth: dict[str, int] = {}
    for task in dag.order:
        depth[task] = 1 + max((depth.get(other, 0) for other in dag.upstream[task]), default=0)
    return max(depth.values(), default=1)


def size(picture: str) -> tuple[int, int]:
    """Return the width and height, in points, of a picture that `svg` drew."""
    match = re.search(r'width="(\d+)" height="(\d+)"', picture)
    assert match is not None
    return int(match[1]), int(match[2])


def _style(theme: str, states: set[str]) -> str:
    """Return the style sheet. Its colours are CSS variables; for a fixed theme, they are literal values."""
    fixed = {"light": _LIGHT, "dark": _DARK}.get(theme)
    value = dict(fixed) if fixed else {name: f"var(--nbdag-{name})" for name in _LIGHT}
    font = "font-family:Helvetica,Arial,'Liberation Sans',sans-serif"
    light, dark = (f"svg.nbdag{{{_variables(colours)}}}" for colours in (_LIGHT, _DARK))
    rules = [] if fixed else [light, f"@media(prefers-color-scheme:dark){{{dark}}}"]
    rules += [
        f".nbdag text{{{font};fill:{value['ink']}}}",
        f".nbdag .id{{font-size:13px}}.nbdag .note{{font-size:11px;fill:{value['soft']}}}",
        f".nbdag .names{{font-size:11px;text-anchor:middle;fill:{value['soft']};"
        f"stroke:{value['paper']};stroke-width:3px;stroke-linejoin:round;paint-order:stroke}}",
        f".nbdag .line{{fill:none;stroke:{value['line']};stroke-width:1.2px}}.nbdag .tip{{fill:{value['line']}}}",
        ".nbdag .declared{stroke-dasharray:5 3}.nbdag .files{stroke-dasharray:2 3}",
        f".nbdag .box{{fill:{value['paper']};stroke-width:1.3px}}.nbdag .chosen .box{{stroke-width:3px}}",
        ".nbdag .sign{fill:none;stroke-width:1.6px;stroke-linecap:round;stroke-linejoin:round}",
    ]
    if fixed:
        rules.append(f".nbdag .page{{fill:{fixed['paper']}}}")
    else:
        # An edge is highlighted while the pointer is over it.
        rules.append(".nbdag .edge:hover .line{stroke-width:2.4px}.nbdag .edge:hover .names{fill:var(--nbdag-ink)}")
    for state in sorted(states):
        colour = state_style(state).colour
        name = _class(state)
        rules.append(
            f".nbdag .{name} .box,.nbdag .{name} .sign{{stroke:{colour}}}.nbdag .{name} .full{{fill:{colour}}}"
        )
        if name != "none":
            tint = _mix(colour, fixed["paper"]) if fixed else f"color-mix(in srgb,{colour} 13%,{value['paper']})"
            rules.append(f".nbdag .{name} .box{{fill:{tint}}}")
    return "".join(rules)


def _variables(colours: Mapping[str, str]) -> str:
    return ";".join(f"--nbdag-{name}:" + _themed(name, colour) for name, colour in colours.items())


def _themed(name: str, colour: str) -> str:
    return {
        "ink": f"var(--jp-ui-font-color1,var(--vscode-editor-foreground,{colour}))",
        "soft": f"var(--jp-ui-font-color2,var(--vscode-descriptionForeground,{colour}))",
        "paper": f"var(--jp-layout-color0,var(--vscode-editor-background,{colour}))",
    }.get(name, colour)


def _mix(colour: str, paper: str) -> str:
    def channels(text: str) -> list[int]:
        return [int(text[at : at + 2], 16) for at in (1, 3, 5)]

    mixed = (round(0.13 * a + 0.87 * b) for a, b in zip(channels(colour), channels(paper), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _class(state: str) -> str:
    return state if state in STATE_STYLES else "other"


def _node(task: Task, box: Box, given: Mark | None) -> str:
    mark = given or Mark()
    style = state_style(mark.state)
    classes = f"task {_class(mark.state)}" + (" chosen" if mark.selected else "")
    behind = (2, 1) if task.options.map else ()
    room = _STACK * len(behind)
    left, top = box.x - box.width / 2, box.y - box.height / 2 + room
    width, height = box.width - room, box.height - room
    boxes = "".join(
        f'<rect class="box" x="{left + _STACK * n:.1f}" y="{top - _STACK * n:.1f}"'
        f' width="{width:.1f}" height="{height:.1f}" rx="7"/>'
        for n in (*behind, 0)
    )
    note = task_note(task, given)
    middle = top + height / 2
    text = _text("id", left + 28, middle + (-2 if note else 4.5), shorten(task.id, NAME))
    if note:
        text += _text("note", left + 28, middle + 12.5, note)
    full = f'<path class="full" d="{style.filled}"/>' if style.filled else ""
    sign = f'<g transform="translate({left + 9:.1f} {middle - 6:.1f})">{full}<path class="sign" d="{style.path}"/></g>'
    return f'<g class="{classes}"><title>{escape(task_tooltip(task, mark))}</title>{boxes}{sign}{text}</g>'


def _edge(edge: Edge, curve: Curve, *, crowded: bool) -> str:
    kind = " files" if edge.files else " declared" if edge.declared else ""
    parts = [
        f'<g class="edge"><title>{escape(edge_tooltip(edge))}</title>',
        f'<path class="line{kind}" d="{line_path(curve)}"/>',
    ]
    if curve.tip is not None:
        parts.append(f'<path class="tip" d="{tip_path(curve)}"/>')
    if curve.label is not None:
        x, y = curve.label
        parts.append(_text("names", x, y + 3.8, edge_label(edge, crowded=crowded)))
    return "".join([*parts, "</g>"])


def _text(css_class: str, x: float, y: float, text: str) -> str:
    return f'<text class="{css_class}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def line_path(curve: Curve) -> str:
    """Return the line of an edge as SVG path data."""
    first, *others = curve.points
    return f"M{_at(first)}C{' '.join(map(_at, others))}"


def tip_path(curve: Curve) -> str:
    """Return the arrow at the end of an edge as SVG path data, or "" if the edge has no arrow."""
    return "" if curve.tip is None else _arrow(curve.points[-1], curve.tip)


def _arrow(base: Point, tip: Point) -> str:
    dx, dy = tip[0] - base[0], tip[1] - base[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    nx, ny = -dy / length * 2.9, dx / length * 2.9
    return f"M{_at(tip)}L{_at((base[0] + nx, base[1] + ny))}L{_at((base[0] - nx, base[1] - ny))}z"


def _at(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
