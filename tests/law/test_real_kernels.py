"""The law once more for a few notebooks, through papermill and real kernels, one job at a time and four."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import nbdag
from nbdag.home import Home

from .driver import main_namespace
from .test_counterexamples import CASES

# The notebook, and for each task what to look at when its cell has run.
LOOKS = {
    "siblings that append to one list": {"b": "xs", "c": "xs", "d": "(xs, total)"},
    "an alias made before a change sees it": {"b": "(xs, ys)", "c": "xs", "d": "(ys, n)", "e": "(xs, ys, same)"},
    "a class and its instances": {"c": "m.xs", "e": "m.xs", "f": "(ys, same)"},
    "a function that changes a global": {"b": "count", "c": "p", "d": "q"},
    "setup in between": {"b": "y", "c": "z", "d": "x", "e": "w"},
}


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_run_with_real_kernels_gives_the_values_of_a_plain_run(tmp_path: Path, jobs: int) -> None:
    """All cases stand in one folder, each a notebook of its own, so that they share warm kernels."""
    for name, looks in LOOKS.items():
        cells = [
            (kind, f"{code}\nseen_{kind} = repr({looks[kind]})" if kind in looks else code)
            for kind, code in CASES[name]
        ]
        with main_namespace() as expected:
            for _, code in cells:
                exec(code, expected)
        found = nbdag.run(written(cells, looks, tmp_path / "case.ipynb"), jobs=jobs, home=Home(tmp_path / ".nbdag"))
        assert found.state.value == "success", name
        for task in looks:
            assert found.value(f"seen_{task}") == expected[f"seen_{task}"], (name, task)


def written(cells: list[tuple[str, str]], looks: dict[str, str], path: Path) -> Path:
    """The notebook as a file."""
    header = {"setup": "%%setup"} | {
        kind: f"%%task {kind}" + (f" --out seen_{kind}" if kind in looks else "")
        for kind, _ in cells
        if kind != "setup"
    }
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"{header[kind]}\n{code}") for kind, code in cells])
    nbformat.write(nb, path)
    return path
