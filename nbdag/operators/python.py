"""The operator `python`, which is the default: the source is the unchanged body.

In a `%%dag` cell, `Python` also accepts a function and its arguments, as Airflow's PythonOperator does:

    scores = [Python(f"train_{n}", train, features.output, depth=n) for n in (2, 4, 8)]
    Python("best", max, [each.output for each in scores])

The task `train_2` calls the function and assigns the result to `train_2_result`, or to the names in `out`; several
names get the elements of the result. An argument may be another task, or its `output`. Then the function gets the other
task's result, and the task depends on the other task. As in Airflow, templates in text arguments are rendered
(`day="{{ ds }}"`). Parameters of the function with names of Airflow's context, as in `def load(ds, params, ti)`, get
the context's values; `**context` gets all values. A keyword with the name of an option of `%%task` sets the option. Use
`op_kwargs={"timeout": 3}` to pass such a keyword to the function.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.options.options import OPTIONS
from ..templates import is_template
from ..templates.context import NAMES
from .base import OperatorError, pull_source
from .tasks import Operator, TaskOutput, current_build, tasks_in

_DATES = ("logical_date", "data_interval_start", "data_interval_end")
_OPTIONS = frozenset(option.field for option in OPTIONS["task"]) - {"operator"}


class Python(Operator):
    """Returns a text unchanged as the body. For a function, writes a body that calls the function."""

    summary = "The body is Python, as in any cell; the default."

    def __init__(
        self,
        task_id: str | None = None,
        body: str | Callable[..., Any] = "",
        *args: Any,
        python_callable: Callable[..., Any] | None = None,
        op_args: Iterable[Any] = (),
        op_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        function = body if python_callable is None else python_callable
        if not callable(function):
            given = (*args, *op_args)
            if given or op_kwargs:
                raise OperatorError("only a function takes arguments", hint="write the arguments into the text")
            super().__init__(task_id, function, **options)
            return
        keywords = {**(op_kwargs or {}), **{name: options.pop(name) for name in _taken(function, options)}}
        arguments = (*args, *op_args)
        while isinstance(function, functools.partial):
            arguments, keywords = (*function.args, *arguments), {**function.keywords, **keywords}
            function = function.func
        self.result_names = _result(task_id, options.get("out"))
        call = self._call(function, arguments, keywords)
        if options.get("branch") or options.get("short_circuit"):
            # The cell ends with the result, because the last expression's value decides which downstream tasks run.
            call += f"\n{self.result_names[0]}"
        super().__init__(task_id, call, **options)
        for other in tasks_in((arguments, keywords)):
            current_build().connect(str(other.id), str(self.id))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the declared names of the task's results."""
        return self.result_names or super().outputs

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> str:
        asked, everything = context_arguments(function, args, keywords)
        _check(function, args, {**dict.fromkeys(asked), **keywords})
        write = current_build().writer
        parts = [_argument(each, f"argument {n}") for n, each in enumerate(args, 1)]
        parts += [f"{name}={_argument(each, f'argument {name}')}" for name, each in keywords.items()]
        parts += [f"{name}={_context_source(name)}" for name in asked]
        if everything:
            given = (*keywords, *asked, *_positional(function, args))
            known = ", ".join(repr(name) for name in given if name in NAMES)
            chosen = f" if name not in ({known},)" if known else ""
            parts.append(f"**{{name: each for name, each in dag_run.context.items(){chosen}}}")
        wait = "await " if inspect.iscoroutinefunction(function) else ""
        return f"{', '.join(self.result_names)} = {wait}{write.name(function)}({', '.join(parts)})"


def context_arguments(
    function: Callable[..., Any], args: Iterable[Any], keywords: Mapping[str, Any]
) -> tuple[list[str], bool]:
    """Return the names of Airflow's context that a call must add, and whether it must add all of them.

    The names are those of the function's parameters to which the user passes no value. All names are added if the
    function has a parameter `**context`, or if the notebook defines the function with any `**` parameter.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C have no signature
        return [], False
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    given = {*keywords, *_positional(function, args)}
    # Optional parameters of a library's function are not filled: `params` of `requests.get` has another meaning than in
    # Airflow.
    own = getattr(function, "__module__", None) == "__main__"
    asked = [
        name
        for name, each in parameters.items()
        if each.kind in kinds and name in NAMES and name not in given and (own or each.default is each.empty)
    ]
    spread = next((name for name, each in parameters.items() if each.kind is each.VAR_KEYWORD), None)
    return asked, spread is not None and (own or spread == "context")


def _positional(function: Callable[..., Any], args: Iterable[Any]) -> list[str]:
    """Return the names of the parameters that positional arguments fill."""
    return list(inspect.signature(function).parameters)[: len(tuple(args))]


def _context_source(name: str) -> str:
    # The dates come from the context, because the dates of `dag_run` lack Airflow's additional methods.
    return f"dag_run.context[{name!r}]" if name in _DATES else f"dag_run.{name}" if name != "dag_run" else name


def _argument(value: Any, what: str) -> str:
    """Return the source of an argument. Templates in the argument are rendered when the task runs."""
    source: str = current_build().writer.expression(_marked(value, what))
    return source


class _Rendered(TaskOutput):
    """An argument that is given as Python source."""

    def __init__(self, source: str) -> None:
        self.name = source


def _marked(value: Any, what: str) -> Any:
    """Replace each text with a template by the source that renders it.

    Each text is rendered alone, because results of other tasks beside it are data, which must not be rendered.
    """
    if type(value) is dict:
        return {key: _marked(each, f"{what}[{key!r}]") for key, each in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(_marked(each, f"{what}[{n}]") for n, each in enumerate(value))
    if not is_template(value):
        return value
    from ..templates.names import read_template
    from ..templates.rendering import TemplateError

    try:
        pulls = read_template(value, what=what).pulls
    except TemplateError as error:
        raise OperatorError(f"{error.what}: {error.message}", hint=error.hint) from None
    parts = [repr(value), *dict.fromkeys(map(pull_source, pulls)), f"what={what!r}"]
    return _Rendered(f"dag_run.render({', '.join(parts)})")


def _taken(function: Callable[..., Any], values: Mapping[str, Any]) -> list[str]:
    """Return the keywords that are arguments of the function instead of options of the task."""
    other = [name for name in values if name not in _OPTIONS]
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some functions written in C have no signature
        return other
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return other
    for name in other:
        if name not in parameters:
            current_build().read_options(
                {name: values[name]}, getattr(function, "__name__", "the function"), parameters
            )
    return other


def _check(function: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
    try:
        inspect.signature(function).bind(*args, **keywords)
    except ValueError:  # some functions written in C have no signature
        pass
    except TypeError as error:
        name = getattr(function, "__name__", "the function")
        hint = f"correct them, or write the call as text: 'model = {name}(X)'"
        raise OperatorError(f"{name} cannot be called with these arguments: {error}", hint=hint) from None


def _result(task_id: Any, out: Any) -> tuple[str, ...]:
    if out is None:
        return (re.sub(r"\W", "_", f"{task_id}_result"),)
    return tuple(current_build().read_options({"out": out}, "Python")["out"])
