"""The labels of edges lie on no box, no line and no other label."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from nbdag.core.model.dag import Dag, Edge, NameUse, Place, Task
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.frontend.graph import LEGIBLE, picture
from nbdag.graphs.label_places import place_labels
from nbdag.graphs.layout import Box, Curve, Layout

NAMES = ("df", "model", "customers_clean", "X_train", "y", "features_by_region", "score")


def graph(tasks: int, seed: int) -> Dag:
    """Return a graph in which each task needs up to three of the tasks before it."""
    chosen = random.Random(seed)
    place = Place(cell=0, line=1)
    edges = {}
    for target in range(1, tasks):
        for source in {chosen.randrange(max(0, target - 5), target) for _ in range(chosen.randint(1, 3))}:
            names = tuple(
                NameUse(name=name, read_at=place, written_at=place)
                for name in chosen.sample(NAMES, chosen.randint(0, 2))
            )
            edges[source, target] = Edge(source=f"task_{source}", target=f"task_{target}", names=names)
    ids = [f"task_{n}" for n in range(tasks)]
    found = {each: Task(id=each, cell=n, options=TaskOptions(), code="") for n, each in enumerate(ids)}
    return Dag(id="g", options=DagOptions(), cells=(), tasks=found, edges=tuple(edges.values()), order=tuple(ids))


def points(path: str) -> list[tuple[float, float]]:
    """Return points along the curves of an SVG path `M x,y C x,y x,y x,y …`."""
    given = [tuple(map(float, each.split(","))) for each in path[1:].replace("C", " ").split()]
    found = []
    for n in range(0, len(given) - 3, 3):
        for part in range(101):
            t = part / 100
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            found.append(
                tuple(sum(w * p[axis] for w, p in zip(weights, given[n : n + 4], strict=True)) for axis in (0, 1))
            )
    return found


@pytest.mark.parametrize("direction", ["LR", "TB"])
@pytest.mark.parametrize("tasks", [5, 16, 30])
@pytest.mark.parametrize("seed", range(3))
def test_labels_lie_on_no_box_no_line_and_no_other_label(tasks, seed, direction):
    drawn = picture(graph(tasks, seed), direction=direction)
    labels = [
        (line["x"] - 3.2 * len(line["label"]), line["y"] - 6, line["x"] + 3.2 * len(line["label"]), line["y"] + 6)
        for line in drawn["lines"]
        if line["label"]
    ]
    assert len(labels) >= 2, "most labels of a small graph have a place"
    for n, (left, top, right, bottom) in enumerate(labels):
        for node in drawn["nodes"]:
            apart = abs(node["x"] - (left + right) / 2) > (node["width"] + right - left) / 2
            assert apart or abs(node["y"] - (top + bottom) / 2) > (node["height"] + bottom - top) / 2
        for line in drawn["lines"]:
            assert not any(left < x < right and top < y < bottom for x, y in points(line["path"]))
        for a, b, c, d in labels[n + 1 :]:
            assert c < left or right < a or d < top or bottom < b


def test_a_label_without_a_free_place_is_omitted():
    boxes = {name: Box(x=x, y=10.0, width=20.0, height=20.0) for name, x in (("a", 10.0), ("b", 60.0))}
    curve = Curve(points=((20.0, 10.0), (30.0, 10.0), (40.0, 10.0), (50.0, 10.0)), tip=None, label=(35.0, 10.0))
    found = place_labels(Layout(width=70, height=20, boxes=boxes, curves={("a", "b"): curve}), {("a", "b"): "x"})
    assert list(found) == [("a", "b")]
    assert abs(found["a", "b"][1] - 10.0) > 7, "beside the line, not on it"
    long = place_labels(Layout(width=70, height=20, boxes=boxes, curves={("a", "b"): curve}), {("a", "b"): "x" * 40})
    assert long == {}


@pytest.mark.parametrize(("space", "direction"), [((2400.0, 560.0), "LR"), ((420.0, 900.0), "TB")])
def test_the_direction_is_the_one_with_legible_text_in_the_space(space, direction):
    chain = graph(9, 0)
    edges = tuple(Edge(source=a, target=b, names=chain.edges[0].names) for a, b in pairwise(chain.tasks))
    drawn = picture(
        Dag(id="c", options=DagOptions(), cells=(), tasks=chain.tasks, edges=edges, order=chain.order), space=space
    )
    assert drawn["direction"] == direction
    assert min(space[0] / drawn["width"], space[1] / drawn["height"]) >= LEGIBLE
