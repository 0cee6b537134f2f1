"""Notebooks of ordinary but demanding style give no warning: neither by `check` nor by a run.

Each file of `ordinary/` has the cells of one notebook, and the modules of the user that it imports.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from preloading import share_one_server

import nbdag
from nbdag.home import Home

from .cell_files import unpacked

FOLDER = Path(__file__).parent / "ordinary"
QUICK = ("text_index", "files_and_logs")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each.stem, marks=() if each.stem in QUICK else pytest.mark.slow)
        for each in sorted(FOLDER.glob("*.txt"))
    ],
)
def test_an_ordinary_notebook_gives_no_warning(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name not in QUICK:
        share_one_server(monkeypatch)
    path = tmp_path / f"{name}.ipynb"
    nbformat.write(unpacked(FOLDER / f"{name}.txt", tmp_path), path)
    assert nbdag.read(path).problems == ()
    run = nbdag.run(path, jobs=2, home=Home(tmp_path / ".nbdag"))
    assert run.state.value == "success", [(task.id, task.error) for task in run.tasks]
    assert [(task.id, note.message) for task in run.tasks for note in task.warnings] == []
