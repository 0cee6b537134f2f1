"""Cases in which a headless run could differ from the notebook in silence: cells that are dropped, and order."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.home import Home


def write(folder: Path, *cells: str) -> Path:
    document = {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"c{n}",
                "metadata": {},
                "outputs": [],
                "source": textwrap.dedent(cell).strip(),
            }
            for n, cell in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = folder / "case.ipynb"
    path.write_text(json.dumps(document))
    return path


def shown(run: runs.Run, task: str) -> str:
    """The text that the cell of a task displays in the report."""
    for cell in json.loads(run.notebook.read_text())["cells"]:
        if "".join(cell["source"]).startswith(f"%%task {task}"):
            texts = [output.get("text") or output.get("traceback") or "" for output in cell["outputs"]]
            return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join("".join(text) for text in texts))
    raise AssertionError(task)


def test_an_untagged_cell_that_changes_a_tasks_input_keeps_the_notebook_from_running(tmp_path: Path) -> None:
    path = write(
        tmp_path, "%%task extract\nrows = [1, None]", "rows = [r for r in rows if r]", "%%task use\nprint(rows)"
    )
    with pytest.raises(runs.NotebookProblemsError) as refused:
        nbdag.run(path, home=Home(tmp_path / ".nbdag"))
    (problem,) = refused.value.problems
    assert problem.code == "NB310"
    assert "cell 2 sets rows, which task use would read" in problem.message


@pytest.mark.slow
def test_exit_ends_only_its_task_and_is_reported(tmp_path: Path) -> None:
    """In the notebook, nothing below b runs."""
    path = write(
        tmp_path, "%%task a\nprint('a')", "%%task b\nimport sys\nn = 1\nsys.exit(0)", "%%task c\nprint('c ran', n)"
    )
    run = nbdag.run(path, jobs=1, home=Home(tmp_path / ".nbdag"))
    assert (run["b"].state.value, shown(run, "c").strip()) == ("success", "c ran 1")
    (warning,) = run["b"].warnings
    assert warning.code == "NB472"
    assert "nbdag.Skip" in warning.message
    assert not run["a"].warnings and not run["c"].warnings


def test_a_future_statement_of_a_task_holds_for_the_cells_below(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "%%task above\ntry:\n    def early(x: Unknown): pass\nexcept NameError:\n    print('evaluated')",
        "%%task a\nfrom __future__ import annotations\ndef f(x: Unknown) -> int: return 1",
        "%%task b\ndef g(x: Other): pass\nprint(f(0), f.__annotations__, g.__annotations__)",
    )
    run = nbdag.run(path, jobs=1, home=Home(tmp_path / ".nbdag"))
    assert run.state.value == "success"
    assert shown(run, "above").strip() == "evaluated"
    assert shown(run, "b").strip() == "1 {'x': 'Unknown', 'return': 'int'} {'x': 'Other'}"


def test_tracebacks_show_the_failing_line_and_shorten_a_recursion(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "%%task listed\nxs = [1, 0]\nys = [\n    1 / x\n    for x in xs\n]",
        "%%task deep\nimport sys\nsys.setrecursionlimit(400)\ndef f(n):\n    return f(n + 1)\nf(0)",
    )
    run = nbdag.run(path, jobs=1, home=Home(tmp_path / ".nbdag"))
    listed = shown(run, "listed")
    assert listed.count("----> 4     1 / x") == 1
    assert "%%task listed" in listed
    deep = shown(run, "deep")
    assert "RecursionError" in deep
    assert len(deep.splitlines()) < 60
    assert "skipping similar frames: f at line 5" in deep
    assert len((run["deep"].traceback or "").splitlines()) < 60


def test_the_successful_poll_of_a_sensor_shows_its_output(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "%%setup\nfrom pathlib import Path\nprint('from setup')",
        "%%task wait --operator sensor --poke 0.2s\nlooked = Path('looked')\nfound = looked.exists()\n"
        "print('look', found)\nlooked.touch()\nfound",
    )
    run = nbdag.run(path, jobs=1, home=Home(tmp_path / ".nbdag"))
    assert run.state.value == "success"
    text = shown(run, "wait")
    assert text.index("look False") < text.index("look True")
    assert "from setup" not in text
