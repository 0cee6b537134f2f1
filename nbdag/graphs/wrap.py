"""Arrange the unconnected parts of a graph in rows. Graphviz itself puts all parts into one row, however wide.

The layout of each part stays as it is. Each part gets a rectangle of its own, so no two parts overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .layout import Curve, Layout, Point

_GAP = 22.0  # points between two parts
_STEP = 1.12  # the next number of rows to try is the previous number times this factor, but at least one more
Offset = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Part:
    """The rectangle around the tasks and edges of one part."""

    tasks: frozenset[str]
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


def wrap(layout: Layout, space: tuple[float, float]) -> Layout:
    """Return the layout with its unconnected parts in as many rows as make the picture largest in `space`.

    `space` is a width and a height in points. If the graph is connected, or rows do not make the picture larger, return
    the layout unchanged.
    """
    parts = _parts(layout)
    if len(parts) < 2:
        return layout

    def scale(width: float, height: float) -> float:
        return min(space[0] / max(width, 1.0), space[1] / max(height, 1.0))

    best, largest = None, scale(layout.width, layout.height)
    for row in _row_widths(parts):
        offsets, width, height = _place(parts, row)
        if scale(width, height) > largest * 1.01:
            largest, best = scale(width, height), (offsets, width, height)
    return layout if best is None else _moved(layout, parts, *best)


def _parts(layout: Layout) -> list[_Part]:
    """Return the connected parts, in the order of their first tasks in the notebook."""
    above: dict[str, str] = {task: task for task in layout.boxes}

    def root(task: str) -> str:
        while above[task] != task:
            above[task] = task = above[above[task]]
        return task

    for source, target in layout.curves:
        above[root(source)] = root(target)
    tasks: dict[str, list[str]] = {}
    for task in layout.boxes:
        tasks.setdefault(root(task), []).append(task)
    curves: dict[str, list[Curve]] = {}
    for (source, _), curve in layout.curves.items():
        curves.setdefault(root(source), []).append(curve)
    return [_part(layout, members, curves.get(first, [])) for first, members in tasks.items()]


def _part(layout: Layout, tasks: Sequence[str], curves: Sequence[Curve]) -> _Part:
    boxes = [layout.boxes[task] for task in tasks]
    points = [point for curve in curves for point in _points(curve)]
    return _Part(
        frozenset(tasks),
        min([*(box.x - box.width / 2 for box in boxes), *(x for x, _ in points)]),
        min([*(box.y - box.height / 2 for box in boxes), *(y for _, y in points)]),
        max([*(box.x + box.width / 2 for box in boxes), *(x for x, _ in points)]),
        max([*(box.y + box.height / 2 for box in boxes), *(y for _, y in points)]),
    )


def _points(curve: Curve) -> Iterator[Point]:
    yield from curve.points
    for point in (curve.tip, curve.label):
        if point is not None:
            yield point


def _row_widths(parts: Sequence[_Part]) -> Iterator[float]:
    """Yield the row widths to try: first the width of one row, then narrower widths that give more rows."""
    total = sum(part.width + _GAP for part in parts)
    widest = max(part.width for part in parts)
    rows = 1.0
    while True:
        yield max(total / int(rows), widest)
        if rows >= len(parts):
            return
        rows = min(max(rows * _STEP, rows + 1), float(len(parts)))


def _place(parts: Sequence[_Part], row: float) -> tuple[list[Offset], float, float]:
    """Return how far each part moves if no row is wider than `row`, and the total width and height of the rows."""
    offsets: list[Offset] = []
    x = y = height = width = 0.0
    for part in parts:
        if x > 0 and x + part.width > row:
            x, y, height = 0.0, y + height + _GAP, 0.0
        offsets.append((x - part.left, y - part.top))
        x += part.width + _GAP
        width, height = max(width, x - _GAP), max(height, part.height)
    return offsets, width, y + height


def _moved(layout: Layout, parts: Sequence[_Part], offsets: Sequence[Offset], width: float, height: float) -> Layout:
    by = {task: offset for part, offset in zip(parts, offsets, strict=True) for task in part.tasks}
    boxes = {task: replace(box, x=box.x + by[task][0], y=box.y + by[task][1]) for task, box in layout.boxes.items()}
    curves = {}
    for edge, curve in layout.curves.items():
        dx, dy = by[edge[0]]
        curves[edge] = Curve(
            points=tuple((x + dx, y + dy) for x, y in curve.points),
            tip=None if curve.tip is None else (curve.tip[0] + dx, curve.tip[1] + dy),
            label=None if curve.label is None else (curve.label[0] + dx, curve.label[1] + dy),
        )
    return Layout(width=width, height=height, boxes=boxes, curves=curves)
