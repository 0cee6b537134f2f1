"""Find a place for the label of each edge, where it covers no box, no line and no other label.

Graphviz reserves room for a label, but lines of other edges may cross this room, and real fonts are wider than Graphviz
assumes. So each label is placed here: at Graphviz's place if that place is free, else beside its own line, near the
middle. A label without a free place is omitted; the edge's tooltip has its text. All lengths are in points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import dist

from .layout import Curve, Layout, Point

_CHARACTER = 7.0  # width of a character of a label: 11 points of a wide font such as DejaVu Sans
_HEIGHT = 14.0
_GAP = 2.5  # smallest distance between a label and anything else
_PARTS = 12  # number of straight parts that approximate one Bézier curve
# Positions of a label along its line, as shares of the line's length; the best position first.
_POSITIONS = (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74, 0.18, 0.82)
Segment = tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class _Area:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Area) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def is_crossed_by(self, segment: Segment) -> bool:
        """Return whether the segment runs through the inside of this area, by Liang and Barsky's algorithm."""
        (ax, ay), (bx, by) = segment
        low, high = 0.0, 1.0
        for start, change, least, most in ((ax, bx - ax, self.left, self.right), (ay, by - ay, self.top, self.bottom)):
            if change == 0.0:
                if not least < start < most:
                    return False
                continue
            first, last = sorted(((least - start) / change, (most - start) / change))
            low, high = max(low, first), min(high, last)
            if low >= high:
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Line:
    segments: tuple[Segment, ...]
    bounds: _Area

    def crosses(self, area: _Area) -> bool:
        return self.bounds.overlaps(area) and any(map(area.is_crossed_by, self.segments))


def place_labels(
    layout: Layout, texts: Mapping[tuple[str, str], str], over_lines: Collection[tuple[str, str]] = ()
) -> dict[tuple[str, str], Point]:
    """Return the centre of each edge's label, by edge. Edges whose label is empty or has no free place are omitted.

    Labels of the edges in `over_lines` may cross lines, but only if there is no other place.
    """
    if not any(texts.values()):
        return {}
    boxes = [
        _Area(
            box.x - box.width / 2 - _GAP,
            box.y - box.height / 2 - _GAP,
            box.x + box.width / 2 + _GAP,
            box.y + box.height / 2 + _GAP,
        )
        for box in layout.boxes.values()
    ]
    lines = {edge: _line(curve) for edge, curve in layout.curves.items()}
    placed: dict[tuple[str, str], Point] = {}
    taken: list[_Area] = []

    def is_free(area: _Area, over_lines: bool) -> bool:
        if any(area.overlaps(other) for other in (*boxes, *taken)):
            return False
        return over_lines or not any(line.crosses(area) for line in lines.values())

    # Short lines first, because they have the fewest places.
    for edge in sorted(texts, key=lambda edge: _length(lines[edge]) if edge in lines else 0.0):
        if not texts[edge] or edge not in lines:
            continue
        width = _CHARACTER * len(texts[edge])
        places = list(_candidates(layout.curves[edge], lines[edge], width))
        again = [(place, True) for place in places] if edge in over_lines else []
        for (x, y), crossing in (*((place, False) for place in places), *again):
            area = _Area(x - width / 2, y - _HEIGHT / 2, x + width / 2, y + _HEIGHT / 2)
            if area.left >= 0 and area.right <= layout.width and is_free(area, crossing):
                placed[edge] = (x, y)
                taken.append(area)
                break
    return placed


def _candidates(curve: Curve, line: _Line, width: float) -> Iterator[Point]:
    if curve.label is not None:
        yield curve.label
    for position in _POSITIONS:
        (ax, ay), (bx, by) = line.segments[min(int(position * len(line.segments)), len(line.segments) - 1)]
        length = dist((ax, ay), (bx, by)) or 1.0
        nx, ny = (ay - by) / length, (bx - ax) / length
        # At this distance from a straight line, the label does not touch the line.
        distance = abs(nx) * width / 2 + abs(ny) * _HEIGHT / 2 + 2 * _GAP
        for side in (1, -1) if nx > 0 or (nx == 0 and ny < 0) else (-1, 1):  # to the right, or above
            yield (ax + bx) / 2 + side * nx * distance, (ay + by) / 2 + side * ny * distance


def _line(curve: Curve) -> _Line:
    points = [curve.points[0]]
    for first in range(0, len(curve.points) - 3, 3):
        a, b, c, d = curve.points[first : first + 4]
        for part in range(1, _PARTS + 1):
            t = part / _PARTS
            u = 1 - t
            x, y = (
                u * u * u * a[axis] + 3 * u * u * t * b[axis] + 3 * u * t * t * c[axis] + t * t * t * d[axis]
                for axis in (0, 1)
            )
            points.append((x, y))
    if curve.tip is not None:
        points.append(curve.tip)
    xs, ys = [x for x, _ in points], [y for _, y in points]
    bounds = _Area(min(xs) - _GAP, min(ys) - _GAP, max(xs) + _GAP, max(ys) + _GAP)
    return _Line(tuple(pairwise(points)) or ((points[0], points[0]),), bounds)


def _length(line: _Line) -> float:
    return sum(dist(*segment) for segment in line.segments)
