"""`%nbdag load TASK`: load a task of a headless run into this kernel, and show its cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..cli import complete
from ..cli._group import examples

if TYPE_CHECKING:
    from ..frontend.load_task import Loaded

# JupyterLab and Notebook 7 scroll to the place that this output names.
PLACE = "application/vnd.nbdag.place+json"


@click.command(
    "load",
    epilog=examples(
        ("%nbdag load train", "load the inputs and outputs of train in the latest run"),
        ("%nbdag load fit[3] --run 2026-11-29", "load instance 3 of a mapped task of an earlier run"),
        ("%nbdag load train --inputs", "load only the inputs of train, to execute its cell again"),
    ),
)
@click.argument("task")
@click.option(
    "--run", default="latest", show_default="the latest run", metavar="RUN", shell_complete=complete.runs,
    help="Run to load from, by its id or the beginning of its id.",
)  # fmt: skip
@click.option("--inputs", "only_inputs", is_flag=True, help="Load only the values that the task reads.")
@click.pass_obj
def load(load_task: Callable[..., Loaded], task: str, run: str, only_inputs: bool) -> int:
    """Load the inputs and outputs of a task of a run into this kernel, and jump to the task's cell.

    The run's parameters are set, too. TASK[3] is an instance of a mapped task; without an index, the first failed
    instance is loaded. The upstream tasks count as executed, with their code of that run.
    """
    from IPython.display import publish_display_data

    loaded = load_task(task, run=run, only_inputs=only_inputs)
    data: dict[str, Any] = {"text/plain": loaded.text}
    if loaded.cell is not None:
        data[PLACE] = {"cell": loaded.cell, "line": loaded.line}
    publish_display_data(data)
    return 0
