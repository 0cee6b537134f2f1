"""Airflow's operators: one class for each, with Airflow's arguments."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ClassVar

from ..operators import OperatorError
from ..operators.tasks import Builder, TaskOutput
from ..operators.trigger import Trigger
from ..templates import is_template
from ..templates.context import INSTEAD, NAMES
from .base import AirflowTask
from .keywords import OnlyIf, seconds
from .pulls import pulled_tasks, returns_something

_SENSOR_TIMEOUT = 7 * 86_400.0  # seconds; Airflow's default


class EmptyOperator(AirflowTask):
    """A task that does nothing. It only joins other tasks."""

    executable = "executables:EmptyExecutable"

    def statements(self, build: Builder) -> list[str]:
        return ["pass"]


def _context_arguments(asked: list[str], everything: bool, given: set[str]) -> list[str]:
    """Return the source of the arguments from the context: all but `given` if `everything` is true, else `asked`."""
    if not everything:
        return [f"{name}={_context_value(name)}" for name in asked]
    chosen = f" if name not in {tuple(sorted(given))!r}" if given else ""
    return ["**dag_run.context" if not given else f"**{{name: each for name, each in dag_run.context.items(){chosen}}}"]


def _context_value(name: str) -> str:
    # As in Airflow, the dates of the context have more methods than the dates of `dag_run`.
    is_date = name in ("logical_date", "data_interval_start", "data_interval_end")
    return f"dag_run.context[{name!r}]" if is_date else name if name == "dag_run" else f"dag_run.{name}"


class FunctionTask(AirflowTask):
    """A task that calls a function with its arguments, and with the values of the context that the function names."""

    function: Any = None
    omitted = 0  # number of decorators, counted from the top, that the function's copy omits
    args: Any = ()
    named: Any = ()
    templates: Mapping[str, Any] | None = None

    def write_call(self, build: Builder) -> None:
        """Check the function and its arguments, and write the call."""
        function, args, named = self.function, self.args, self.named or {}
        while isinstance(function, functools.partial):
            if not isinstance(args, TaskOutput) and not isinstance(named, TaskOutput):
                args, named = (*function.args, *args), {**function.keywords, **named}
            function = function.func
        if not callable(function):
            raise OperatorError(
                f"{self.id} calls {function!r}, which is not a function", hint="write python_callable=load"
            )
        self._context = self._check(function, args, named)
        is_python = isinstance(function, FunctionType)
        source = build.writer.source_of(function) if is_python else None
        tree = None if source is None else source.node
        self.pulls |= pulled_tasks(function, tree)
        if returns_something(function, tree):
            self.result_names = (self.result,)
        parts = [f"*{self.written(args)}"] if isinstance(args, TaskOutput) else [self.written(each) for each in args]
        parts += [f"*{self.map_names['op_args']}"] if "op_args" in self.mapped else []
        parts += [*self._keywords(named), *self._context]
        wait = "await " if inspect.iscoroutinefunction(function) else ""
        self.call = f"{wait}{self._name(build, function)}({', '.join(parts)})"

    def _keywords(self, named: Any) -> list[str]:
        if isinstance(named, TaskOutput):
            return [f"**{self.written(named)}"]
        parts = []
        for key, value in named.items():
            text = self.written(value)
            parts.append(f"{key}={text}" if str(key).isidentifier() else f"**{{{key!r}: {text}}}")
        if self.templates is not None:
            parts.append(f"templates_dict={self.written(dict(self.templates))}")
        for keyword, name in self.map_names.items():
            if keyword in ("op_kwargs", "expand_kwargs"):
                parts.append(f"**{name}")
            elif keyword != "op_args":
                parts.append(f"{keyword}={name}")
        return parts

    def _name(self, build: Builder, function: Any) -> str:
        """Return the expression by which the task's cell calls the function."""
        text: str = build.writer.definition(function, self.omitted) if isinstance(function, FunctionType) else ""
        return text or build.writer.name(function)

    def _check(self, function: Any, args: Any, named: Any) -> list[str]:
        """Check that the function can be called; return the source of the arguments that the context gives."""
        who = getattr(function, "__name__", "the function")
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # some functions written in C have no signature
            return []
        unknown = isinstance(args, TaskOutput) or isinstance(named, TaskOutput) or "op_args" in self.mapped
        unknown |= bool({"op_kwargs", "expand_kwargs"} & self.mapped.keys())
        given = {*(named if isinstance(named, Mapping) else ()), *self.mapped} | (
            {"templates_dict"} if self.templates is not None else set()
        )
        positional = [
            each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        given |= set(positional[: 0 if unknown else len(args)])
        asked = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        for name in sorted(asked - given):
            if name in INSTEAD:
                raise OperatorError(f"{who} asks for {name}, which nbdag does not pass", hint=f"{INSTEAD[name]}")
        context = (asked - given) & set(NAMES)
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        found = _context_arguments([each for each in NAMES if each in context], takes_all, given & set(NAMES))
        if unknown:
            return found
        missing = [
            each.name
            for each in parameters
            if each.default is each.empty
            and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
            and each.name not in given | context
        ]
        surplus = [] if takes_all else sorted(given - asked - set(positional) - {"templates_dict"})
        too_many = len(args) > len(positional) and not any(each.kind is each.VAR_POSITIONAL for each in parameters)
        problem = (
            f"missing a required argument: {missing[0]!r}" if missing
            else f"unexpected argument {surplus[0]!r}" if surplus
            else "too many positional arguments" if too_many
            else ""
        )  # fmt: skip
        if problem:
            hint = "pass it in op_args or op_kwargs" if missing else "correct op_args and op_kwargs"
            raise OperatorError(f"{who} cannot be called with these arguments: {problem}", hint=hint)
        return found

    def statements(self, build: Builder) -> list[str]:
        return self.assigned(self.call)


class PythonOperator(FunctionTask):
    """Call a function: `PythonOperator(task_id="load", python_callable=load, op_kwargs={"n": 3})`."""

    executable = "executables:PythonExecutable"
    own = frozenset(
        {"python_callable", "op_args", "op_kwargs", "templates_dict", "templates_exts", "show_return_value_in_logs"}
    )
    mappable = frozenset({"op_args", "op_kwargs"})

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        only_if(given, "templates_exts", OnlyIf((None, []), "read the file in the function"), self)
        self.function = given.get("python_callable")
        args, named = given.get("op_args"), given.get("op_kwargs")
        self.args = args if isinstance(args, TaskOutput) else tuple(args or ())
        self.named = named if isinstance(named, TaskOutput) else dict(named or {})
        self.templates = given.get("templates_dict")
        self.write_call(build)


class BranchTask(FunctionTask):
    """A branch task: its function returns the ids of the downstream tasks to run."""

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self.options |= build.read_options({"branch": True}, type(self).__name__)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        return [*super().statements(build), *self.result_names]


class ShortCircuitTask(FunctionTask):
    """A task that skips all downstream tasks if its function returns a falsy value."""

    def prepare(self, build: Builder) -> None:
        # With ignore_downstream_trigger_rules=False, the task skips only the tasks directly downstream, and trigger
        # rules decide about later tasks. So the task becomes a branch task that may choose no task.
        self._skips_all = self.arguments.get("ignore_downstream_trigger_rules") is not False
        super().prepare(build)
        self.options |= build.read_options({"short_circuit" if self._skips_all else "branch": True}, self.shown_name)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        lines = super().statements(build)
        if self._skips_all:
            return [*lines, *self.result_names]
        return [*lines, f"{sorted(self.downstream_task_ids)!r} if {self.result} else []"]


class BranchPythonOperator(BranchTask, PythonOperator):
    """Call a function that returns the id, or ids, of the downstream tasks to run; the others are skipped."""


class ShortCircuitOperator(ShortCircuitTask, PythonOperator):
    """Call a function; if it returns a falsy value, all downstream tasks are skipped."""

    own = PythonOperator.own | {"ignore_downstream_trigger_rules"}


class LatestOnlyOperator(AirflowTask):
    """Skip the tasks directly downstream if this is a scheduled or backfill run for a tick before the latest one."""

    def prepare(self, build: Builder) -> None:
        self.options |= build.read_options({"branch": True}, type(self).__name__)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        options: Mapping[str, Any] = build.header.options if build.header is not None else {}
        schedule, zone = options.get("schedule"), options.get("tz", "UTC")
        following = sorted(self.downstream_task_ids)
        latest = build.writer.require("latest_only", "nbdag.airflow")
        call = f"{latest}(dag_run, {following!r}, {schedule!r}, {zone!r})"
        return [f"{self.result} = {call}", self.result] if self.result_names else [call]


class BashOperator(AirflowTask):
    """Run a command with bash. The result is the last line of its output; exit status 99 skips the task."""

    executable = "executables:BashExecutable"
    own = frozenset(
        {"bash_command", "env", "append_env", "cwd", "skip_on_exit_code", "output_encoding", "output_processor"}
    )
    mappable = frozenset({"bash_command", "env"})

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        command = given.get("bash_command")
        if not isinstance(command, str | TaskOutput) and "bash_command" not in self.mapped:
            raise OperatorError(f"{self.id} has no bash_command", hint="write bash_command='ls -l'")
        if isinstance(command, str):
            self.write_bash(build, ", ".join([repr(command), *(self.uses(command) if is_template(command) else ())]))
        else:
            self.write_bash(build, self.written(command))

    def write_bash(self, build: Builder, command: str) -> None:
        """Write the call that runs a command. `command` is the Python source of the command's text."""
        given = self.arguments
        only_if(given, "output_encoding", OnlyIf(("utf-8", None), "remove it: output is UTF-8"), self)
        self.result_names = (self.result,)
        parts = ["dag_run", self.map_names.get("bash_command", command)]
        if "env" in self.mapped:
            parts.append(f"env={self.map_names['env']}")
        elif given.get("env") is not None:
            parts.append(f"env={self.written(given['env'])}")
        for name in ("append_env", "cwd", "skip_on_exit_code"):
            if name in given:
                parts.append(f"{name}={self.written(given[name])}")
        if (process := given.get("output_processor")) is not None:
            name = build.writer.definition(process) if isinstance(process, FunctionType) else ""
            parts.append(f"output_processor={name or build.writer.name(process)}")
        self.command = f"{build.writer.require('run_bash', 'nbdag.airflow')}({', '.join(parts)})"

    def statements(self, build: Builder) -> list[str]:
        return self.assigned(self.command)


class SQLExecuteQueryOperator(AirflowTask):
    """Run SQL in the database of a connection. The result is the rows of the last statement, as tuples."""

    executable = "executables:SqlExecutable"
    own = frozenset(
        {"sql", "conn_id", "parameters", "autocommit", "split_statements", "return_last", "handler", "database"}
        | {"hook_params", "output_processor", "show_return_value_in_logs", "requires_result_fetch"}
    )

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        only_if(given, "return_last", OnlyIf((True, None), "write one task for each result"), self)
        only_if(given, "handler", OnlyIf((None,), "process the rows in a @task below"), self)
        only_if(given, "output_processor", OnlyIf((None,), "process the rows in a @task below"), self)
        only_if(given, "database", OnlyIf((None,), "name a connection with that database"), self)
        only_if(given, "hook_params", OnlyIf((None, {}), "write them into the connection"), self)
        statements, connection = given.get("sql"), given.get("conn_id")
        if not isinstance(connection, str):
            raise OperatorError(f"{self.id} has no conn_id", hint="write conn_id='warehouse'")
        texts = [statements] if isinstance(statements, str) else statements
        if not isinstance(texts, list | tuple) or not all(isinstance(each, str) for each in texts):
            raise OperatorError(f"the sql of {self.id} is not a text", hint="write sql='SELECT …', or a list of texts")
        uses = [use for text in texts if is_template(text) for use in self.uses(text)]
        parts = [repr(statements), *dict.fromkeys(uses), f"connection={connection!r}"]
        for name in ("parameters", "autocommit"):
            if given.get(name):
                parts.append(f"{name}={self.written(given[name])}")
        if given.get("split_statements") is False:
            parts.append("split=False")
        self._call = f"{build.writer.require('run_sql', 'nbdag.airflow')}({', '.join(parts)})"
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        return self.assigned(self._call)


class PapermillOperator(AirflowTask):
    """Execute a notebook by papermill. The result is the path of the executed notebook."""

    executable = "executables:PapermillExecutable"
    own = frozenset({"input_nb", "output_nb", "parameters", "kernel_name", "language_name", "kernel_conn_id"})

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        only_if(given, "kernel_conn_id", OnlyIf((None,), "write kernel_name='…', a kernel of this machine"), self)
        only_if(given, "language_name", OnlyIf((None,), "remove it: the kernel has a language"), self)
        for name in ("input_nb", "output_nb"):
            if not isinstance(given.get(name), str):
                raise OperatorError(f"{self.id} has no {name}", hint=f"write {name}='report.ipynb'")
        parts = [self.written(given["input_nb"]), self.written(given["output_nb"])]
        parts += [f"{name}={self.written(given[name])}" for name in ("parameters", "kernel_name") if given.get(name)]
        self._call = f"{build.writer.require('run_papermill', 'nbdag.airflow')}({', '.join(parts)})"
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        return self.assigned(self._call)


class TriggerDagRunOperator(AirflowTask):
    """Run a deployed pipeline with the parameters in `conf`. With `wait_for_completion`, wait until that run ends."""

    kind = "trigger"
    own = frozenset(
        {"trigger_dag_id", "conf", "wait_for_completion", "poke_interval", "logical_date", "trigger_run_id"}
        | {"reset_dag_run", "allowed_states", "failed_states", "skip_when_already_exists", "deferrable"}
        | {"fail_when_dag_is_paused", "run_after", "note", "openlineage_inject_parent_info"}
    )

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        for name in ("logical_date", "trigger_run_id", "run_after", "note"):
            only_if(given, name, OnlyIf((None,), "pass it to the other pipeline in conf"), self)
        for name in ("reset_dag_run", "skip_when_already_exists", "fail_when_dag_is_paused"):
            only_if(given, name, OnlyIf((False, None), "remove it: each trigger creates a new run"), self)
        for name, state in (("allowed_states", "success"), ("failed_states", "failed")):
            only_if(given, name, OnlyIf((None, [state]), "catch the failure by a trigger rule"), self)
        if not isinstance(given.get("trigger_dag_id"), str):
            raise OperatorError(f"{self.id} has no trigger_dag_id", hint="write trigger_dag_id='reports'")
        if not isinstance(given.get("conf") or {}, dict):
            raise OperatorError(f"the conf of {self.id} is not a dictionary", hint="write conf={'day': '{{ ds }}'}")
        for name in given.get("conf") or {}:
            if not str(name).isidentifier():
                raise OperatorError(
                    f"{name!r} in the conf of {self.id} is not a valid name", hint="rename the parameter"
                )
        options = {"wait": True} if given.get("wait_for_completion") else {}
        if options and given.get("poke_interval") is not None:
            self.options["poke"] = seconds(given["poke_interval"])
        if options and given.get("deferrable"):
            self.options["reschedule"] = True
        self.options |= build.read_options(options, type(self).__name__, own=Trigger.own_options)
        conf = {name: self.plain(value) for name, value in (given.get("conf") or {}).items()}
        self._body = [given["trigger_dag_id"], *(f"{name} = {value}" for name, value in conf.items())]
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        return self._body


class SensorTask(AirflowTask):
    """A task that waits until its condition is true."""

    kind = "sensor"
    sensor_own: ClassVar[frozenset[str]] = frozenset(
        {"poke_interval", "timeout", "mode", "soft_fail", "exponential_backoff", "max_wait", "silent_fail"}
        | {"never_fail", "deferrable"}
    )

    def prepare(self, build: Builder) -> None:
        given = self.arguments
        off = {
            "exponential_backoff": "write poke_interval",
            "silent_fail": "catch the error in the function",
            "never_fail": "catch the error in the function",
        }
        for name, instead in off.items():
            only_if(given, name, OnlyIf((False, None), instead), self)
        only_if(given, "max_wait", OnlyIf((None,), "write poke_interval"), self)
        limit = seconds(given.get("timeout")) or _SENSOR_TIMEOUT
        self.options["timeout"] = min(limit, self.options.get("timeout") or limit)
        if (interval := seconds(given.get("poke_interval"))) is not None:
            self.options["poke"] = interval
        if given.get("mode", "poke") not in ("poke", "reschedule"):
            raise OperatorError(f"mode={given['mode']!r} is unknown", hint="write 'poke' or 'reschedule'")
        if given.get("mode") == "reschedule" or given.get("deferrable"):
            self.options["reschedule"] = True
        if given.get("soft_fail"):
            self.options["soft_fail"] = True


class PythonSensor(SensorTask, FunctionTask):
    """Wait until a function returns something true."""

    own = SensorTask.sensor_own | {"python_callable", "op_args", "op_kwargs", "templates_dict"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        only_if(self.arguments, "templates_exts", OnlyIf((None, []), "read the file in the function"), self)
        self.function = self.arguments.get("python_callable")
        self.args, self.named = tuple(self.arguments.get("op_args") or ()), dict(self.arguments.get("op_kwargs") or {})
        self.templates = self.arguments.get("templates_dict")
        self.write_call(build)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        poked = build.writer.require("poked", "nbdag.airflow")
        return [f"_poke = {poked}({self.call})", f"{self.result} = _poke.xcom_value", "bool(_poke)"]


class FileSensor(SensorTask):
    """Wait until a file exists. The path is relative to the notebook's folder, and may have * and ?."""

    executable = "executables:FileSensorExecutable"
    own = SensorTask.sensor_own | {"filepath", "fs_conn_id", "recursive"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        path = self.arguments.get("filepath")
        if not isinstance(path, str | TaskOutput):
            raise OperatorError(f"{self.id} has no filepath", hint="write filepath='inbox/*.csv'")
        connection = self.arguments.get("fs_conn_id", "fs_default")
        parts = [self.written(path), *([f"connection={connection!r}"] if connection != "fs_default" else [])]
        parts += [f"recursive={bool(self.arguments['recursive'])}"] if "recursive" in self.arguments else []
        self._condition = f"{build.writer.require('file_exists', 'nbdag.airflow')}({', '.join(parts)})"

    def statements(self, build: Builder) -> list[str]:
        return [self._condition]


class BashSensor(SensorTask):
    """Wait until a command of bash ends with exit status 0."""

    own = SensorTask.sensor_own | {"bash_command", "env", "output_encoding", "retry_exit_code"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        given = self.arguments
        only_if(given, "output_encoding", OnlyIf(("utf-8", None), "remove it: output is UTF-8"), self)
        command = given.get("bash_command")
        if not isinstance(command, str):
            raise OperatorError(f"{self.id} has no bash_command", hint="write bash_command='test -e data.csv'")
        parts = ["dag_run", repr(command), *(self.uses(command) if is_template(command) else ())]
        names = [name for name in ("env", "retry_exit_code") if given.get(name) is not None]
        parts += [f"{name}={self.written(given[name])}" for name in names]
        self._condition = f"{build.writer.require('bash_succeeds', 'nbdag.airflow')}({', '.join(parts)})"

    def statements(self, build: Builder) -> list[str]:
        return [self._condition]


def only_if(given: Mapping[str, Any], name: str, rule: OnlyIf, task: AirflowTask) -> None:
    """Raise `OperatorError` if a keyword has a value that `rule` does not allow."""
    if name in given and not any(given[name] is each or given[name] == each for each in rule.values):
        raise OperatorError(f"{name}={given[name]!r} of {task.shown_name} is not supported", hint=rule.instead)


def returns_mapping(function: Callable[..., Any]) -> bool:
    """Return whether a function's annotation names a dictionary as the result; each item then becomes an XCom."""
    try:
        annotation = inspect.signature(function).return_annotation
    except (TypeError, ValueError):
        return False
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return re.match(r"(?:typing\.|t\.)?(?:dict|Dict|Mapping|MutableMapping)\b", text) is not None
