"""Notebooks of public bug reports, each run by papermill and by nbdag: the outputs are equal, or nbdag says why not.

Each file of `cases/` has the cells of one notebook, and the modules of the user that it imports.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat import NotebookNode
from preloading import share_one_server, shared_modules, warm_kernel

import nbdag
from nbdag.home import Home

from .cell_files import unpacked

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """What a plain run of the notebook shows, and what nbdag says; nothing said means that its run shows the same."""

    plain: dict[str, str]  # the text that each task with an output shows
    said: tuple[str, ...] = ()  # a code and the task that it names, or the task that fails and why, as patterns


CASES = {
    "earlier_results": Case(
        {"answer": "42", "again": "it was 42", "third": "42 4"}, ("NB463 again", "NB463 third", "NB463 third")
    ),
    "error_of_own_class": Case({"show": "3 no price"}, ("parse: 'found', which task show needs, is a BadRow",)),
    "exit_without_error": Case({"first": "first"}, ("NB472 stop",)),
    "figure_and_axes": Case({"count": "1 True"}, ("NB403 draw", "NB403 line")),
    "figure_and_axes_as_advised": Case({"count": "1 True"}),
    "future_import": Case({"use": "0.5 {'x': 'Fraction', 'return': 'Unknown'}"}),
    "joblib_file": Case({"load": "Third 7"}, ("load: AttributeError: Can't get attribute 'Third'",)),
    "object_as_key": Case({"look": "U1 True"}),
    "open_file": Case({"show": r"'one\ntwo\n'"}, ("start: 'log', which task end needs, is a _io.TextIOWrapper",)),
    "order_of_set": Case({"visit": "True True"}),
    "reset_magic": Case({"show": "5"}),
    "seed": Case(
        {"draw": "0.13436424411240122 0.417022004702574", "again": "0.8474337369372327 0.7203244934421581"},
        ("NB441 again", "NB441 again", "NB441 draw", "NB441 draw", "NB461 seed", "NB461 seed"),
    ),
    "settings_of_libraries": Case(
        {"use": "6 [0.333] 0.33333 True\nlogged\nraised ignored\nraise"},
        ("NB440 configure",) * 6 + ("NB460 configure",) * 7,
    ),
    "state_of_module": Case({"use": "[1] 5"}, ("NB442 configure", "NB462 configure", "NB462 configure")),
    "temporary_directory": Case(
        {"names": "['part']", "content": "data"}, ("make: '(folder|part)', which task (names|content) needs, is a ",)
    ),
    "updated_display": Case({"progress": "'ended'", "end": "done"}),
}


def test_each_notebook_has_its_expected_outputs() -> None:
    assert sorted(CASES) == sorted(path.stem for path in FOLDER.glob("*.txt"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_headless_run_shows_what_papermill_shows_or_says_why_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    share_one_server(monkeypatch)
    assert plain_run(name, tmp_path / "plain", monkeypatch) == case.plain
    (tmp_path / "headless").mkdir()
    monkeypatch.chdir(tmp_path / "headless")
    nbformat.write(unpacked(FOLDER / f"{name}.txt", Path()), f"{name}.ipynb")
    said = [f"{each.code} {each.task}" for each in nbdag.read(f"{name}.ipynb").problems]
    shown: Mapping[str, str] = {}
    try:
        run = nbdag.run(f"{name}.ipynb", output="report.ipynb", jobs=3, home=Home(tmp_path / ".nbdag"))
    except nbdag.NbdagError:
        pass  # the problems are said already
    else:
        said += [f"{note.code} {task.id}" for task in run.tasks for note in task.warnings]
        said += [f"{task.id}: {task.error}" for task in run.tasks if task.error]
        shown = shown_by_task(nbformat.read("report.ipynb", as_version=4))
    assert len(said) == len(case.said)
    assert [each for each, pattern in zip(sorted(said), case.said, strict=True) if not re.match(pattern, each)] == []
    assert said or shown == case.plain


def plain_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what the tasks show if papermill runs the cells in order, without nbdag."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    nb = unpacked(FOLDER / f"{name}.txt", folder)
    plain = copy.deepcopy(nb)
    for cell in plain.cells:
        cell.source = re.sub(r"^%%task .*\n", "", cell.source)
    nbformat.write(plain, "plain.ipynb")
    papermill.execute_notebook(
        "plain.ipynb", "plain.ipynb", kernel_name="python3", progress_bar=False, **warm_kernel(folder, shared_modules())
    )
    for cell, done in zip(nb.cells, nbformat.read("plain.ipynb", as_version=4).cells, strict=True):
        cell.outputs = done.outputs
    return shown_by_task(nb)


def shown_by_task(nb: NotebookNode) -> dict[str, str]:
    """Return the text that each task shows, without errors and warnings."""
    found = {}
    for cell in nb.cells:
        task = re.match(r"%%task (\w+)", cell.source)
        if cell.cell_type != "code" or task is None:
            continue
        shown = [
            output.text if output.output_type == "stream" else output.data["text/plain"]
            for output in cell.outputs
            if output.output_type != "error" and output.get("name") != "stderr"
        ]
        if shown:
            found[task[1]] = "\n".join(text.strip() for text in shown)
    return found
