"""Comments in cells ignore warnings, and a comment without an effect is a warning itself."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.cells.ignore_comments import ignored_in_run
from nbdag.core.model.dag import Dag
from nbdag.notebooks import read_cells

STAR = "from math import *"


def notebook(*cells: str) -> Dag:
    return read_cells([RawCell(cell) for cell in cells], name="nb.ipynb")


def codes(*cells: str) -> list[str]:
    return [each.code for each in notebook(*cells).problems]


@pytest.mark.parametrize(
    "cell",
    [
        f"%%task a\n{STAR}  # nbdag: ignore[NB301]",
        f"%%task a\n{STAR}  # all of it # nbdag:ignore[nb301]",
        f"%%task a  # nbdag: ignore[NB301]\n{STAR}",
        f"%%task a\n# nbdag: ignore[NB301]\nx = 1\n{STAR}",
        "%%task a\nx = eval(\n    '1'\n)  # nbdag: ignore[NB302]",
        f"%%task a\nif True:\n    {STAR}  # nbdag: ignore[NB301]",
    ],
)
def test_a_comment_ignores_the_warnings_of_its_statement_or_cell(cell: str) -> None:
    found = codes(cell)
    assert not {"NB301", "NB302"} & set(found)


def test_a_comment_on_another_statement_ignores_nothing() -> None:
    assert sorted(codes(f"%%task a\n{STAR}\nx = 1  # nbdag: ignore[NB301]")) == ["NB120", "NB301"]


@pytest.mark.parametrize(
    ("comment", "message", "hint"),
    [
        ("# nbdag: ignore", "names no code", "# nbdag: ignore[NB303]"),
        ("# nbdag: ignore[]", "names no code", "# nbdag: ignore[NB303]"),
        ("# nbdag: ignore[NB999]", "unknown code NB999", "nbdag explain"),
        ("# nbdag: ignore[NB201]", "NB201 is an error", "nbdag explain NB201"),
        ("# nbdag: ignore[NB301]", "has no NB301", "remove the comment"),
    ],
)
def test_a_useless_comment_is_a_warning(comment: str, message: str, hint: str) -> None:
    (found,) = notebook(f"%%task a\n{comment}\nx = 1").problems
    assert (found.code, found.severity) == ("NB120", "warning")
    assert message in found.message and (hint in found.hint or "did you mean" in found.hint)


def test_an_error_stays_although_a_comment_names_it() -> None:
    assert codes("%%task a\nprint(missing)  # nbdag: ignore[NB201]") == ["NB201", "NB120"]


def test_a_comment_about_warnings_of_a_run_is_never_useless() -> None:
    dag = notebook("%%task a\nx = 1  # nbdag: ignore[NB401, NB470]")
    assert dag.problems == ()
    assert ignored_in_run(dag, "a") == {"NB401", "NB470"}
