"""`ti.xcom_pull` as the analysis sees it."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.model.dag import Dag
from nbdag.notebooks import read_cells


def read(*cells: str) -> Dag:
    return read_cells([RawCell(cell) for cell in cells], name="churn.ipynb")


ONE, TWO, PUSHES = "%%task a\nx = 1", "%%task a\nx = 1\nrows = 2", "%%task a\ndag_run.ti.xcom_push('rows', 2)"
PULLS = [
    ((ONE, "%%task b\ny = dag_run.ti.xcom_pull('a')"), [("a", "return_value", "x")]),
    ((ONE, "%%task b\ny = dag_run.ti.xcom_pull(task_ids='a')"), [("a", "return_value", "x")]),
    (("%%task a --out rows\nx = rows = 2", "%%task b\ny = dag_run.ti.xcom_pull('a')"), [("a", "return_value", "rows")]),
    ((TWO, "%%task b\ny = dag_run.ti.xcom_pull('a', key='rows')"), [("a", "rows", "rows")]),
    ((PUSHES, "%%task b\ny = dag_run.ti.xcom_pull('a', key='rows')"), [("a", "rows", None)]),
    (
        ("%%task a\ndag_run.ti.xcom_push('return_value', 2)", "%%task b\ny = dag_run.ti.xcom_pull('a')"),
        [("a", "return_value", None)],
    ),
    (
        (ONE, "%%task c\nz = 1", "%%task b\ny = dag_run.ti.xcom_pull(['a', 'c'])"),
        [("a", "return_value", "x"), ("c", "return_value", "z")],
    ),
    (
        ("%%setup\ndef f(ti): return ti.xcom_pull('a')", ONE, "%%task b\ny = f(dag_run.ti)"),
        [("a", "return_value", "x")],
    ),
    (("%%task b\ny = dag_run.ti.xcom_pull('a')", ONE), [("a", "return_value", "x")]),
    (
        (TWO, "%%task b --after a\nn = 'a'\ny = dag_run.ti.xcom_pull(n, key=n)"),
        [("a", "return_value", None), ("a", "x", "x"), ("a", "rows", "rows")],
    ),
    (
        (ONE, "%%task c\nz = x", "%%task b\ny = z, dag_run.ti.xcom_pull(str(z))"),
        [("a", "return_value", "x"), ("c", "return_value", "z")],
    ),
    ((ONE, "%%task b\ny = x.xcom"), []),
]


@pytest.mark.parametrize(("cells", "pulls"), PULLS)
def test_a_pull_is_an_edge_and_an_export(cells: tuple[str, ...], pulls: list[tuple[str, str, str | None]]) -> None:
    dag = read(*cells)
    assert not dag.problems
    assert [(each.task, each.key, each.name) for each in dag.tasks["b"].pulls] == pulls
    assert {task for task, _, _ in pulls} <= dag.ancestors("b")
    for task, _, name in pulls:
        exported = {each for group in dag.tasks[task].exports for each in group}
        assert name is None or name in exported


WRONG = [
    ((ONE, "%%task b\n\ny = dag_run.ti.xcom_pull('aa')"), 3, "unknown task 'aa'", "did you mean a?"),
    ((TWO, "%%task b\ny = dag_run.ti.xcom_pull('a')"), 2, "a has no single result, because it sets x, rows", "key='x'"),
    ((TWO, "%%task b\ny = dag_run.ti.xcom_pull('a', key='rwos')"), 2, "neither sets nor pushes 'rwos'", "'rows'?"),
    ((PUSHES, "%%task b\ny = dag_run.ti.xcom_pull('a', key='row')"), 2, "neither sets nor pushes 'row'", "'rows'?"),
    (("%dag --no-infer", ONE, "%%task b\ny = dag_run.ti.xcom_pull('a')"), 2, "does not run before it", "--after a"),
]


@pytest.mark.parametrize(("cells", "line", "message", "hint"), WRONG)
def test_a_pull_without_a_value_is_an_error_at_its_line(
    cells: tuple[str, ...], line: int, message: str, hint: str
) -> None:
    (found,) = read(*cells).problems
    assert (found.code, found.place and found.place.line) == ("NB209", line)
    assert message in found.message and hint in found.hint


@pytest.mark.parametrize("writer", [PUSHES, "%%task a\nprint(1)", "%%task a --operator bash\necho 1"])
def test_a_pull_that_returns_none_is_a_warning(writer: str) -> None:
    (found,) = read(writer, "%%task b\ny = dag_run.ti.xcom_pull('a')").problems
    assert (found.code, found.severity) == ("NB210", "warning")
    assert "returns None" in found.message and "--out NAME" in found.hint


def test_tasks_that_pull_from_each_other_are_a_cycle() -> None:
    dag = read("%%task a\nx = dag_run.ti.xcom_pull('b')", "%%task b\ny = dag_run.ti.xcom_pull('a')")
    assert [each.code for each in dag.problems] == ["NB202"]


def test_an_input_that_is_changed_is_a_value_of_its_own() -> None:
    dag = read(ONE, "%%task c\nx = 2", "%%task b\ny = x, dag_run.ti.xcom_pull('a')")
    assert [(each.name, each.sources) for each in dag.tasks["b"].inputs] == [("x", ("c",))]
    assert dag.tasks["b"].pulls[0].task == "a"
