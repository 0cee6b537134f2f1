"""`dag_run` and `ti` in the live notebook: values come from the variables of this kernel.

`ti.xcom_pull` returns a variable of a task whose cell has run, or a value that the cell pushed. Parameters are the
variables that the parameters cell sets. All dates of `dag_run` are the time at which the extension was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from ..errors import NbdagError, error
from ..session import Session
from ..task_api.context import RETURN_VALUE, DagRun, PullError, TaskInstance


@error
class NotRunHereError(NbdagError):
    """A task whose value is pulled has not run in this kernel."""

    task: str
    template = "task {task} has not run in this kernel; run its cell first"


class LiveParams(Mapping[str, Any]):
    """The parameters, with the values that they have in this kernel."""

    def __init__(self, session: Session, namespace: Mapping[str, Any]) -> None:
        self._session = session
        self._namespace = namespace

    def __getitem__(self, name: str) -> Any:
        if name not in self._session.dag().parameters:
            raise KeyError(name)
        return self._namespace[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._session.dag().parameters if name in self._namespace)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class LiveTask(TaskInstance):
    """`ti` of the task whose cell is running."""

    def __init__(self, session: Session, namespace: Mapping[str, Any]) -> None:
        super().__init__(task_id="interactive", dag_id=session.name)
        self._session = session
        self._namespace = namespace
        self._pushed_by: dict[str, dict[str, Any]] = {}

    def begin(self, task: str) -> None:
        """Record that a task's cell starts, and delete the values that earlier executions of the task have pushed."""
        self.task_id = task
        self._pushed = self._pushed_by[task] = {}

    def end(self) -> None:
        """Record that the cell ends."""
        self.task_id, self._pushed = "interactive", {}

    def _pull(self, task: str, key: str, map_indexes: int | Iterable[int] | None, default: Any) -> Any:
        if task == self.task_id:
            return self._pushed.get(key, default)
        dag = self._session.dag()
        if task not in dag.tasks:
            raise PullError(task, self.task_id, tuple(dag.tasks))
        if not self._session.has_run(task):
            raise NotRunHereError(task)
        pushed = self._pushed_by.get(task, {})
        if key in pushed:
            return pushed[key]
        name = self._result(task) if key == RETURN_VALUE else key
        if name is None or name not in {*dag.tasks[task].writes, *dag.tasks[task].options.out}:
            return default
        value = self._namespace.get(name, default)
        if map_indexes is None or not dag.tasks[task].options.map:
            return value
        if isinstance(map_indexes, int):
            return value[map_indexes] if 0 <= map_indexes < len(value) else default
        return [value[index] for index in map_indexes]

    def _result(self, task: str) -> str | None:
        """Return the name of the variable that holds the task's result, or None if the task has no single result.

        The result is the variable of `--out`, if `--out` names exactly one. Otherwise it is the only public variable
        that the task sets; functions, classes and modules are not counted.
        """
        found = self._session.dag().tasks[task]
        if len(found.options.out) == 1:
            return found.options.out[0]
        kinds = (FunctionType, ModuleType, type)
        names = [name for name in found.writes if name[0] != "_" and not isinstance(self._namespace.get(name), kinds)]
        return names[0] if len(names) == 1 else None


def live_run(session: Session, namespace: Mapping[str, Any], task: LiveTask) -> DagRun:
    """Return `dag_run` for the cells of a live notebook."""
    return DagRun.of({"dag_id": session.name}, ti=task, params=LiveParams(session, namespace))
