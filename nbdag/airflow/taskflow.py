"""Airflow's TaskFlow: `@task` and its variants make a task of a function when the function is called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from ..operators import OperatorError
from ..operators.tasks import Builder, current_build
from .base import AirflowTask, XComArg
from .classic import (
    BashOperator,
    BranchTask,
    FunctionTask,
    PythonOperator,
    PythonSensor,
    ShortCircuitTask,
    returns_mapping,
)
from .pipeline import call_id

__all__ = ["setup", "task", "teardown"]

_ALL = 1_000  # omit all decorators of a function: it has fewer than this


class _Decorated(PythonOperator):
    shown_name = "@task"
    own = PythonOperator.own | {"_holder"}

    def prepare(self, build: Builder) -> None:
        self.omitted = 1 if hasattr(self.arguments["python_callable"], "__wrapped__") else _ALL
        super().prepare(build)

    def _name(self, build: Builder, function: Any) -> str:
        if build.writer.source_of(function) is None:  # another cell defines and decorates the function
            return f"{build.writer.name(self.arguments['_holder'])}.function"
        return super()._name(build, function)


class _DecoratedBranch(BranchTask, _Decorated):
    shown_name = "@task.branch"


class _DecoratedShortCircuit(ShortCircuitTask, _Decorated):
    shown_name = "@task.short_circuit"
    own = _Decorated.own | {"ignore_downstream_trigger_rules"}


class _DecoratedSensor(_Decorated, PythonSensor):
    shown_name = "@task.sensor"
    own = _Decorated.own | PythonSensor.own

    def prepare(self, build: Builder) -> None:
        self.omitted = _ALL
        PythonSensor.prepare(self, build)

    statements = PythonSensor.statements


class _DecoratedBash(_Decorated, BashOperator):
    shown_name = "@task.bash"
    own = _Decorated.own | BashOperator.own - {"bash_command"}

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self.write_bash(build, self.call)

    def statements(self, build: Builder) -> list[str]:
        return self.assigned(self.command)


class TaskFunction:
    """A decorated function. A call makes a task, and returns its future result."""

    def __init__(self, made: type[FunctionTask], function: Callable[..., Any], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self._class = made
        self._options = options
        self._partial: dict[str, Any] = {}

    def __call__(self, *args: Any, **named: Any) -> XComArg:
        return XComArg(self._made(args, named, {}))

    def _made(self, args: Iterable[Any], named: dict[str, Any], mapped: dict[str, Any]) -> AirflowTask:
        current_build()  # raises outside of %%dag
        options: dict[str, Any] = {"multiple_outputs": returns_mapping(self.function), **self._options}
        options.setdefault("task_id", self.function.__name__)
        options["task_id"] = call_id(options["task_id"])
        options |= {"python_callable": self.function, "op_args": args, "op_kwargs": named, "_holder": self}
        return self._class(**options, _mapped=mapped)

    def override(self, **options: Any) -> TaskFunction:
        """Return the same function with other options of the task."""
        other = TaskFunction(self._class, self.function, {**self._options, **options})
        other._partial = self._partial
        return other

    def partial(self, **named: Any) -> TaskFunction:
        """Return the same function with some of its arguments, for `expand`."""
        other = TaskFunction(self._class, self.function, self._options)
        other._partial = {**self._partial, **named}
        return other

    def expand(self, **mapped: Any) -> XComArg:
        """Return the results of a task with one instance for each combination of the elements of these arguments."""
        if not mapped:
            raise OperatorError("expand maps no argument", hint=f"write {self.function.__name__}.expand(x=[1, 2])")
        return XComArg(self._made((), self._partial, mapped))

    def expand_kwargs(self, kwargs: Any, **_: Any) -> XComArg:
        """Return the results of a task with one instance for each of these dictionaries of arguments."""
        return XComArg(self._made((), self._partial, {"expand_kwargs": kwargs}))

    def __rshift__(self, other: Any) -> Any:
        raise OperatorError(f"{self.function.__name__} is not called", hint=f"write {self.function.__name__}() >> …")

    __lshift__ = __rrshift__ = __rlshift__ = __rshift__


class _TaskDecorator:
    """`@task`, and each of its variants."""

    def __init__(self, made: type[FunctionTask]) -> None:
        self._class = made

    def __call__(self, given: Any = None, **options: Any) -> Any:
        if callable(given):
            return TaskFunction(self._class, given, options)
        if isinstance(given, str):
            options["task_id"] = given
        options.pop("python_callable", None)
        return lambda function: TaskFunction(self._class, function, options)


_OTHERS = {
    "run_if": "raise AirflowSkipException in the function, or write when='…' as an option of the task",
    "skip_if": "raise AirflowSkipException in the function, or write when='not …' as an option of the task",
}


class _Task(_TaskDecorator):
    python = _TaskDecorator(_Decorated)
    bash = _TaskDecorator(_DecoratedBash)
    branch = _TaskDecorator(_DecoratedBranch)
    short_circuit = _TaskDecorator(_DecoratedShortCircuit)
    sensor = _TaskDecorator(_DecoratedSensor)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        hint = "write @task, @task.bash, @task.branch, @task.short_circuit or @task.sensor"
        raise OperatorError(f"@task.{name} is not supported", hint=_OTHERS.get(name, hint))


task = _Task(_Decorated)


def _task_function(given: Any) -> TaskFunction:
    return given if isinstance(given, TaskFunction) else TaskFunction(_Decorated, given, {})


def setup(given: Any) -> Any:
    """Make a setup task of a function, decorated with `@task` or not."""
    return _task_function(given).override(setup=True)


def teardown(given: Any = None, *, setups: Any = (), on_failure_fail_dagrun: bool = False) -> Any:
    """Make a teardown task of a function, decorated with `@task` or not."""

    def decorate(function: Any) -> TaskFunction:
        options = {"teardown_for": setups, "fail_run": on_failure_fail_dagrun or None}
        return _task_function(function).override(**options)

    return decorate if given is None else decorate(given)
