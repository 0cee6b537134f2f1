"""Build the tasks of notebooks whose `%%dag` cell creates tasks by code.

The code of the `%%dag` cell runs and creates operators. Each operator becomes a `%%task` cell below the `%%dag` cell.
The result is an ordinary notebook, which is analysed, drawn, pinned, run and reported like any other. Tasks are built
at these times:

- `nbdag.read`, `check` and `show` build with the default parameters, `run` with the parameters of the run. `deploy`
  builds only to find problems: it pins the notebook without built cells, and each scheduled run builds again.
- When a triggered or scheduled run starts, the process that owns the run builds the tasks, with the run's parameters.
  `backfill` builds the tasks once for all runs.
- A run pins the built notebook, so retries, `clear` and `resume` do not build again.
- In the live notebook, the tasks are built in the kernel when the `%%dag` cell runs: see `nbdag.magics`.
- Lists, the status of a run, completion and the graph of the live notebook never build.
- The report of a run contains the built cells. If the report itself is run as a notebook, the tasks are built again.

The code can use parameters and the setup cells that it needs (`core.dataflow.build_prefix`), but not `dag_run`, because
the tasks should not differ from run to run. For a notebook without a `%%dag` cell, nothing is executed.

Functions and classes are imported on first use, because the process that builds needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import BuiltNotebook, build, read, read_built, secret_parameters

__all__ = ["BuiltNotebook", "build", "read", "read_built", "secret_parameters"]


if not TYPE_CHECKING:  # hidden from mypy, because with a module `__getattr__` mypy would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(".builder", __name__), name)
        return found
