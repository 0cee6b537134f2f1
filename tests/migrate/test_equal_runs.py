"""A headless run of a proposal displays, in each task, what a plain run of its cells displays.

Some of the notebooks are compared, because each takes some seconds; NBDAG_ALL_NOTEBOOKS=1 compares all.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from preloading import execute_plainly, share_one_server

from nbdag import runs

from .untagged import NOTEBOOKS, notebook

pytestmark = pytest.mark.slow
# Lines that differ from run to run, and the object numbers of displayed objects.
_VARIES = re.compile(r"^(?:CPU times|Wall time):.*\n?|(?<= at )0x[0-9a-f]+", re.MULTILINE)


COMPARED = ("digits_models", "image_lab", "shop_database")


@pytest.mark.parametrize("name", NOTEBOOKS if os.environ.get("NBDAG_ALL_NOTEBOOKS") == "1" else COMPARED)
def test_a_proposal_displays_what_a_plain_run_displays(
    name: str, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    share_one_server(monkeypatch)
    for folder in ("plain", "tagged"):
        (tmp_path / folder).mkdir()
    nbformat.write(notebook(name), tmp_path / "tagged" / f"{name}.ipynb")
    path = tmp_path / "tagged" / f"{name}.ipynb"
    monkeypatch.chdir(path.parent)
    found = runs.suggest(path)
    path.write_bytes(found.notebook)
    run = runs.run(path, jobs=2)
    assert run.state == "success", [task.error for task in run if task.error]
    report = nbformat.reads(runs.report_notebook(run.id, name), 4)

    plain = notebook(name)
    if found.suggestion.reordered:
        plain.cells.sort(key=lambda cell: cell.get("execution_count") or 0)
    execute_plainly(plain, tmp_path / "plain")
    by_source = {cell.source: cell for cell in plain.cells}
    by_task = {cell.source.split()[1]: cell for cell in report.cells if cell.source.startswith("%%task ")}
    cells = notebook(name).cells
    for numbers, tasks in _together({task.name: task.cells for task in found.suggestion.tasks}):
        expected = _shown([by_source[cells[number].source] for number in numbers])
        assert _shown([by_task[task] for task in tasks]) == expected, tasks


def _together(cells: dict[str, Sequence[int]]) -> list[tuple[list[int], list[str]]]:
    """Return the numbers of cells with the tasks that consist of them; cells that are split belong to several tasks."""
    found: list[tuple[list[int], list[str]]] = []
    for task, numbers in cells.items():
        shared = [each for each in found if set(each[0]) & set(numbers)]
        found = [each for each in found if each not in shared]
        known = [number for each in shared for number in each[0]]
        more = [number for number in dict.fromkeys(numbers) if number not in known]
        found.append(([*known, *more], [*(name for each in shared for name in each[1]), task]))
    return found


def _shown(cells: Sequence[nbformat.NotebookNode]) -> list[str]:
    """Return the lines that cells print, the values that they display, and their images."""
    parts: list[str] = []
    for cell in cells:
        outputs = [each for each in cell.get("outputs", []) if each.get("name") != "stderr"]
        # A kernel may send the text of one `print` in several pieces.
        for kind, run in itertools.groupby(outputs, key=lambda each: each.output_type):
            if kind == "stream":
                parts += _VARIES.sub("", "".join(each.text for each in run)).splitlines()
                continue
            for output in run:
                data = output.get("data", {"text/plain": output.get("ename")})
                parts.append(_VARIES.sub("", data.get("image/png") or data["text/plain"]))
    return parts
