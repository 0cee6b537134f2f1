"""The notebook is the DAG.

Cell magics tag cells as tasks. nbdag analyses which names each cell reads and writes, draws the graph, and runs it
headlessly with papermill, in parallel and on a schedule.

    dag = nbdag.read("churn.ipynb")                  # tasks, edges, problems
    run = nbdag.run("churn.ipynb", parameters={"alpha": 0.5}, jobs=4)
    run.state, run["train"].duration, run.value("accuracy")
    nbdag.load("churn", run="latest", task="train")  # the inputs and outputs of that task, in this process

    nbdag.deploy("churn.ipynb")                      # pin it and activate its schedule
    nbdag.trigger("churn", parameters={"alpha": 1})  # create a run now; `nbdag scheduler` executes it
    nbdag.clear("latest", ["train"], downstream=True)
    nbdag.backfill("churn", date(2026, 1, 1), date(2026, 1, 31))
    nbdag.runs                                       # the whole API: every verb of the command line

    nbdag.secret("API_TOKEN")                        # in a cell: looked up by name, masked in all outputs
    nbdag.state["cursor"] = 5                        # in a task: kept for its next try, or across runs
    nbdag.wait_for("incoming/orders.csv")            # in a task: end the attempt, and go on when the file exists
    nbdag.produced("s3://lake/orders", rows=10)      # in a task with --produces: facts about the new version
    nbdag.connection("warehouse").url, nbdag.variable("region", "eu-west-1")

Data flow, with the package of each step:

    .ipynb ── notebooks ──▶ cells ── core.dataflow ──▶ Dag ── runs, store ──▶ run
       (`building` first executes a %%dag cell, and writes the tasks that it creates below it into the notebook)
       scheduler: core.planning decides which tasks are ready and which get a slot ▸ store records ▸ executors run them
          (with --cache, core.planning.cache_key finds an earlier attempt with the same code and inputs)
          an attempt: kernels.worker writes the task's notebook ▸ papermill executes it in a kernel ▸ values are stored
       the result ──▶ store ──▶ reports (the notebook with every output), events (terminal, widget, web page)

Imports point down (checked by a test):

    magics, frontend, cli, papermill_engine   surfaces: parse, call `runs` or `session`, show the result
    runs                                      the API: queries < creation < execution < actions
    session                                   the live notebook: which tasks ran in this kernel, and which are stale
    scheduler                                 one loop that executes runs, in the foreground or as a daemon
    export                                    DAG files of Airflow, and scripts that need no nbdag
    executors, store, building                attempts; the database; tasks that a %%dag cell creates
    kernels                                   forkserver < runtime < jupyter < worker
    processes, graphs, notebooks, reports     processes of this machine; pictures; files
    airflow                                   Airflow's names for the code of a %%dag cell
    operators, values                         kinds of tasks; stored values
    task_api                                  what a task's code calls: its run, its state, waiting, facts on assets
    secrets                                   secrets and connections by name, and their masking in outputs
    home                                      the state folder
    core, writing                             pure rules (no file, kernel, clock or database); atomic file writes
    errors                                    the base class of every error

Importing this package is quick: each public name is imported when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import runs
    from .building import read
    from .core.model.dag import Dag
    from .errors import Fail, NbdagError, Skip
    from .runs import Run, backfill, clear, deploy, load, run, trigger
    from .secrets import Secret, connection, secret, variable
    from .task_api.asset_facts import produced
    from .task_api.task_state import state
    from .task_api.waiting import wait_for

__all__ = [
    "Dag",
    "Fail",
    "NbdagError",
    "Run",
    "Secret",
    "Skip",
    "backfill",
    "clear",
    "connection",
    "deploy",
    "load",
    "produced",
    "read",
    "run",
    "runs",
    "secret",
    "state",
    "trigger",
    "variable",
    "wait_for",
]

_MODULE_OF = {
    "Dag": "core.model.dag",
    "Fail": "errors",
    "NbdagError": "errors",
    "Run": "runs",
    "Secret": "secrets",
    "Skip": "errors",
    "backfill": "runs",
    "clear": "runs",
    "connection": "secrets",
    "deploy": "runs",
    "load": "runs",
    "produced": "task_api.asset_facts",
    "read": "building",
    "run": "runs",
    "secret": "secrets",
    "trigger": "runs",
    "state": "task_api.task_state",
    "variable": "secrets",
    "wait_for": "task_api.waiting",
}


if not TYPE_CHECKING:  # hidden from mypy, because with a module `__getattr__` mypy would accept any name

    def __getattr__(name: str) -> Any:
        if name == "runs":
            return import_module(".runs", __name__)
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        if name in ("Dag", "read"):
            _draw_dags()
        return found


def _draw_dags() -> None:
    """In a notebook's kernel, make IPython show a Dag as a graph if the Dag is the last value of a cell."""
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find_shell() if find_shell is not None else None
    if shell is not None:
        from .magics import show_dags

        show_dags(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """Load the magics: `%load_ext nbdag`."""
    from .packages import require

    require()  # called first, because the imports below may fail with an outdated package
    from .magics import load_ipython_extension as begin

    begin(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Unload the magics: `%unload_ext nbdag`."""
    from .magics import unload_ipython_extension as end

    end(shell)
