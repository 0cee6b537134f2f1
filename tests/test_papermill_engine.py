"""`papermill IN OUT --engine nbdag`, through papermill's own front door."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from patience import LONG
from warm import WarmCommands

from nbdag.core.model.states import RunState
from nbdag.home import Home
from nbdag.runs import list_runs

CELLS = [
    "%load_ext nbdag\n%dag small",
    "alpha = 1",
    "%%task one\nfrom pathlib import Path\nx = [alpha, Path.cwd().name]",
    "%%task two\nprint('two', x)",
    "%%task three\nprint('three', x)",
]


@pytest.fixture(scope="module")
def papermill(runtime: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Yield a function that runs papermill's command with the engine in a folder."""
    with contextlib.closing(WarmCommands("papermill")) as commands:

        def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
            environment = {**os.environ, "NBDAG_HOME": str(folder / "home")}
            return commands([*arguments, "--engine", "nbdag"], cwd=folder, env=environment, timeout=LONG)

        yield run


@pytest.fixture
def notebook(tmp_path: Path):
    def make(*cells: str) -> Path:
        made = [nbformat.v4.new_code_cell(source) for source in cells]
        made[1].metadata["tags"] = ["parameters"]
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / "in.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec}), path)
        return path

    return make


def printed(nb: nbformat.NotebookNode) -> str:
    outputs = [output for cell in nb.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def test_a_tagged_notebook_runs_as_a_dag_with_papermills_parameters(papermill, notebook, tmp_path: Path) -> None:
    notebook(*CELLS)
    done = papermill(tmp_path, "in.ipynb", "out.ipynb", "-p", "alpha", "5")
    assert done.returncode == 0, done.stderr
    nb = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(nb)
    assert f"two [5, '{tmp_path.name}']" in printed(nb)
    assert f"three [5, '{tmp_path.name}']" in printed(nb)
    injected = [cell.source for cell in nb.cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert injected == ["# Parameters\nalpha = 5\n"]
    assert nb.metadata.papermill.parameters == {"alpha": 5}
    assert nb.metadata.papermill.output_path == "out.ipynb"
    (run,) = list_runs(home=Home(tmp_path / "home"))
    assert run.state is RunState.SUCCESS


def test_an_unknown_parameter_and_a_broken_rule_are_errors(papermill, notebook, tmp_path: Path) -> None:
    notebook(CELLS[0], "alpha: float = 0.5  # in (0, 1)", *CELLS[2:])
    for name, value, message in (("alpah", "0.1", "did you mean 'alpha'?"), ("alpha", "5", "must be less than 1")):
        done = papermill(tmp_path, "in.ipynb", "out.ipynb", "-p", name, value)
        assert done.returncode != 0
        assert message in done.stderr


def test_a_failure_is_papermills_failure_and_marked_once(papermill, notebook, tmp_path: Path) -> None:
    notebook(*CELLS[:3], "%%task two\n1 / 0", CELLS[4])
    done = papermill(tmp_path, "in.ipynb", "out.ipynb")
    assert done.returncode != 0
    assert "ZeroDivisionError: division by zero" in done.stderr
    nb = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(nb)
    assert "three" in printed(nb)  # it does not depend on what failed
    assert sum("An Exception was encountered" in cell.source for cell in nb.cells) == 1


# One process imports the libraries of papermill; a fork of it imports the module, and then papermill.
FIRST = """
import os, sys
sys.modules["rfc3987_syntax"] = None  # compiles a grammar for a second, and nothing needs it
import nbclient, nbformat, requests, tqdm
for first in sys.argv[1:]:
    child = os.fork()
    if not child:
        __import__(first)
        import papermill.engines
        papermill.engines.papermill_engines.get_engine("nbdag")
        break
    assert os.waitpid(child, 0)[1] == 0, first
"""


def test_the_engine_is_found_whatever_is_imported_first() -> None:
    modules = ("papermill", "nbdag.papermill_engine", "nbdag.kernels.jupyter.engine", "nbdag.executors.local")
    subprocess.run([sys.executable, "-c", FIRST, *modules], check=True, timeout=LONG)


def test_tasks_made_by_code_run_too_with_papermills_parameters(papermill, notebook, tmp_path: Path) -> None:
    notebook("%load_ext nbdag", "n = 1", "%%dag small\nfor k in range(n): Python(f'task_{k}', f\"print('so', {k})\")")
    done = papermill(tmp_path, "in.ipynb", "out.ipynb", "-p", "n", "2")
    assert done.returncode == 0, done.stderr
    nb = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(nb)
    assert [line for line in printed(nb).splitlines() if line.startswith("so")] == ["so 0", "so 1"]


def test_a_branch_decides_which_tasks_papermill_runs(papermill, notebook, tmp_path: Path) -> None:
    notebook(
        *CELLS[:2],
        "%%task choose --branch\n'eu' if alpha > 1 else 'us'",
        "%%task eu.load --after choose\nwhere = 'europe'\nprint(where)",
        "%%task us.load --after choose\nwhere = 'america'\nprint(where)",
        "%%task join --after eu us --trigger none_failed_min_one_success\nprint('joined', where)",
    )
    done = papermill(tmp_path, "in.ipynb", "out.ipynb", "-p", "alpha", "5")
    assert done.returncode == 0, done.stderr
    nb = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert "joined europe" in printed(nb)
    assert "america" not in printed(nb)
