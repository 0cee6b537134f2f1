"""Callbacks and params of a single task, written as a `with` statement around the code of the task's cell.

with _calling(dag_run, on_success_callback=[report], params={'table': 'orders'}):
    load_result = load()
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

from ..operators import OperatorError
from ..operators.tasks import Builder
from .parameters import Param, parameter_name


def written_callbacks(task: Any, given: Mapping[str, Any], build: Builder) -> dict[str, str]:
    """Return the source of the functions to call when the task begins or ends. Raise `OperatorError`."""
    written = {}
    for name, value in given.items():
        functions = [value] if callable(value) else list(value or ())
        if any(not callable(each) for each in functions):
            raise OperatorError(f"{name} of {task.shown_name} is not a function", hint=f"write {name}=report")
        if functions and task.kind not in (None, "sensor"):
            build.warn(f"{name} of {task.shown_name} has no effect", "call it in a task with a trigger rule below")
        elif functions:
            texts = [
                build.writer.definition(each) if isinstance(each, FunctionType) else build.writer.expression(each)
                for each in functions
            ]
            written[name] = f"[{', '.join(texts)}]"
    ends_kernel = {"on_failure_callback", "on_retry_callback"} & written.keys() and task.options.get("timeout")
    if ends_kernel and (task.kind != "sensor" or "timeout" in task.arguments):
        message = f"the callbacks of {task.id} are not called if a timeout ends the task"
        build.warn(message, "raise an error in the function before the timeout, or write on_failure='…' in DAG(...)")
    return written


def written_params(task: Any, given: Mapping[str, Any], build: Builder) -> str:
    """Return the source of the params that only this task has. Raise `OperatorError`."""
    instead = "write it in params of DAG(...), or pass the value with op_kwargs"
    if task.kind not in (None, "sensor"):
        raise OperatorError(f"params of {task.shown_name} is not supported", hint=instead)
    values = {}
    for name, value in given.items():
        if isinstance(value, Param) and (value.schema or value.description):
            message = f"the param {name} of {task.id} has a schema; only params of DAG can have one"
            raise OperatorError(message, hint=instead)
        values[parameter_name(name)] = value.value if isinstance(value, Param) else value
    text: str = build.writer.expression(values)
    return text


def around(task: Any, written: Mapping[str, str], lines: list[str], build: Builder) -> list[str]:
    """Return the lines of the cell inside a `with` statement that calls the callbacks."""
    parts = [f"{name}={source}" for name, source in written.items()]
    head = f"with {build.writer.require('calling', 'nbdag.airflow')}(dag_run, {', '.join(parts)})"
    if task.kind != "sensor" and not {"branch", "short_circuit"} & task.options.keys():
        return [f"{head}:", *(f"    {line}" for line in lines)]
    head += ".of_sensor()" if task.kind == "sensor" else ""
    # The last line is an expression, on whose value a branch, short-circuit or sensor task acts.
    *before, value = lines
    inside = [*before, f"_calls.value = {value}"]
    return [f"{head} as _calls:", *(f"    {line}" for line in inside), "_calls.value"]
