"""Tests of notebooks: a pytest plugin, and fakes that nbdag's own tests use, too.

pytest loads `plugin` without configuration. The plugin adds the fixtures `task`, `nbdag_run` and `nbdag_snapshot`, and
`pytest --nbdag FOLDER`. Each fake passes the contract tests of the class that it replaces; its docstring lists what it
does not support.

Names are imported on first use, because pytest imports this package at every start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .in_process import InProcessExecutor
    from .task import TaskResult, TaskTestError, run_task

__all__ = ["InProcessExecutor", "TaskResult", "TaskTestError", "run_task"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "InProcessExecutor":
        from . import in_process

        return in_process.InProcessExecutor
    if name in __all__:
        from . import task

        return getattr(task, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
