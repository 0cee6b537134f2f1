"""The law once more for a few notebooks, through papermill and real kernels, on this machine and on Dask."""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path

import distributed
import nbformat
import pytest
from hypothesis import Phase, assume, given, note, settings

import nbdag
from nbdag.executors import Choice
from nbdag.home import Home

from .driver import main_namespace, notebook, rightly_refused
from .notebooks import EVERY, Cells, notebooks
from .test_counterexamples import CASES
from .test_law import UNHURRIED, told

# The notebook, and for each task what to look at when its cell has run.
LOOKS = {
    "siblings that append to one list": {"b": "xs", "c": "xs", "d": "(xs, total)"},
    "an alias made before a change sees it": {"b": "(xs, ys)", "c": "xs", "d": "(ys, n)", "e": "(xs, ys, same)"},
    "a class and its instances": {"c": "m.xs", "e": "m.xs", "f": "(ys, same)"},
    "a function that changes a global": {"b": "count", "c": "p", "d": "q"},
    "setup in between": {"b": "y", "c": "z", "d": "x", "e": "w"},
}

ROLES = {"setup": "%%setup", "parameters": "%%params", "scratch": "%%skip"}


@pytest.mark.slow
def test_a_run_with_real_kernels_gives_the_values_of_a_plain_run(tmp_path: Path) -> None:
    """All cases stand in one folder, each a notebook of its own, so that they share warm kernels."""
    for name, looks in LOOKS.items():
        jobs = 1 if name == "setup in between" else 4  # one case in sequence, the others in parallel
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


@pytest.fixture(scope="module")
def address(runtime: Path) -> Iterator[str]:
    """Yield the address of a Dask cluster of two workers."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_a_run_on_dask_gives_the_values_of_a_plain_run(address: str) -> None:
    @settings(UNHURRIED, max_examples=5, phases=[Phase.generate], derandomize=True)
    @given(notebooks())
    def compare(cells: Cells) -> None:
        looks = {kind: look for kind, code in cells if kind not in ROLES and (look := names_in(code))}
        looking = [(kind, f"{code}\n{look_at(kind, looks[kind])}" if kind in looks else code) for kind, code in cells]
        assume(not rightly_refused(notebook(*looking)))
        note(told(looking))
        with main_namespace() as expected:
            for _, code in looking:
                exec(code, expected)
        with tempfile.TemporaryDirectory() as folder:
            path = written(looking, looks, Path(folder) / "case.ipynb")
            found = nbdag.run(path, executor=Choice("dask", {"address": address}), home=Home(Path(folder) / ".nbdag"))
            assume(not any("cannot be stored" in str(task.error) for task in found))  # said by name
            assert found.state.value == "success"
            for task in looks:
                assert found.value(f"seen_{task}") == expected[f"seen_{task}"], task

    compare()


def names_in(code: str) -> list[str]:
    """Return the generated names that the code mentions."""
    return sorted({each.id for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Name)} & set(EVERY))


def look_at(task: str, names: list[str]) -> str:
    """Return code that stores the values of names as a text without addresses; a name may be unbound."""
    lines = [f"seen_{task} = []"]
    for name in names:
        lines.append(f"try:\n    seen_{task}.append(repr({name}).split(' at 0x')[0])\nexcept NameError:\n    pass")
    return "\n".join(lines)


def written(cells: list[tuple[str, str]], looks: Container[str], path: Path) -> Path:
    """The notebook as a file."""
    header = ROLES | {
        kind: f"%%task {kind}" + (f" --out seen_{kind}" if kind in looks else "")
        for kind, _ in cells
        if kind not in ROLES
    }
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"{header[kind]}\n{code}") for kind, code in cells])
    nbformat.write(nb, path)
    return path
