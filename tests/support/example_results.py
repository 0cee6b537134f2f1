"""The results of the example notebooks, which must not depend on how an example is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nbformat
from nbclient import NotebookClient
from patience import LONG
from preloading import execute_plainly

import nbdag
from nbdag.home import Home

# The results of each example: names whose values must not depend on how it is run.
RESULTS = {
    "ml_pipeline": ("winner", "accuracy", "agreement", "note"),
    "etl": ("loaded", "strange", "twice", "rejected_share", "summary"),
    "quickstart": ("ridge_error", "boosted_error", "best_model", "best_error"),
    "tuning": ("best",),
    "hyperparameters": ("best_setting", "best_score", "accuracy"),
    "scheduling": ("longest",),
    "operators": ("orders", "totals", "loaded", "count", "files", "confirmed", "price"),
    "validation_gate": ("summary", "accuracy"),
    "secrets": ("revenue", "signature"),
    "cluster": ("average",),
    "from_airflow": ("everything_result", "report_result"),
}

# Parameters of an example's headless run; its results must not depend on them.
PARAMETERS = {"ml_pipeline": {"output_dir": "models"}}


NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@dataclass(frozen=True)
class Finished:
    """An example that was run in a folder of its own."""

    folder: Path
    home: Home
    results: dict[str, str]  # name → repr


class RunExample(Protocol):
    """Runs an example headlessly, or else top to bottom; by default with its `PARAMETERS`."""

    def __call__(self, name: str, headless: bool, parameters: Mapping[str, Any] | None = None) -> Finished: ...


def with_results(name: str, folder: Path) -> Path:
    """Return a copy of an example with one more task, which prints its results."""
    folder.mkdir()
    path = folder / f"{name}.ipynb"
    nbformat.write(_with_cell(NOTEBOOKS / path.name, f"%%task results\n{printing(RESULTS[name])}"), path)
    return path


def plainly(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Run a notebook top to bottom in one kernel, as Run All does; return the reprs of these names."""
    notebook = _with_cell(path, printing(names))
    if path.stem == "ml_pipeline":  # the only one in an ordinary kernel, which takes 4 s longer
        place = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, startup_timeout=int(LONG), resources=place).execute()
    else:
        execute_plainly(notebook, path.parent)
    return printed(notebook.cells[-1].outputs)


def headlessly(path: Path, names: tuple[str, ...], parameters: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Run a notebook headlessly, with one more task that prints the names; return their reprs."""
    extended = path.with_name(f"{path.stem}_printing.ipynb")
    nbformat.write(_with_cell(path, f"%%task results\n{printing(names)}"), extended)
    run = nbdag.run(extended, parameters=parameters, jobs=2)
    assert run.state == "success", [task.error for task in run]
    report = nbformat.read(run.notebook, as_version=4)
    return printed(report.cells[-1].outputs)


def _with_cell(path: Path, code: str) -> nbformat.NotebookNode:
    """Return a notebook with one more cell at its end."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(code))
    return notebook


def printing(names: Iterable[str]) -> str:
    """Return code that prints the reprs of these names."""
    return "\n".join(f"print('@@', {name!r}, repr({name}).replace(chr(10), ' '))" for name in names)


def printed(outputs: Iterable[Any]) -> dict[str, str]:
    """Return the reprs that a cell has printed, by name."""
    return printed_in(
        "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    )


def printed_in(text: str) -> dict[str, str]:
    """Return the reprs in a text, by name."""
    return dict(re.findall(r"^@@ (\w+) (.*)$", text, re.M))
