"""Each rule by which `suggest` groups, splits, orders and names cells, shown on a few cells."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from nbdag import runs
from nbdag.core.cells.cells import RawCell
from nbdag.core.cells.joined_source import join_sources
from nbdag.errors import NbdagError
from nbdag.migrate.cell_roles import split_constants
from nbdag.migrate.suggest import Suggestion, suggest


def proposal(*sources: str) -> Suggestion:
    found = suggest([RawCell(each, "markdown" if each.startswith("#") else "code") for each in sources], name="n.ipynb")
    assert not found.dag.problems
    return found


def tasks(*sources: str) -> dict[str, list[int]]:
    return {task.name: [cell + 1 for cell in task.cells] for task in proposal(*sources).tasks}


def test_a_print_of_several_results_is_a_task_of_its_own() -> None:
    found = proposal("a = sum([1])", "print(a)", "b = sum([2])", "print(b)", "print(a, b)")
    assert [[cell + 1 for cell in task.cells] for task in found.tasks] == [[1, 2], [3, 4], [5]]
    assert len(found.levels[0]) == 2


def test_plots_under_another_heading_are_one_task_of_that_name() -> None:
    cells = (
        "# T",
        "## Load",
        "xs = sorted([2, 1])",
        "## Explore",
        "### Sum",
        "print(sum(xs))",
        "### Ends",
        "print(xs[0], 1)",
    )
    assert tasks(*cells) == {"load": [3], "explore": [6, 8]}


def test_a_late_change_of_a_value_does_not_take_in_the_work_between() -> None:
    found = tasks(
        "## Data",
        "rows = [dict(x=n) for n in range(3)]",
        "## Scale",
        "scaled = [row['x'] / 2 for row in rows]",
        "## Centre",
        "middle = sum(scaled) / 3",
        "## Distance",
        "far = [abs(x - middle) for x in scaled]",
        "## Result",
        "rows[0]['far'] = far[0]",
        "print(rows)",
    )
    assert list(found) == ["data", "scale", "centre", "distance", "result"]


def test_chains_are_joined_in_a_long_notebook_without_headings() -> None:
    chain = ["a0 = sorted([1])", *(f"a{n} = a{n - 1} + [{n}]" for n in range(1, 10))]
    assert len(tasks(*chain)) == 1
    assert len(tasks(*chain[:4])) == 4


def test_cells_that_use_one_connection_are_one_task() -> None:
    found = tasks(
        "import sqlite3\ncon = sqlite3.connect('a.db')",
        "a = con.execute('select 1').fetchone()",
        "b = [1 + a[0]]",
        "c = [a[0]]",
    )
    assert [1, 2] in found.values()


def test_cells_that_use_one_generator_are_one_task() -> None:
    found = tasks(
        "def numbers():\n    yield from range(9)",
        "stream = numbers()",
        "a = next(stream)",
        "b = next(stream)",
        "c = [1]",
    )
    assert [2, 3, 4] in found.values()


def test_a_result_is_put_into_a_collection_by_a_task_after_the_models() -> None:
    found = proposal(
        "scores = {}",
        "one = max([1], key=abs)\nscores['one'] = one",
        "two = sorted([2])\ntwo.sort()\nscores['two'] = two[0]\nprint(scores['two'])",
        "print(scores)",
    )
    assert [[cell + 1 for cell in task.cells] for task in found.tasks] == [[2], [3], [1, 2, 3, 4]]
    assert len(found.levels[0]) == 2
    assert found.tasks[0].reasons[0].startswith("has only the start of cell 2: its end fills a collection")
    assert "two.sort();" in "".join(cell.source for cell in found.cells), "the middle of a cell displays nothing"


def test_imports_and_functions_at_the_start_of_a_cell_are_setup_if_other_cells_use_them() -> None:
    found = proposal("def double(n):\n    return 2 * n\na = double(1)", "b = double(2)", "print(a)")
    assert len(found.levels[0]) == 2
    (alone,) = proposal("def double(n):\n    return 2 * n\na = double(1)\nprint(a)").tasks
    assert alone.cells == (0,)


def test_a_function_that_is_defined_again_keeps_its_first_meaning_above() -> None:
    found = proposal("# F", "def f():\n    return 1", "print(f())", "def f():\n    return 2", "print(f())")
    (task,) = [cell.source for cell in found.cells if cell.source.startswith("%%task")]
    assert task.index("print(f())") < task.index("return 2") < task.rindex("print(f())")


def test_a_task_runs_after_the_cells_that_write_into_the_folder_that_it_lists() -> None:
    found = proposal("import os", "xs = [1]\nopen(str(xs[0]), 'w').close()", "names = os.listdir('.')\nprint(names)")
    assert [task.name for task in found.tasks if "because both use files" in "".join(task.reasons)] == ["names"]


def test_cells_with_one_name_of_a_file_run_in_order() -> None:
    found = proposal("import lib", "xs = [1]\nlib.put(xs, 'a.gml')", "ys = lib.get('a.gml')\nprint(ys)")
    assert "because both use a.gml" in found.tasks[1].reasons[0]


def test_a_cell_that_tries_a_function_joins_the_cells_under_its_heading() -> None:
    cells = (
        "## Area",
        "def area(r):\n    return 3 * r * r",
        "area(1)",
        "small = area(2)",
        "print(small)",
        "## End",
        "big = sorted([1])",
    )
    assert tasks(*cells) == {"area": [3, 4, 5], "end": [7]}


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (
            "import a\n# rate\nr = 1\n%matplotlib inline\nimport b",
            ["import a", "# rate\nr = 1\n%matplotlib inline", "import b"],
        ),
        ("n = 1\n@cache\ndef f(): ...", ["n = 1", "@cache\ndef f(): ..."]),
        ("import a; n = 1", None),
        ("n = 1\nm = 2", None),
        ("n = 1\nprint(n)", None),
        ("import a\n!ls\nn = 1", None),
    ],
)
def test_constants_between_imports_and_settings_are_split_off(source: str, parts: list[str] | None) -> None:
    assert split_constants(source) == parts


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("a, b", "display((a, b))"),
        ("x = 1; f(\n  x)  # ü", "x = 1\nif (_shown := f(\n  x)) is not None:\n    display(_shown)  # ü"),
        ("df.head();", "df.head();"),
        ("df.info()", "df.info()"),
        ("ü.mean() # m", "display(ü.mean())  # m"),
    ],
)
def test_joined_cells_display_what_each_cell_displays(source: str, shown: str) -> None:
    assert join_sources([source, "1"]) == f"{shown}\n\n1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.py", "", "x.py is empty; write cells into it, such as # %% in a .py file"),
        ("none.ipynb", None, "none.ipynb does not exist; check the path"),
        ("empty.ipynb", [], "empty.ipynb has no code, so there is nothing to propose"),
        ("r.ipynb", ["x <- 1"], "r.ipynb is a notebook in R; tasks can only be proposed for Python"),
        (
            "broken.ipynb",
            ["x = 1", "y = 2\ndef f(:"],
            r"broken.ipynb: cell 2, line 2 has a syntax error (invalid syntax); repair or delete this cell first",
        ),
    ],
)
def test_a_file_without_a_proposal_is_answered_in_one_sentence(
    name: str, text: str | list[str] | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(text, str):
        Path(name).write_text(text, encoding="utf-8")
    elif text is not None:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in text])
        made.metadata.kernelspec = {
            "name": "k",
            "display_name": "k",
            "language": "R" if name == "r.ipynb" else "python",
        }
        nbformat.write(made, name)
    with pytest.raises(NbdagError) as raised:
        runs.suggest(name)
    assert str(raised.value) == message
