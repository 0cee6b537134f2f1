"""The outputs of a task: how much its notebook keeps, and updates of another task's display."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.kernels.jupyter.output_limits import MAX_OUTPUTS, MAX_SIZE

PRINTED = 30_000_000  # more than a notebook keeps
MANY = f"from IPython.display import display\nfor n in range({MAX_OUTPUTS + 500}): display(n)\nx = 1"
MUCH = f"for n in range({PRINTED // 100_000}): print('x' * 99_999)\nx = 1"


@pytest.mark.slow
@pytest.mark.parametrize("code", [MANY, MUCH], ids=["displays", "text"])
def test_a_task_with_more_output_than_a_notebook_keeps_succeeds(bench, code: str) -> None:
    result = bench.make(code, exports=(("x",),))
    assert (result.state, result.error) == (TaskState.SUCCESS, None)
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", 4)
    outputs = [output for cell in nb.cells for output in cell.outputs]
    (note,) = [output for output in outputs if "nbdag: this notebook keeps" in output.get("text", "")]
    assert "the whole text is in 1.log" in note.text
    if code == MANY:
        assert [output.data["text/plain"] for output in outputs if output != note] == [*map(str, range(MAX_OUTPUTS))]
        assert bench.log().split() == [*map(str, range(MAX_OUTPUTS, MAX_OUTPUTS + 500))]
    else:
        assert sum(len(output.text) for output in outputs if output != note) == MAX_SIZE
        assert len(bench.log()) == PRINTED


@pytest.mark.slow
def test_a_cleared_output_makes_room(bench) -> None:
    code = f"from IPython.display import clear_output, display\nfor n in range({MAX_OUTPUTS + 10}):\n    clear_output()\n    display(n)"
    assert bench.make(code).state is TaskState.SUCCESS
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", 4)
    (output,) = [output for cell in nb.cells for output in cell.outputs]
    assert output.data["text/plain"] == str(MAX_OUTPUTS + 9)


@pytest.mark.slow
def test_an_update_of_another_tasks_display_appears_in_the_report(tmp_path: Path) -> None:
    cells = [
        "%%task disp\nfrom IPython.display import display, update_display\nh = display('first', display_id='did')\nn = 1",
        "%%task upd\nupdate_display('second', display_id='did')\nprint('upd', n)",
        "%%task own\nfrom IPython.display import display\nd = display('a', display_id='mine')\nd.update('b')",
    ]
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells]), path)
    run = runs.run(path, home=Home(tmp_path / "home"))
    assert run.state is RunState.SUCCESS
    report = nbformat.read(run.notebook, 4)
    shown = [
        [(o.get("data", {}).get("text/plain") or o.get("text"), dict(o.get("metadata", {}))) for o in c.outputs]
        for c in report.cells
    ]
    assert shown == [[("'second'", {})], [("upd 1\n", {})], [("'b'", {})]]
