"""A Dag, and how its tasks stand, as a picture: SVG, PNG, DOT, Mermaid, or an output of a notebook.

`dot` tells Graphviz what to lay out, `layout` asks it where things go, `svg` draws. A picture is legible with five
tasks and with two hundred, on light and on dark; whatever stands in a notebook is escaped. Nothing here
knows what ran: the caller brings a `Mark` for each task that has something to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.model.dag import Dag
from ..errors import NbdagError
from .dot import dot
from .html import bundle, html
from .labels import listing
from .layout import LayoutError, engine
from .marks import STALE, Mark
from .mermaid import mermaid
from .svg import size, svg

__all__ = [
    "FORMATS", "STALE", "FontError", "FormatError", "LayoutError", "Mark", "bundle", "dot", "engine", "html", "listing",
    "mermaid", "png", "render", "svg",
]  # fmt: skip

_PIXELS = 16_000  # the longest side that viewers still show
FORMATS = ("svg", "png", "dot", "mmd")


class FormatError(NbdagError):
    """A picture was asked for in a format that is not drawn."""

    exit_code = 2

    def __init__(self, format: str, known: Sequence[str] = FORMATS) -> None:
        super().__init__(format)
        self.format = format
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"no picture is drawn as {self.format!r}; use one of {', '.join(self.known)}"


class FontError(NbdagError):
    """A PNG was asked for where no font is installed, so it would have no words."""

    def __str__(self) -> str:
        return "a PNG needs a font and this machine has none; install one, such as fonts-dejavu-core, or draw an SVG"


def render(dag: Dag, format: str = "svg", marks: Mapping[str, Mark] | None = None, *, direction: str = "auto") -> bytes:
    """The graph as the contents of a file.

    `format` is svg, png, dot or mmd (`mermaid` and a leading dot are understood), `direction` is TB (downwards), LR
    (to the right) or auto.
    """
    asked = format.lower().lstrip(".")
    fixed = "TB" if direction == "auto" else direction
    if asked == "svg":
        return svg(dag, marks, direction=direction).encode()
    if asked == "png":
        return png(dag, marks, direction=direction)
    if asked in ("dot", "gv"):
        return dot(dag, marks, direction=fixed).encode()
    if asked in ("mmd", "mermaid"):
        return mermaid(dag, marks, direction=fixed).encode()
    raise FormatError(format)


def png(dag: Dag, marks: Mapping[str, Mark] | None = None, *, direction: str = "auto", scale: float = 2.0) -> bytes:
    """The graph as a PNG on white paper, `scale` pixels to a point (less where it would pass 16,000 pixels)."""
    import resvg_py

    fonts = _fonts()
    picture = svg(dag, marks, direction=direction, theme="light")
    zoom = min(scale, _PIXELS / max(size(picture)))
    return bytes(resvg_py.svg_to_bytes(svg_string=picture, zoom=zoom, **fonts))


def _fonts() -> dict[str, Any]:
    """What resvg is told of fonts: nothing where the machine has one, else the one that matplotlib brings along."""
    import resvg_py

    def drawn(text: str, fonts: Mapping[str, Any]) -> bytes:
        page = f'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><text y="15">{text}</text></svg>'
        return bytes(resvg_py.svg_to_bytes(svg_string=page, **fonts))

    found: list[dict[str, Any]] = [{}]
    matplotlib = find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin is not None:
        file = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        found.append({"font_files": [str(file)], "font_family": "DejaVu Sans", "sans_serif_family": "DejaVu Sans"})
    for fonts in found:
        if drawn("M", fonts) != drawn("", fonts):
            return fonts
    raise FontError
