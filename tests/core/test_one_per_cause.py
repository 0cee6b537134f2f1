"""A cause is one problem, however many cells and names it concerns."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.model.dag import Dag
from nbdag.notebooks import read_cells

LOAD, USE, AGAIN = "%%task load\ndf = 1\ne = 2", "%%task use\nm = df + e", "%%task again\nn = df + e + m"


def notebook(*cells: str) -> Dag:
    return read_cells([RawCell(cell) for cell in cells], name="nb.ipynb")


def test_three_untagged_cells_are_three_problems() -> None:
    dag = notebook(
        "import pandas as pd",
        "%%task load\ndf = pd.DataFrame({'a': [1]})",
        "df['b'] = 1\nX = df[['a']]\ny = df.b\nk = 3",
        "import numpy as np\nX2 = np.log(X)\nz = X2",
        "def helper(v):\n    return v + k\nq = helper(1)\nX = X * 2",
        "%%task train\nmodel = (X, y, k, helper(2), np.ones(3), X2)",
        "%%task test\nprint(model, X, y, z, q, helper(3), df, np, k)",
    )
    assert [(each.code, each.place and each.place.cell) for each in dag.problems] == [
        ("NB310", 2), ("NB310", 3), ("NB310", 4),
    ]  # fmt: skip
    assert dag.problems[0].message.startswith(
        "cell 3 changes df and sets X, y, k, which cell 4, cell 5, task train, task test would read"
    )


def test_an_untagged_cell_that_only_another_one_reads_is_a_problem_too() -> None:
    dag = notebook("%%task a\nx = 1", "y = 2", "z = y", "%%task b\nprint(x, z)")
    assert [(each.code, each.place and each.place.cell) for each in dag.problems] == [("NB310", 1), ("NB310", 2)]


@pytest.mark.parametrize(
    ("cells", "codes"),
    [
        ((LOAD.replace("%%task", "%%taks"), USE, AGAIN), ["NB104"]),
        ((LOAD.replace("load", "load --retires 2"), USE, AGAIN), ["NB101"]),
        ((LOAD.replace(" load", ""), USE, AGAIN), ["NB101"]),
        ((f"# first\n{LOAD}", USE, AGAIN), ["NB103"]),
        ((LOAD.replace("2", "("), USE, AGAIN), ["NB208"]),
        (("%%task load\nq = 1", LOAD, USE, AGAIN), ["NB102"]),
        (("%%task load --operator bsh\nls", USE, AGAIN), ["NB108"]),
        ((USE, AGAIN, "%%task load\ndf = 1\ne = 2"), ["NB201", "NB201"]),  # load is below two cells
        ((LOAD.replace("%%task load", "%%skip"), USE, AGAIN), ["NB201"]),
        ((USE.replace("e", "eee").replace("df", "eee"), AGAIN.replace("df + e", "eee")), ["NB201"]),
    ],
)
def test_a_cause_is_reported_once(cells: tuple[str, ...], codes: list[str]) -> None:
    assert [each.code for each in notebook(*cells).errors] == codes


def test_a_missing_name_is_reported_with_all_its_readers() -> None:
    (error,) = notebook("%%task a\nx = dta", "%%task b\ny = dta", "%%task c\nz = dta").errors
    assert error.task == "a"
    assert error.message == "no cell above sets dta; task b, task c read it, too"


def test_a_name_that_is_missing_for_another_reason_is_still_reported() -> None:
    found = notebook(LOAD.replace("%%task", "%%taks"), "%%task use\nm = df + other")
    assert sorted(each.code for each in found.errors) == ["NB104", "NB201"]
