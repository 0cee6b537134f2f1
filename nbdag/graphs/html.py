"""A Dag as the output of a notebook cell, for every program that displays notebooks.

The output contains HTML, because JupyterLab prefers HTML to other formats. In a trusted notebook, the SVG inside the
HTML is drawn, with tooltips and the colours of the theme. In an untrusted notebook, and on GitHub, the HTML is
sanitized: the tags of style sheets and SVG are removed, but the text inside them remains. So the HTML hides the SVG,
and a style sheet makes it visible. If the style sheet is removed, an image of the same picture is shown instead,
because sanitizers keep images.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from ..core.model.dag import Dag, Problem
from .labels import listing
from .marks import Mark
from .svg import size, svg

# A picture that is wider than the page is shrunk, but at most to this fraction of its width. If it is still too wide,
# it scrolls.
_SMALLEST = 0.6
_STYLE = (
    ".nbdag-live{display:block!important;overflow-x:auto}.nbdag-still{display:none!important}"
    f".nbdag-live svg{{max-width:100%;min-width:calc(var(--nbdag-width)*{_SMALLEST});height:auto}}"
)


def bundle(dag: Dag, marks: Mapping[str, Mark] | None = None, *, direction: str = "auto") -> dict[str, str]:
    """Return the MIME bundle for a cell's output: the picture as HTML, SVG and text, and the notebook's problems."""
    picture = svg(dag, marks, direction=direction)
    return {
        "text/html": _page(picture, dag),
        "image/svg+xml": picture,
        "text/plain": "\n".join([listing(dag, marks or {}), *map(problem_line, dag.problems)]),
    }


def html(dag: Dag, marks: Mapping[str, Mark] | None = None, *, direction: str = "auto") -> str:
    """Return the picture, with the problems below it, as an HTML fragment."""
    return _page(svg(dag, marks, direction=direction), dag)


def _page(picture: str, dag: Dag) -> str:
    data = base64.b64encode(picture.encode()).decode()
    words = escape(listing(dag, {}).splitlines()[0], quote=True)
    return (
        f"<style>{_STYLE}</style>"
        f'<div class="nbdag-live" hidden style="display:none;--nbdag-width:{size(picture)[0]}px">{picture}</div>'
        f'<img class="nbdag-still" alt="{words}" src="data:image/svg+xml;base64,{data}">{_problems(dag.problems)}'
    )


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{escape(problem_line(problem))}</li>" for problem in problems)
    return f'<ul class="nbdag-problems" style="margin:.5em 0 0">{items}</ul>'


def problem_line(problem: Problem) -> str:
    """Return a problem as a line of text with sign, code, place, message and hint."""
    sign = "✗" if problem.severity == "error" else "△"
    where = f"{problem.place}: " if problem.place is not None else ""
    hint = f"; {problem.hint}" if problem.hint else ""
    return f"{sign} {problem.code} {where}{problem.message}{hint}"
