"""The notebook is the DAG.

Cell magics tag cells as tasks; nbdag reads what each cell reads and writes, draws the graph, and runs it headlessly
with papermill, in parallel and on a schedule.

    dag = nbdag.read("churn.ipynb")            # tasks, edges, problems
    run = nbdag.run("churn.ipynb", parameters={"alpha": 0.5}, jobs=4)
    run.state, run["train"].duration, run.value("accuracy")
    nbdag.load("churn", run="latest", task="train")    # what that task was given and left, in this process

The way of the data, and where each step lives:

    .ipynb ── notebooks ──▶ cells ── core.dataflow ──▶ Dag ── runs, store ──▶ run
       (where a %%dag cell makes tasks by code, `building` runs it and puts them below it, in the notebook)
       scheduler: core.plan says what moves ▸ core.slots who gets a slot ▸ store records ▸ executors make the attempts
          (with --cache, core.cache says which attempts are alike, and an earlier outcome may stand for one's own)
          an attempt: kernels write the task's notebook ▸ papermill executes it in a kernel of its own ▸ values are kept
       the result ──▶ store ──▶ reports (the notebook with every output), events (terminal, widget, web page)

Which way imports point: surfaces (cli, magics) → runs, session → scheduler → executors, store, building → kernels →
notebooks, reports, graphs, operators, values → core → errors. `core` is pure: no file, kernel, clock, network or
database. `home` says where state lives, `writing` how a file is written whole, `processes` whether a process is still
there, `context` what a task knows of its run.

Importing this package is quick: each public name is loaded when it is first used.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .building import read
    from .core.model.dag import Dag
    from .errors import Fail, NbdagError, Skip
    from .runs import Run, load, run

__all__ = ["Dag", "Fail", "NbdagError", "Run", "Skip", "load", "read", "run"]

_WHERE = {
    "Dag": "core.model.dag",
    "Fail": "errors",
    "NbdagError": "errors",
    "Run": "runs",
    "Skip": "errors",
    "load": "runs",
    "read": "building",
    "run": "runs",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{_WHERE[name]}", __name__), name)
    if name in ("Dag", "read"):
        _draw_dags()
    return found


def _draw_dags() -> None:
    """In a notebook, a Dag that is a cell's last value draws itself."""
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find_shell() if find_shell is not None else None
    if shell is not None:
        from .magics import show_dags

        show_dags(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext nbdag`."""
    from .packages import require

    require()  # first: with an old package the imports below may fail
    from .magics import load_ipython_extension as begin

    begin(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext nbdag`."""
    from .magics import unload_ipython_extension as end

    end(shell)
