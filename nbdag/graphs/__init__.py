"""Draw a `Dag` and the states of its tasks, as SVG, PNG, DOT, Mermaid, or as the output of a notebook cell.

Module `dot` writes the graph for Graphviz, `layout` runs Graphviz, and `svg` draws the picture. A picture is legible
whether it has five or two hundred tasks, and on light and dark backgrounds. All text from a notebook is escaped. The
caller passes the state of each task as a `Mark`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.model.dag import Dag
from ..errors import NbdagError, error
from .dot import dot
from .fold import fold, folded_groups
from .html import bundle, html
from .labels import listing
from .layout import LayoutError, engine
from .marks import STALE, Mark
from .mermaid import mermaid
from .svg import size, svg

__all__ = [
    "FORMATS", "STALE", "FontError", "FormatError", "LayoutError", "Mark", "bundle", "dot", "engine",
    "fold", "folded_groups", "html", "listing", "mermaid", "png", "render", "svg",
]  # fmt: skip

_PIXELS = 16_000  # maximum width and height of a picture in pixels, small enough for common viewers
FORMATS = ("svg", "png", "dot", "mmd")


@error
class FormatError(NbdagError):
    """A picture format is unknown."""

    exit_code = 2
    format: str
    known: Sequence[str] = FORMATS
    template = "unknown picture format {format!r}; expected one of {choices}"

    @property
    def choices(self) -> str:
        """All known formats, separated by commas."""
        return ", ".join(self.known)


class FontError(NbdagError):
    """A PNG cannot be drawn, because no font is installed for its text."""

    template = (
        "a PNG needs a font, but no font is installed; install a package such as fonts-dejavu-core, or draw an SVG"
    )


def render(dag: Dag, format: str = "svg", marks: Mapping[str, Mark] | None = None, *, direction: str = "auto") -> bytes:
    """Return the graph in a file format.

    `format` is svg, png, dot or mmd; `mermaid` and a leading dot are accepted too. `direction` is TB (downwards), LR
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
    """Return the graph as a PNG on white.

    It has `scale` pixels per point, or fewer if a side would exceed 16,000 pixels.
    """
    import resvg_py

    fonts = _fonts()
    picture = svg(dag, marks, direction=direction, theme="light")
    zoom = min(scale, _PIXELS / max(size(picture)))
    return bytes(resvg_py.svg_to_bytes(svg_string=picture, zoom=zoom, **fonts))


def _fonts() -> dict[str, Any]:
    """Return font options for resvg: {} if the system has a font, else options that select matplotlib's font.

    Raise `FontError` if there is neither.
    """
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
