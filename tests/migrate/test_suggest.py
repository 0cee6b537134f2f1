"""The proposed pipeline has no problems, groups cells for the stated reasons, and gives the outputs of a plain run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from nbdag import runs
from nbdag.cli import main
from nbdag.core.cells.cells import RawCell
from nbdag.errors import NbdagError
from nbdag.migrate.suggest import AlreadyTaggedError, NothingToSuggestError, Suggestion, suggest

from .untagged import NOTEBOOKS


def cells(*sources: str) -> list[RawCell]:
    return [RawCell(source, "markdown" if is_prose(source) else "code") for source in sources]


def is_prose(source: str) -> bool:
    return (source.startswith("#") and " " in source.split("\n")[0]) or source.startswith("In this exercise")


def write(path: Path, sources: Sequence[str]) -> Path:
    made = [
        nbformat.v4.new_markdown_cell(source) if is_prose(source) else nbformat.v4.new_code_cell(source)
        for source in sources
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def tasks(found: Suggestion) -> dict[str, list[int]]:
    return {task.name: [cell + 1 for cell in task.cells] for task in found.tasks}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_proposal_has_several_tasks_and_no_problem(name: str) -> None:
    found = suggest(cells(*NOTEBOOKS[name]), name=f"{name}.ipynb")
    assert not found.dag.problems
    assert len(found.tasks) >= 4
    assert max(map(len, found.levels)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_proposal_prints_what_a_plain_run_prints(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / f"{name}.ipynb", NOTEBOOKS[name])
    found = runs.suggest(path)
    (tmp_path / "tagged").mkdir()
    copy = tmp_path / "tagged" / path.name
    copy.write_bytes(found.notebook)
    plain = nbformat.read(path, 4)
    NotebookClient(plain, resources={"metadata": {"path": str(tmp_path)}}).execute()
    run = runs.run(copy, jobs=2)
    assert run.state == "success"
    report = nbformat.reads(runs.report_notebook(run.id, path.stem), 4)
    shown = {cell.source: output for cell in report.cells if (output := texts([cell]))}
    for task in found.suggestion.tasks:
        expected = texts([plain.cells[cell] for cell in task.cells])
        got = [output for source, output in shown.items() if source.startswith(f"%%task {task.name}\n")]
        got = got or [output for source, output in shown.items() if source.startswith(f"%%task {task.name} ")]
        assert "".join(got) == expected, task.name


def texts(found: Sequence[nbformat.NotebookNode]) -> str:
    """Return the outputs of cells as text, without measured times."""
    parts = []
    for cell in found:
        for output in cell.get("outputs", []) if "%%time" not in cell.source else []:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            parts.append(f"{text}\n".replace("\n\n", "\n") if "image/png" not in output.get("data", {}) else "image\n")
    return "".join(parts)


def test_cells_that_change_or_replace_a_value_join_the_cell_that_made_it() -> None:
    found = suggest(cells("xs = [1]", "xs.append(2)", "ys = sorted([3])", "xs = xs[:1]", "print(ys)"), name="n.ipynb")
    assert tasks(found) == {"xs": [1, 2, 4], "ys": [3, 5]}
    assert found.tasks[0].reasons == (
        "cell 2 changes xs, which cell 1 made",
        "cell 4 replaces xs, which cell 2 made",
    )


def test_cells_between_joined_cells_are_joined_as_well() -> None:
    found = suggest(cells("xs = [1]", "n = len(xs)", "xs.append(n)", "m = 2 * n + xs[0]"), name="n.ipynb")
    assert [1, 2, 3] in tasks(found).values()


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
            "import json\njson.dump({}, open('x.json', 'w'))",
        ),
        name="n.ipynb",
    )
    assert list(tasks(found)) == ["load_orders", "total", "save"]


def test_constants_at_the_top_become_parameters_unless_a_cell_sets_them_again() -> None:
    found = suggest(cells("import os\n# rate\nrate = 0.5", "n = 3", "n = n + 1", "print(n * rate)"), name="n.ipynb")
    assert dict(found.dag.parameters) == {"rate": "0.5"}
    assert [cell.tags for cell in found.cells if "rate = 0.5" in cell.source] == [("parameters",)]


def test_the_values_of_joined_cells_are_still_displayed() -> None:
    found = suggest(cells("xs = [1]", "xs.append(2)\nlen(\n    xs\n)  # ü", "xs.append(3)\nxs"), name="n.ipynb")
    (task,) = [cell.source for cell in found.cells if cell.source.startswith("%%task")]
    assert task == "%%task xs\nxs = [1]\n\nxs.append(2)\ndisplay(len(\n    xs\n))  # ü\n\nxs.append(3)\nxs"


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


def test_notebooks_with_tasks_or_without_work_are_refused() -> None:
    with pytest.raises(AlreadyTaggedError, match="has tasks already"):
        suggest(cells("%%task a\nx = 1"), name="n.ipynb")
    with pytest.raises(NothingToSuggestError, match="no cell that could be a task"):
        suggest(cells("import os"), name="n.ipynb")


def test_the_command_writes_a_copy_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lab.ipynb", NOTEBOOKS["lab"])
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
    path = write(tmp_path / "n.ipynb", ["print(n)", "import time\ntime.sleep(0.2)\nn = sum([1])"])
    notebook = nbformat.read(path, 4)
    notebook.cells[0].execution_count, notebook.cells[1].execution_count = 2, 1
    nbformat.write(notebook, path)
    found = runs.suggest(path, measure=True)
    assert found.durations is not None
    assert found.slowest_path[0] >= 0.2
    notebook.cells[1].source = "n = sum([1]) / 0"
    nbformat.write(notebook, path)
    with pytest.raises(NbdagError, match="cell 2 failed with ZeroDivisionError: division by zero; repair it, or"):
        runs.suggest(path, measure=True)
