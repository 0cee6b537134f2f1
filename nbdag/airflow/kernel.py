"""What the cells of tasks call in their kernels: the context, functions with it, and commands of bash."""

from __future__ import annotations

import glob
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .. import secrets
from ..errors import Fail, NbdagError, Skip
from ..operators import bash as bash_operator
from ..templates import context_of, render, render_pieces
from ..templates.context import INSTEAD
from ..templates.quoting import shell
from .pulls import RETURN_VALUE

_current: ContextVar[Context | None] = ContextVar("current", default=None)


class AirflowException(Exception):
    """The base of errors that a task raises to fail."""


class AirflowSkipException(Skip):
    """Raised by a task to be skipped."""


class AirflowFailException(Fail):
    """Raised by a task to fail without a retry."""


class Context(dict[str, Any]):
    """The names that a function gets in `**context`."""

    def __missing__(self, name: str) -> Any:
        known = f"the context has {', '.join(sorted(self))}"
        raise KeyError(f"{name}; {INSTEAD.get(name, known)}")


class TaskInstance:
    """The task that is running: its XComs and its place in the run."""

    def __init__(self, dag_run: Any, pulled: Mapping[str, Mapping[str, Any]], pushed: dict[str, Any] | None) -> None:
        self.task_id: str = dag_run.task_id or "interactive"
        self.dag_id: str = dag_run.dag_id
        self.run_id: str = dag_run.run_id
        self.map_index: int = dag_run.map_index
        self.try_number: int = dag_run.try_number
        self.start_date = datetime.now(UTC)
        self._pulled = pulled
        self._pushed = pushed

    def xcom_pull(
        self,
        task_ids: str | Sequence[str] | None = None,
        dag_id: str | None = None,
        key: str = RETURN_VALUE,
        default: Any = None,
        **others: Any,
    ) -> Any:
        """Return the XCom of a task, or the default if there is none; of several tasks, the list of theirs."""
        for name, value in {**others, "dag_id": None if dag_id == self.dag_id else dag_id}.items():
            if value:
                raise NbdagError(f"xcom_pull with {name}={value!r} is not supported; pull from a task of this run")
        if task_ids is None:
            return (self._pushed or {}).get(key, default)
        if isinstance(task_ids, str):
            return self._value(task_ids, key, default)
        return [self._value(each, key, default) for each in task_ids]

    def _value(self, task_id: str, key: str, default: Any) -> Any:
        if task_id == self.task_id:
            return (self._pushed or {}).get(key, default)
        if task_id not in self._pulled:
            known = f"; it has those of {', '.join(self._pulled)}" if self._pulled else ""
            raise NbdagError(
                f"task {self.task_id} did not get the XComs of {task_id!r}{known}. Write the id into the task's "
                f"function itself, as ti.xcom_pull(task_ids={task_id!r})"
            )
        value = self._pulled[task_id].get(key, default)
        return default if value is None else value

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        """Keep a value for later tasks."""
        if self._pushed is None:
            raise NbdagError(
                f"task {self.task_id} pushes the XCom {key!r} where nbdag does not see it; call ti.xcom_push in the "
                "task's function itself, or return the value"
            )
        self._pushed[key] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"ti has no attribute {name!r} here; it has task_id, dag_id, run_id, map_index, try_number")


class PokeReturnValue:
    """The answer of a sensor: whether it is done, and a value for later tasks."""

    def __init__(self, is_done: bool, xcom_value: Any = None) -> None:
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self) -> bool:
        return bool(self.is_done)


def poked(answer: Any) -> PokeReturnValue:
    """Return the answer of a sensor's function as a `PokeReturnValue`."""
    return answer if isinstance(answer, PokeReturnValue) else PokeReturnValue(bool(answer))


class TaskContext:
    """The context of the task that is running."""

    def __init__(
        self,
        dag_run: Any,
        *,
        params: Mapping[str, Any] | None = None,
        xcoms: Mapping[str, Mapping[str, Any]] | None = None,
        pushes: bool = False,
    ) -> None:
        self.pushed: dict[str, Any] = {}  # key → value
        self._dag_run = dag_run
        self._ti = TaskInstance(dag_run, xcoms or {}, self.pushed if pushes else None)
        self.names = Context(
            context_of(
                dag_run,
                {**dag_run.params, **(params or {})},
                ti=self._ti,
                task=SimpleNamespace(task_id=self._ti.task_id),
                variable=secrets.variable,
                connection=secrets.connection,
            )
        )

    def render(self, text: str) -> str:
        """Return a text with its templates rendered."""
        return render(text, self.names, what=f"a template of {self._ti.task_id}")

    def call(self, function: Callable[..., Any], *args: Any, templates_dict: Any = None, **named: Any) -> Any:
        """Call a function with its arguments and the names of the context for which it asks."""
        parameters = inspect.signature(function).parameters
        values = {**self.names, **({} if templates_dict is None else {"templates_dict": templates_dict})}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            positional = itertools.islice(parameters, len(args))
            asked = parameters.keys() - set(positional)
            values = {name: value for name, value in values.items() if name in asked}
            context: Mapping[str, Any] = values
        else:
            names = [name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD]
            context = {name: value for name, value in values.items() if name not in names[: len(args)]}
        with self._as_current():
            return function(*args, **{**context, **named})

    @contextmanager
    def _as_current(self) -> Iterator[None]:
        before = _current.set(self.names)
        try:
            yield
        finally:
            _current.reset(before)

    def bash(
        self,
        command: str,
        *,
        env: Mapping[str, Any] | None = None,
        append_env: bool = False,
        cwd: str | None = None,
        skip_on_exit_code: int | Sequence[int] | None = bash_operator.SKIP,
    ) -> str | None:
        """Run a command, and return the last line of its output. Values of templates in it are passed as data."""
        if command.endswith((".sh", ".bash")):  # as in Airflow, the name of a file whose text is the command
            command = Path(command).read_text(encoding="utf-8")
        pieces = render_pieces(command, self.names, what=f"the command of {self._ti.task_id}")
        statement = shell(pieces)
        print(f"$ {''.join(map(str, pieces))}")
        variables = {name: self.render(str(value)) for name, value in (env or {}).items()}
        if env is None or append_env:
            variables = {**os.environ, **variables}
        skips = (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else tuple(skip_on_exit_code or ())
        output = bash_operator.run_command(statement.text, {**variables, **statement.values}, cwd=cwd, skips=skips)
        lines = output.splitlines()
        return lines[-1] if lines else None

    def file_exists(self, path: str, *, connection: str | None = None, recursive: bool = False) -> bool:
        """Return whether a file, or a file in a folder, matches a path, relative to that of a connection."""
        base = "" if connection is None else secrets.connection(connection).extra.get("path", "")
        for found in glob.glob(str(Path(base) / path), recursive=recursive):
            if os.path.isfile(found) or any(files for _, _, files in os.walk(found)):
                print(f"found {found}")
                return True
        return False

    def latest_only(self, following: list[str], schedule: str | None, zone: str) -> list[str]:
        """Return these tasks if this is the run of the latest tick of the schedule, or if it is a manual run."""
        from ..core.schedule.timetable import Timetable

        if schedule is None or not self._dag_run.run_id.startswith(("scheduled", "backfill")):
            return following
        date = self._dag_run.logical_date
        newer = next(iter(Timetable.parse(schedule, tz=zone).due(date, datetime.now(UTC), date)), None)
        return following if newer is None else []


def airflow_context(dag_run: Any, **given: Any) -> TaskContext:
    """Return the context of the task that is running."""
    return TaskContext(dag_run, **given)


def get_current_context() -> Context:
    """Return the names of the context, inside a function that a task calls."""
    context = _current.get()
    if context is None:
        raise NbdagError("get_current_context works only in a function that a task calls; call it there")
    return context


class Variable:
    """Settings by name: `Variable.get("bucket", default="…")` reads NBDAG_VAR_BUCKET or AIRFLOW_VAR_BUCKET."""

    @staticmethod
    def get(key: str, *defaults: Any, deserialize_json: bool = False, **named: Any) -> Any:
        """Return a variable, parsed as JSON if asked. Raise `NbdagError` if it is unknown and has no default."""
        given = [*defaults, *(named[name] for name in ("default", "default_var") if name in named)]
        if given:
            return secrets.variable(key, given[0], json=deserialize_json)
        return secrets.variable(key, json=deserialize_json)

    @staticmethod
    def set(*_: Any, **__: Any) -> None:
        """Raise `NbdagError`."""
        raise NbdagError("Variable.set is not supported; set NBDAG_VAR_NAME in the environment, or write a file")

    delete = update = setdefault = set


class Connection:
    """Connections by id, as `BaseHook` returns them."""

    @staticmethod
    def get(conn_id: str) -> Any:
        """Return a connection. Raise `NbdagError` if it is unknown."""
        return secrets.connection(conn_id)

    get_connection_from_secrets = get


class BaseHook:
    """Connections by id: `BaseHook.get_connection("warehouse")` reads NBDAG_CONN_WAREHOUSE or AIRFLOW_CONN_WAREHOUSE."""

    @staticmethod
    def get_connection(conn_id: str) -> Any:
        """Return a connection. Raise `NbdagError` if it is unknown."""
        return secrets.connection(conn_id)

    @staticmethod
    def get_hook(conn_id: str, **_: Any) -> Any:
        """Raise `NbdagError`."""
        raise NbdagError("hooks are not supported; use the connection: sqlalchemy.create_engine(connection.url)")
