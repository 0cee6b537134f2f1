"""Functions, exceptions and lookups of connections and variables, for the cells of tasks in their kernels."""

from __future__ import annotations

import glob
import itertools
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from .. import secrets
from ..errors import Fail, NbdagError, Skip
from ..operators import bash as bash_operator
from ..operators import sql as sql_operator
from ..task_api.context import DagRun, TaskInstance, current
from ..task_api.waiting import Postponed
from ..templates.quoting import shell


class AirflowException(Exception):
    """The base of errors that a task raises to fail."""


class AirflowSkipException(Skip):
    """Raised in a task that is to be skipped."""


class AirflowFailException(Fail):
    """Raised in a task that is to fail without a retry."""


Context = dict[str, Any]  # the annotation of `execute(self, context: Context)`


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


class calling:  # used as a function
    """Calls a task's callbacks: those for `execute` when the task begins, and those for its outcome when it ends.

    An error in a callback is printed, and does not change the outcome. `params` are parameters of this task only. As in
    Airflow, `params` override the pipeline's defaults, and values given for the run override `params`.
    """

    def __init__(
        self,
        dag_run: DagRun,
        *,
        params: Mapping[str, Any] | None = None,
        **functions: Sequence[Callable[[Any], Any]],
    ) -> None:
        self._params = params
        self.value: Any = None  # of the cell's last expression; for branch, short-circuit and sensor tasks
        self._dag_run = dag_run
        self._functions = functions
        self._is_sensor = False

    def of_sensor(self) -> Self:
        """Mark the task as a sensor, which succeeds once its value is true, and return this object."""
        self._is_sensor = True
        return self

    def __enter__(self) -> Self:
        if self._params is not None:
            self._before = self._dag_run.replace_params({**self._dag_run.params, **self._params, **self._dag_run.conf})
        if self._dag_run.ti not in _begun_tasks:
            _begun_tasks.add(self._dag_run.ti)
            self._call("execute")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self._notify(error)
        finally:
            if self._params is not None:
                self._dag_run.replace_params(self._before)

    def _notify(self, error: BaseException | None) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            if self.value or not self._is_sensor:
                self._call("success")
        elif isinstance(error, Skip):
            self._call("skipped")
        elif isinstance(error, Exception | SystemExit) and not isinstance(error, Postponed):
            ti = self._dag_run.ti
            self._call("failure" if isinstance(error, Fail) or ti.try_number > ti.max_tries else "retry", error)

    def _call(self, event: str, error: BaseException | None = None) -> None:
        for function in self._functions.get(f"on_{event}_callback", ()):
            context = self._dag_run.context
            if event != "execute":
                context |= {"exception": error}
            try:
                function(context)
            except Exception as failure:
                name = getattr(function, "__name__", type(function).__name__)
                print(f"on_{event}_callback {name} failed: {type(failure).__name__}: {failure}", file=sys.stderr)


# The tasks that have begun in this kernel. A sensor's cell runs repeatedly, but its task begins only once.
_begun_tasks: WeakSet[TaskInstance] = WeakSet()


def begun(operator: Any, dag_run: DagRun, *_: Any) -> dict[str, Any]:
    """Render the templates of an operator of the user, and return the context for its `execute`.

    Further positional arguments are ignored, as in `run_bash`.
    """
    for name in operator.template_fields:
        value = getattr(operator, name)
        if isinstance(value, str) and value.endswith(tuple(operator.template_ext)):
            value = Path(value).read_text(encoding="utf-8")
        setattr(operator, name, dag_run.render(value, what=name))
    context = {**dag_run.context, "task": operator}
    operator.pre_execute(context)
    return context


def ended(operator: Any, dag_run: DagRun, result: Any) -> Any:
    """Call `post_execute` of an operator of the user, and return its result."""
    operator.post_execute({**dag_run.context, "task": operator}, result)
    return result


def run_bash(
    dag_run: DagRun,
    command: str,
    *_: Any,
    env: Mapping[str, Any] | None = None,
    append_env: bool = False,
    cwd: str | None = None,
    skip_on_exit_code: int | Sequence[int] | None = bash_operator.SKIP,
    output_processor: Callable[[str], Any] | None = None,
) -> Any:
    """Run a command, and return the last line of its output. Values of templates in the command are passed as data.

    If `output_processor` is given, return its result for this line instead. The values of `env` are not templates.
    Further positional arguments are ignored. Only the static analysis uses them: they name the values that the
    templates pull from other tasks.
    """
    if command.endswith((".sh", ".bash")):  # as in Airflow, the name of a file whose text is the command
        command = Path(command).read_text(encoding="utf-8")
    statement = shell(dag_run.pieces(command, what="the command"))
    environment: dict[Any, Any] = {name: str(value) for name, value in (env or {}).items()}
    if env is None or append_env:
        environment = {**os.environ, **environment}
    skips = (skip_on_exit_code,) if isinstance(skip_on_exit_code, int) else tuple(skip_on_exit_code or ())
    output = bash_operator.run_script(
        statement.text, statement.values, environment=environment, cwd=cwd, errexit=False, skips=skips
    )
    lines = output.splitlines()
    if output_processor is not None:
        return output_processor(lines[-1] if lines else "")
    return lines[-1] if lines else ""


def bash_succeeds(
    dag_run: DagRun, command: str, *_: Any, env: Mapping[str, Any] | None = None, retry_exit_code: int | None = None
) -> bool:
    """Return whether a command of bash ends with exit status 0.

    If `retry_exit_code` is given, any status but 0 and `retry_exit_code` fails the task without a retry, as in Airflow.
    Further positional arguments are ignored, as in `run_bash`.
    """
    try:
        run_bash(dag_run, command, env=env, skip_on_exit_code=None)
    except bash_operator.ScriptError as error:
        if retry_exit_code not in (None, error.status):
            raise AirflowFailException(str(error)) from None
        return False
    return True


def file_exists(path: str, *, connection: str | None = None, recursive: bool = False) -> bool:
    """Return whether a path matches a file, or a folder that contains a file.

    With a connection, a relative path begins at the `path` in the connection's extra fields.
    """
    base = "" if connection is None else str(secrets.connection(connection).extra.get("path", ""))
    for name in glob.glob(str(Path(base) / path), recursive=recursive):  # noqa: PTH207  # the path may be absolute
        found = Path(name)
        if found.is_file() or any(each.is_file() for each in found.rglob("*")):
            print(f"found {found}")
            return True
    return False


def run_sql(
    statements: str | Sequence[str],
    *_: Any,
    connection: str,
    parameters: Mapping[str, Any] | Sequence[Any] | None = None,
    autocommit: bool = False,
    split: bool = True,
) -> list[tuple[Any, ...]] | None:
    """Execute SQL in the database of a connection; return the last statement's rows, or None if it has no rows.

    All texts of a list use one connection, and without `autocommit` one transaction. Values of templates and parameters
    are bound, not pasted into the text. Further positional arguments are ignored, as in `run_bash`.
    """
    texts: list[Sequence[Any]] = []
    for statement in [statements] if isinstance(statements, str) else statements:
        text = Path(statement).read_text(encoding="utf-8") if statement.endswith(".sql") else statement
        text, values = _with_named_parameters(text, parameters or {})
        texts.append((text, *((f":{name}", value) for name, value in values.items())))
    result = sql_operator.execute_all(texts, connection=connection, split=split, autocommit=autocommit)
    if result is None:
        return None
    found, frame = result[1:]
    return found if frame is None else list(frame.itertuples(index=False, name=None))


def _with_named_parameters(text: str, parameters: Mapping[str, Any] | Sequence[Any]) -> tuple[str, Mapping[str, Any]]:
    """Return SQL and parameters in which `:name` replaces the drivers' own placeholders: `%(name)s`, `%s` and `?`."""
    if isinstance(parameters, Mapping):
        return (re.sub(r"%\((\w+)\)s", r":\1", text) if parameters else text), parameters
    count = itertools.count(1)
    made = re.sub(r"'(?:[^']|'')*'|%s|\?", lambda at: at[0] if at[0][0] == "'" else f":p{next(count)}", text)
    return made, {f"p{n}": value for n, value in enumerate(parameters, 1)}


def run_papermill(
    notebook: str, output: str, *, parameters: Mapping[str, Any] | None = None, kernel_name: str | None = None
) -> str:
    """Execute a notebook by papermill; return the path of the executed notebook."""
    import papermill  # slow to import, and few tasks need it

    Path(output).parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        notebook, output, parameters=dict(parameters or {}), kernel_name=kernel_name, progress_bar=False
    )
    return output


def latest_only(
    dag_run: DagRun, following: list[str], schedule: str | None, zone: str, now: datetime | None = None
) -> list[str]:
    """Return `following` if the run is manual or for the latest tick of the schedule, else an empty list."""
    from ..core.schedule.timetable import Timetable

    if schedule is None or dag_run.run_type not in ("scheduled", "backfill"):
        return following
    date, now = dag_run.logical_date, now or datetime.now(UTC)
    ticks = Timetable.parse(schedule, tz=zone, start_date=date, catchup=True).due(date, now, date)
    return following if next(iter(ticks), None) is None else []


def get_current_context() -> dict[str, Any]:
    """Return Airflow's context of the task that is running."""
    return current().context


class Variable:
    """Settings by name: `Variable.get("bucket", default="…")` reads NBDAG_VAR_BUCKET or AIRFLOW_VAR_BUCKET."""

    @staticmethod
    def get(key: str, *defaults: Any, deserialize_json: bool = False, **named: Any) -> Any:
        """Return a variable, parsed as JSON if asked. Raise `NbdagError` if it is unknown and has no default."""
        given = [*defaults, *(named.pop(name) for name in ("default", "default_var") if name in named)]
        if named:
            raise NbdagError(f"Variable.get has no argument {next(iter(named))!r}; it has default, deserialize_json")
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
    """Connections by id: `get_connection("warehouse")` reads NBDAG_CONN_WAREHOUSE or AIRFLOW_CONN_WAREHOUSE."""

    @staticmethod
    def get_connection(conn_id: str) -> Any:
        """Return a connection. Raise `NbdagError` if it is unknown."""
        return secrets.connection(conn_id)

    @staticmethod
    def get_hook(conn_id: str, **_: Any) -> Any:
        """Raise `NbdagError`."""
        raise NbdagError("hooks are not supported; use the connection: sqlalchemy.create_engine(connection.url)")
