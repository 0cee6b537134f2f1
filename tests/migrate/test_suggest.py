"""The proposed pipeline has no problems, groups cells for the stated reasons, and gives the outputs of a plain run."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from nbdag import runs
from nbdag.cli import main
from nbdag.core.cells.cells import RawCell
from nbdag.errors import NbdagError
from nbdag.migrate.suggest import AlreadyTaggedError, NothingToSuggestError, Suggestion, suggest
from nbdag.migrate.tagged_copy import tagged_copy
from nbdag.notebooks import executable

from .untagged import NOTEBOOKS, notebook


def cells(*sources: str) -> list[RawCell]:
    return [RawCell(source, "markdown" if is_prose(source) else "code") for source in sources]


def is_prose(source: str) -> bool:
    return (source.startswith("#") and " " in source.split("\n")[0]) or source.startswith("In this exercise")


def tasks(found: Suggestion) -> dict[str, list[int]]:
    return {task.name: [cell + 1 for cell in task.cells] for task in found.tasks}


WITHOUT_PROSE = NOTEBOOKS[::4]


@pytest.mark.parametrize(
    ("name", "prose"), [*((name, True) for name in NOTEBOOKS), *((name, False) for name in WITHOUT_PROSE)]
)
def test_a_proposal_has_several_tasks_and_no_problem(name: str, prose: bool) -> None:
    made = [cell for cell in notebook(name).cells if prose or cell.cell_type == "code"]
    raw = [RawCell(cell.source, cell.cell_type) for cell in made]
    found = suggest(raw, name=f"{name}.ipynb", executed=[cell.get("execution_count") for cell in made])
    assert not found.dag.problems
    assert 4 <= len(found.tasks) <= len(made) / 2
    assert max(map(len, found.levels)) >= 2


def test_cells_that_change_or_replace_a_value_join_the_cell_that_made_it() -> None:
    found = suggest(cells("xs = [1]", "xs.append(2)", "ys = sorted([3])", "xs = xs[:1]", "print(ys)"), name="n.ipynb")
    assert tasks(found) == {"xs": [1, 2, 4], "ys": [3, 5]}
    assert found.tasks[0].reasons == (
        "cell 2 changes xs, which cell 1 made",
        "cell 4 replaces xs, which cell 2 made",
    )


def test_cells_between_joined_cells_are_joined_as_well() -> None:
    found = suggest(cells("xs = [1]", "n = len(xs)", "xs.append(n)", "m = 2 * n + xs[0]", "k = xs[0]"), name="n.ipynb")
    assert [1, 2, 3] in tasks(found).values()
    assert "cell 2 lies between other cells of this task" in found.tasks[0].reasons


def test_a_cell_does_not_move_across_a_cell_that_reads_its_names() -> None:
    found = suggest(cells("xs = [1]", "first = list(xs)", "xs = xs + [2]", "print(first, xs)"), name="n.ipynb")
    assert [cell for cells in tasks(found).values() for cell in cells][:3] == [1, 2, 3]


def test_names_come_from_headings_and_code() -> None:
    found = suggest(
        cells(
            "## 1. Load the orders",
            "import pandas as pd",
            "orders = pd.read_csv('orders.csv')",
            "## Prüfung",
            "total = orders.sum()",
            "import json\njson.dump({}, open('orders.json', 'w'))",
        ),
        name="n.ipynb",
    )
    assert list(tasks(found)) == ["load_orders", "total", "save_orders"]


def test_constants_at_the_top_become_parameters_unless_a_cell_sets_them_again() -> None:
    found = suggest(cells("import os\n# rate\nrate = 0.5", "n = 3", "n = n + 1", "print(n * rate)"), name="n.ipynb")
    assert dict(found.dag.parameters) == {"rate": "0.5"}
    assert [cell.tags for cell in found.cells if "rate = 0.5" in cell.source] == [("parameters",)]


def test_the_values_of_joined_cells_are_still_displayed() -> None:
    found = suggest(cells("xs = [1]", "xs.append(2)\nlen(\n    xs\n)  # ü", "xs.append(3)\nxs"), name="n.ipynb")
    (task,) = [cell.source for cell in found.cells if cell.source.startswith("%%task")]
    assert task == "%%task xs\nxs = [1]\n\nxs.append(2)\ndisplay(len(\n    xs\n))  # ü\n\nxs.append(3)\nxs"


def test_a_tuple_without_parentheses_is_displayed_as_one_value() -> None:
    found = suggest(cells("xs = [1]", "xs.append(2)\nlen(xs), xs[0]", "xs.append(3)"), name="n.ipynb")
    (task,) = [cell.source for cell in found.cells if cell.source.startswith("%%task")]
    assert "display((len(xs), xs[0]))" in task


def test_cells_that_draw_from_a_seeded_generator_are_one_task() -> None:
    seeded = cells("import random\nrandom.seed(1)", "a = random.random()", "b = random.random()", "c = 1")
    assert [2, 3] in tasks(suggest(seeded, name="n.ipynb")).values()


def test_a_task_runs_after_the_task_whose_file_it_reads() -> None:
    files = cells("open('a.txt', 'w').write('1')", "text = open('a.txt').read()\nn = int(text)", "print(n + 1)")
    found = suggest(files, name="n.ipynb")
    assert not found.dag.problems
    assert "because both use a.txt" in found.tasks[1].reasons[0]


def test_cells_out_of_order_are_put_in_the_order_in_which_they_ran() -> None:
    found = suggest(cells("print(n)", "n = sum([1])"), name="n.ipynb", executed=[2, 1])
    assert found.reordered
    assert not found.dag.problems
    assert not suggest(cells("n = sum([1])", "print(n)"), name="n.ipynb", executed=[1, 2]).reordered


NAMES = [
    ("X_train, X_test, y_train, y_test = train_test_split(X, y)", "split_data"),
    ("df = pd.read_csv('orders.csv')", "load_data"),
    ("fig, ax = plt.subplots()\nax.plot(orders)", "plot_orders"),
    ("pd.read_csv('out/submission.csv').info(orders)", "load_orders"),
    ("pd.read_csv('out/submission.csv').describe(print)", "load_submission"),
    ("model = LinearRegression().fit(X, y)", "train_model"),
]


@pytest.mark.parametrize(("code", "name"), NAMES)
def test_names_say_what_a_cell_does_and_with_which_value(code: str, name: str) -> None:
    first = "import pandas as pd, matplotlib.pyplot as plt"
    values = "X, y = [[1]], [1]\norders = sum([1])\nprint(orders)"
    found = suggest(cells(first, values, f"import this\n{code}"), name="n.ipynb")
    assert name in [task.name for task in found.tasks]


def test_tasks_that_connect_to_one_database_run_in_order() -> None:
    connect = "{0} = sqlite3.connect(DB)\n{0}.execute('{1}')"
    write, read = connect.format("con", "create table t (x)"), connect.format("other", "select * from t")
    found = suggest(cells("import sqlite3", "DB = 'orders.db'", "## Load", write, "## Read", read), name="n.ipynb")
    assert found.dag.upstream["read"] == ("load",)
    assert found.tasks[1].reasons == ("runs after load, because both use orders.db",)


def test_constants_that_are_not_parameters_have_a_reason() -> None:
    found = suggest(
        cells("n = 1", "m = 1", "m += sum([1])", "limit = 3", "print(n, m, limit)", "n = 2"), name="n.ipynb"
    )
    reasons = [reason for task in found.tasks for reason in task.reasons]
    assert "cell 1 is not a parameter, because cell 6 sets n, too" in reasons
    assert "cell 2 is not a parameter, because cell 3 sets m, too" in reasons
    assert found.roles == {3: "setup (constants below the first cell that does work)"}


def test_notebooks_with_tasks_or_without_work_are_refused() -> None:
    with pytest.raises(AlreadyTaggedError, match="has tasks already"):
        suggest(cells("%%task a\nx = 1"), name="n.ipynb")
    with pytest.raises(NothingToSuggestError, match="no cell that could be a task"):
        suggest(cells("import os"), name="n.ipynb")


def test_the_command_writes_a_copy_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nbformat.write(notebook("sensor"), tmp_path / "lab.ipynb")
    before = (tmp_path / "lab.ipynb").read_bytes()

    def nbdag(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main.main([*arguments], prog_name="nbdag")
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    code, printed = nbdag("suggest", "lab.ipynb", "-o", "tasks.ipynb")
    assert code == 0
    assert "cell 20 and cell 19" in printed or "which cell 19 made" in printed
    assert "can run at the same time" in printed
    assert "wrote tasks.ipynb; run it with: nbdag run tasks.ipynb" in printed
    assert (tmp_path / "lab.ipynb").read_bytes() == before
    nbformat.validate(nbformat.read(tmp_path / "tasks.ipynb", 4))
    assert nbdag("check", "tasks.ipynb")[0] == 0
    code, printed = nbdag("suggest", "lab.ipynb", "-o", "tasks.ipynb")
    assert code == 2
    assert "tasks.ipynb already exists; choose another file or pass --overwrite" in printed
    code, printed = nbdag("suggest", "lab.ipynb", "--json")
    assert json.loads(printed)["tasks"][0]["cells"]


def test_cells_are_measured_in_the_order_in_which_they_ran(tmp_path: Path) -> None:
    sources = ("print(n)", "import time\ntime.sleep(0.2)\nn = sum([1])")
    made = [
        nbformat.v4.new_code_cell(source, execution_count=count) for source, count in zip(sources, (2, 1), strict=True)
    ]
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    found = runs.suggest(path, measure=True)
    assert found.durations is not None
    assert found.slowest_path[0] >= 0.2
    made[1].source = "n = sum([1]) / 0"
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    with pytest.raises(NbdagError, match="cell 2 failed with ZeroDivisionError: division by zero; repair it, or"):
        runs.suggest(path, measure=True)


@pytest.mark.parametrize(("cell", "reason"), [(5, "it is not a JSON object"), ({"cell_type": "code"}, "its source")])
def test_an_invalid_cell_is_reported_in_one_sentence(cell: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "cells": [cell]}), encoding="utf-8")
    with pytest.raises(NbdagError, match=reason):
        runs.suggest(path)


def test_a_notebook_with_damaged_outputs_and_metadata_can_be_copied_and_executed() -> None:
    damaged = {"cell_type": "code", "execution_count": "a", "metadata": None, "outputs": 5}
    book = {
        "nbformat": 4,
        "metadata": {"kernelspec": 5},
        "cells": [{**damaged, "source": f"x{n} = 1"} for n in range(2)],
    }
    assert [(each.source, each.outputs) for each in executable(book).cells] == [("x0 = 1", []), ("x1 = 1", [])]
    proposal = suggest([RawCell("x = [1]", "code"), RawCell("x.append(2)\nprint(x)", "code")], name="a.ipynb")
    book["cells"] = [{**damaged, "source": "x = [1]"}, {**damaged, "source": "x.append(2)\nprint(x)"}]
    assert json.loads(tagged_copy(book, proposal))["cells"][0]["outputs"] == []
