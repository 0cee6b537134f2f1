import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.model.dag import Dag, Edge, Task
from nbdag.core.model.weights import WeightRuleError, weights
from nbdag.core.options.options import DagOptions, TaskOptions


def dag_of(priorities, edges, rule="downstream"):
    tasks = {
        name: Task(id=name, cell=n, options=TaskOptions(priority=priority), code="")
        for n, (name, priority) in enumerate(priorities.items())
    }
    return Dag(
        id="d",
        options=DagOptions(weight_rule=rule),
        cells=(),
        tasks=tasks,
        edges=tuple(Edge(source=a, target=b) for a, b in edges),
        order=tuple(tasks),
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("downstream", {"a": 1111, "b": 1010, "c": 1100, "d": 1000}),  # d counts once for a
        ("upstream", {"a": 1, "b": 11, "c": 101, "d": 1111}),
        ("absolute", {"a": 1, "b": 10, "c": 100, "d": 1000}),
    ],
)
def test_a_diamond_is_weighed_by_each_rule(rule, expected):
    dag = dag_of({"a": 1, "b": 10, "c": 100, "d": 1000}, ["ab", "ac", "bd", "cd"], rule)
    assert weights(dag) == expected


@pytest.mark.parametrize(("priority", "counted"), [(2**40, 2**31 - 1), (-(2**40), -(2**31)), (7, 7), (0, 0), (-3, -3)])
def test_a_priority_counts_within_32_bits_and_totals_are_not_bounded(priority, counted):
    dag = dag_of({"a": priority, "b": priority}, ["ab"])
    assert weights(dag) == {"a": 2 * counted, "b": counted}


def test_an_unknown_rule_suggests_the_nearest():
    dag = dag_of({"a": 1}, [])
    with pytest.raises(WeightRuleError, match="did you mean upstream"):
        weights(dag, "upstrem")
    with pytest.raises(WeightRuleError, match="expected one of downstream, upstream, absolute"):
        weights(dag, "?")


@st.composite
def dags(draw):
    names = [f"t{n}" for n in range(draw(st.integers(1, 9)))]
    pairs = [(a, b) for n, b in enumerate(names) for a in names[:n]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return dag_of({name: draw(st.integers(-(2**33), 2**33)) for name in names}, edges)


@given(dags())
def test_a_total_is_the_sum_over_distinct_descendants_or_ancestors(dag):
    own = weights(dag, "absolute")
    assert weights(dag, "downstream") == {t: own[t] + sum(own[d] for d in dag.descendants(t)) for t in dag.tasks}
    assert weights(dag, "upstream") == {t: own[t] + sum(own[d] for d in dag.ancestors(t)) for t in dag.tasks}
