"""Tests that unconnected parts of a graph are arranged in rows."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from nbdag.graphs.layout import Box, Curve, Layout
from nbdag.graphs.wrap import wrap


def chains(count: int, length: int, *, across: bool) -> Layout:
    """Return the layout that Graphviz makes of `count` chains: side by side, or below one another."""
    boxes, curves = {}, {}
    for chain in range(count):
        for n in range(length):
            x, y = 60.0 + 120 * chain, 25.0 + 80 * n
            boxes[f"{chain}.{n}"] = Box(x=x if across else y, y=y if across else x, width=70, height=40)
        for n in range(1, length):
            points = tuple(
                (x, y) if across else (y, x) for x, y in ((60.0 + 120 * chain, 80.0 * n - 35 + k) for k in range(4))
            )
            curves[f"{chain}.{n - 1}", f"{chain}.{n}"] = Curve(points=points, tip=points[-1], label=None)
    width, height = 120.0 * count, 80.0 * length
    return Layout(width=width if across else height, height=height if across else width, boxes=boxes, curves=curves)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(("count", "length"), [(200, 10), (40, 3), (2000, 1)])
def test_many_chains_are_drawn_larger_in_rows(count, length, across):
    before = chains(count, length, across=across)
    after = wrap(before, (1200.0, 600.0))
    assert after.boxes.keys() == before.boxes.keys()

    def scale(layout: Layout) -> float:
        return min(1200 / layout.width, 600 / layout.height)

    assert scale(after) > 1.5 * scale(before)
    assert 0.5 < (after.width / after.height) / 2.0 < 2.0, "the rows fill the space"
    for box in after.boxes.values():
        assert box.width / 2 <= box.x <= after.width - box.width / 2
        assert box.height / 2 <= box.y <= after.height - box.height / 2


def test_the_parts_keep_their_shape_and_do_not_overlap():
    before = chains(30, 4, across=True)
    after = wrap(before, (900.0, 500.0))
    corners = []
    for chain in range(30):
        names = [f"{chain}.{n}" for n in range(4)]
        offsets = {(after.boxes[n].x - before.boxes[n].x, after.boxes[n].y - before.boxes[n].y) for n in names}
        (moved,) = {(round(x, 6), round(y, 6)) for x, y in offsets}
        for edge in pairwise(names):
            for (x, y), (u, v) in zip(before.curves[edge].points, after.curves[edge].points, strict=True):
                assert (round(u - x, 6), round(v - y, 6)) == moved
        boxes = [after.boxes[name] for name in names]
        corners.append((min(b.x - b.width / 2 for b in boxes), min(b.y - b.height / 2 for b in boxes),
                        max(b.x + b.width / 2 for b in boxes), max(b.y + b.height / 2 for b in boxes)))  # fmt: skip
    for (left, top, right, bottom), (a, b, c, d) in combinations(corners, 2):
        assert right < a or c < left or bottom < b or d < top


def test_the_parts_are_read_in_the_order_of_the_notebook():
    after = wrap(chains(30, 4, across=False), (900.0, 500.0))
    firsts = [after.boxes[f"{chain}.0"] for chain in range(30)]
    assert firsts == sorted(firsts, key=lambda box: (round(box.y), box.x))


def test_a_connected_graph_and_parts_that_fit_best_in_one_row_stay_as_they_are():
    for layout, space in ((chains(1, 50, across=True), (900.0, 500.0)), (chains(9, 2, across=True), (1080.0, 160.0))):
        assert wrap(layout, space) is layout or wrap(layout, space).height <= layout.height


def test_parts_of_different_sizes_are_packed_for_any_space():
    draw = random.Random(1)
    boxes = {
        f"t{n}": Box(x=400.0 * n, y=200.0, width=draw.uniform(20, 300), height=draw.uniform(20, 200)) for n in range(40)
    }
    before = Layout(width=16_000.0, height=400.0, boxes=boxes, curves={})
    for space in ((100.0, 2000.0), (2000.0, 100.0), (1.0, 1.0), (800.0, 800.0)):
        after = wrap(before, space)
        for one, other in combinations(after.boxes.values(), 2):
            apart = abs(one.x - other.x) >= (one.width + other.width) / 2
            assert apart or abs(one.y - other.y) >= (one.height + other.height) / 2
