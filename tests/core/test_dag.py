from nbdag.core.model.dag import Dag, Edge, Task
from nbdag.core.options.options import DagOptions, TaskOptions


def diamond() -> Dag:
    tasks = {name: Task(id=name, cell=n, options=TaskOptions(), code="") for n, name in enumerate("abcd")}
    edges = tuple(Edge(source=a, target=b) for a, b in ["ab", "ac", "bd", "cd"])
    return Dag(id="diamond", options=DagOptions(), cells=(), tasks=tasks, edges=edges, order=tuple("abcd"))


def test_neighbours_are_in_notebook_order():
    dag = diamond()
    assert dag.upstream["d"] == ("b", "c")
    assert dag.downstream["a"] == ("b", "c")
    assert dag.upstream["a"] == ()


def test_ancestors_and_descendants_are_transitive():
    dag = diamond()
    assert dag.ancestors("d") == {"a", "b", "c"}
    assert dag.descendants("a") == {"b", "c", "d"}
    assert dag.descendants("d") == frozenset()
