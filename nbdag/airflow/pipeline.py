"""The pipeline of a %%dag cell in Airflow's words: `DAG`, `@dag`, `TaskGroup`, `Label`, `Param`, `chain`.

A notebook is one pipeline, so a cell may make one DAG. Its options become those of the pipeline, as if they stood in
the header of the cell; its params become the parameters of the notebook. Tasks that are made outside of the DAG belong
to the pipeline as well, as do the tasks of other cells.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from ..core.options import option_types
from ..operators import OperatorError
from ..operators.tasks import Builder, Node, Operator, TaskOutput, chain, current_build
from . import keywords
from .keywords import RETRY_DELAY, date_of, read_dag, read_task, schedule_of, zone_of

__all__ = ["DAG", "Label", "Param", "TaskGroup", "chain", "cross_downstream", "dag"]

_OWN = ("schedule", "schedule_interval", "start_date", "end_date", "default_args", "params", "tags", "doc_md")
_TO_RUN = "run the notebook with `nbdag run`, or one task with `nbdag run --only TASK`"


_MISSING: Any = object()


class State:
    """The state of this package while a %%dag cell runs."""

    def __init__(self) -> None:
        self.dag: DAG | None = None
        self.groups: list[TaskGroup] = []  # the open `with` statements, outermost first
        self.group_ids: set[str] = set()


def state() -> State:
    """Return the state of the %%dag cell that is running. Raise `OperatorError` outside of one."""
    build = current_build()
    if "airflow" not in build.state:
        build.state["airflow"] = State()
    found: State = build.state["airflow"]
    return found


class DAG:
    """The pipeline: `with DAG("etl", schedule="@daily") as dag:`, or an object that tasks name with `dag=dag`."""

    dag_id: str

    def __init__(
        self, dag_id: str | None = None, description: str | None = None, schedule: Any = None, **given: Any
    ) -> None:
        build, here = current_build(), state()
        if here.dag is not None:
            message = f"a second DAG, {dag_id}; a notebook is one pipeline, and the first is {here.dag.dag_id}"
            raise OperatorError(message, hint="put it into a separate notebook")
        if not isinstance(dag_id, str):
            raise OperatorError("a DAG needs an id", hint="write DAG('etl', …)")
        if schedule is not None:
            given["schedule"] = schedule
        if description is not None:
            given["description"] = description
        self.dag_id = dag_id
        options, rest = read_dag(given, _OWN, build.warn)
        self.default_args = dict(rest.get("default_args") or {})
        defaults = self._defaults(self.default_args, build)
        options |= self._schedule(rest)
        if (owner := self.default_args.get("owner")) is not None:
            options.setdefault("owner", owner)
        if (rule := self.default_args.get("weight_rule")) is not None:
            options.setdefault("weight_rule", rule)
        if doc := keywords.first_line(rest.get("doc_md")):
            options.setdefault("description", doc)
        if rest.get("tags"):
            options["tags"] = [str(tag) for tag in rest["tags"]]
        self.params = dict(rest.get("params") or {})
        for name, value in self.params.items():
            build.parameters[_parameter_name(name)] = _assignment(name, value, build)
        self.doc_md: str | None = None
        self._options, self.task_defaults = options, defaults
        self.trigger_rule = str(defaults.get("trigger", "all_success"))
        here.dag = self
        build.declare(dag_id, options, defaults)

    def _defaults(self, given: Mapping[str, Any], build: Builder) -> dict[str, Any]:
        """Return the defaults for all tasks, as options of %dag."""
        pipeline = {"owner", "weight_rule"}
        known = {name: value for name, value in given.items() if name not in pipeline}
        own = keywords.OPERATORS_OWN | keywords.CALLBACKS | keywords.CUSTOM_KEYWORDS
        defaults, self.operator_args = read_task(known, own, "default_args", build.warn)
        if defaults.get("retries") and "retry_delay" not in defaults:
            defaults["retry_delay"] = RETRY_DELAY
        return defaults

    def _schedule(self, rest: Mapping[str, Any]) -> dict[str, Any]:
        self.dates: dict[str, Any] = {}
        given = rest.get("schedule", rest.get("schedule_interval"))
        options: dict[str, Any] = {}
        if (schedule := schedule_of(given)) is not None:
            options["schedule"] = schedule
        zone = getattr(given, "timezone", None)
        for name in ("start_date", "end_date"):
            value = rest.get(name) or self.default_args.get(name)
            if value is not None:
                self.dates[name] = value
                options[name] = date_of(value, name)
                zone = zone or (None if isinstance(value, str) else zone_of(value))
        if (name_of_zone := zone_of(zone)) not in (None, "UTC"):
            options["tz"] = name_of_zone
        return options

    @property
    def task_ids(self) -> list[str]:
        """Return the ids of the tasks so far."""
        return list(current_build().tasks)

    @property
    def tasks(self) -> list[Operator]:
        """Return the tasks so far."""
        return list(current_build().tasks.values())

    @property
    def task_dict(self) -> dict[str, Operator]:
        """Return the tasks so far, by id."""
        return dict(current_build().tasks)

    def get_task(self, task_id: str) -> Operator:
        """Return a task. Raise `OperatorError` if it does not exist."""
        found = current_build().tasks.get(task_id)
        if found is None:
            near = option_types.nearest(task_id, current_build().tasks)
            raise OperatorError(f"no task {task_id!r}", hint=f"did you mean {near}?" if near else "create it above")
        return found

    def test(self, *_: Any, **__: Any) -> None:
        """Warn: a %%dag cell only creates tasks."""
        current_build().warn("dag.test() has no effect here", _TO_RUN)

    def cli(self) -> None:
        """Warn: a %%dag cell only creates tasks."""
        current_build().warn("dag.cli() has no effect here", _TO_RUN)

    def __enter__(self) -> DAG:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "doc_md" and value and "_options" in vars(self) and "description" not in self._options:
            self._options["description"] = keywords.first_line(value)
            current_build().declare(self.dag_id, self._options, self.task_defaults)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<DAG {self.dag_id}>"


class Param:
    """A parameter of the pipeline with a default, a type and a description, as JSON Schema has them."""

    def __init__(self, default: Any = _MISSING, description: str | None = None, **schema: Any) -> None:
        if default is _MISSING:
            raise OperatorError("a Param without a default is not supported", hint="write Param(5, …)")
        self.value = default
        self.description = description
        self.schema = schema

    def __repr__(self) -> str:
        return f"Param({self.value!r})"


class DagParam:
    """A parameter of the pipeline, as the code of a %%dag cell sees it: only a run knows its value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{{{{ params.{self.name} }}}}"


def dag(given: Any = None, **options: Any) -> Any:
    """Make a pipeline of a function: calling the function creates its tasks. Its arguments become parameters."""
    if callable(given):
        return dag()(given)
    if isinstance(given, str):
        options["dag_id"] = given

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def make(*args: Any, **named: Any) -> DAG:
            signature = inspect.signature(function)
            bound = signature.bind_partial(*args, **named)
            bound.apply_defaults()
            params = {**bound.arguments, **(options.get("params") or {})}
            missing = [name for name in signature.parameters if name not in params]
            if missing:
                hint = f"write a default: def {function.__name__}({missing[0]}='…')"
                raise OperatorError(f"the parameter {missing[0]} of {function.__name__} has no default", hint=hint)
            doc = {"doc_md": function.__doc__} if function.__doc__ and "description" not in options else {}
            made = DAG(**{"dag_id": function.__name__, **options, "params": params})
            if doc:
                made.doc_md = function.__doc__
            function(**{name: DagParam(name) for name in signature.parameters})
            return made

        return make

    return decorate


class TaskGroup(Node):
    """A group of tasks, whose ids begin with the group's: `with TaskGroup("eu"):` makes `eu.load`."""

    prefix: str
    default_args: dict[str, Any]

    def __init__(
        self,
        group_id: str | None = None,
        prefix_group_id: bool = True,
        *,
        default_args: Mapping[str, Any] | None = None,
        parent_group: TaskGroup | None = None,
        dag: DAG | None = None,
        tooltip: str = "",
        ui_color: str = "",
        ui_fgcolor: str = "",
        group_display_name: str = "",
        add_suffix_on_collision: bool = False,
        **others: Any,
    ) -> None:
        here = state()
        if others:
            name = next(iter(others))
            raise OperatorError(f"unknown keyword {name} for TaskGroup", hint="its keywords are group_id, default_args")
        if not isinstance(group_id, str):
            raise OperatorError("a TaskGroup needs an id", hint="write TaskGroup('eu')")
        self.parent = parent_group or (here.groups[-1] if here.groups else None)
        prefix = self.parent.prefix if self.parent else ""
        self.id = free_id(f"{prefix}{group_id}", here.group_ids)
        if self.id != f"{prefix}{group_id}" and not add_suffix_on_collision:
            raise OperatorError(f"a second TaskGroup is named {prefix}{group_id}", hint="rename one of them")
        here.group_ids.add(self.id)
        self.prefix = f"{self.id}." if prefix_group_id else ""
        self.default_args = {**(self.parent.default_args if self.parent else {}), **(default_args or {})}
        self.children: list[str] = []  # ids of its tasks, including the tasks of nested groups
        for text in (tooltip, group_display_name):
            if text:
                current_build().warn(f"the text {text!r} of a TaskGroup is not shown", "remove it")

    @property
    def group_id(self) -> str:
        """Return the group's id."""
        return str(self.id)

    def add(self, task_id: str) -> None:
        """Add a task to this group and to those around it."""
        self.children.append(task_id)
        if self.parent is not None:
            self.parent.add(task_id)

    def first_ids(self) -> list[str]:
        inside = set(self.children)
        later = {after for before, after in current_build().edges if before in inside}
        return [id for id in self.children if id not in later]

    def last_ids(self) -> list[str]:
        inside = set(self.children)
        earlier = {before for before, after in current_build().edges if after in inside}
        return [id for id in self.children if id not in earlier]

    def __enter__(self) -> TaskGroup:
        state().groups.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        state().groups.pop()


def task_group(given: Any = None, **options: Any) -> Any:
    """Make a group of a function: each call creates its tasks in a group, and returns what the function returns."""
    if callable(given):
        return _GroupFunction(given, options)
    if isinstance(given, str):
        options["group_id"] = given
    return lambda function: _GroupFunction(function, options)


def free_id(wanted: str, taken: Container[str]) -> str:
    """Return an id, with a number at its end if it is taken, as Airflow counts calls of one function."""
    return next(id for id in (wanted, *(f"{wanted}__{n}" for n in range(1, 100_000))) if id not in taken)


class _GroupFunction:
    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options

    def __call__(self, *args: Any, **named: Any) -> Any:
        options = {"group_id": self.function.__name__, "add_suffix_on_collision": True, **self.options}
        with TaskGroup(**options) as group:
            returned = self.function(*args, **named)
        return group if returned is None else returned

    def override(self, **options: Any) -> _GroupFunction:
        """Return the same function with other options."""
        return _GroupFunction(self.function, {**self.options, **options})

    def expand(self, **_: Any) -> Any:
        raise OperatorError("a mapped group of tasks is not supported", hint="map its tasks one by one with expand")

    partial = expand_kwargs = expand


class Label(Node):
    """The label of an edge in Airflow's graph: `a >> Label("no errors") >> b`. nbdag's graph does not show it."""

    def __init__(self, label: str = "") -> None:
        self.id = None
        self._before: list[str] = []
        self._after: list[str] = []
        current_build().warn(f"the label {label!r} of an edge is not shown", "remove it, or write it into a doc_md")

    def first_ids(self) -> list[str]:
        return list(self._after)

    def last_ids(self) -> list[str]:
        return list(self._before)

    def follow(self, before: list[str]) -> None:
        super().follow(before)
        self._before += before

    def precede(self, after: list[str]) -> None:
        self._after += after


def cross_downstream(from_tasks: Iterable[Any], to_tasks: Any) -> None:
    """Make each of the second tasks depend on each of the first."""
    for task in from_tasks:
        _ = (task.task if isinstance(task, TaskOutput) else task) >> to_tasks


# -- parameters --------------------------------------------------------------------------------------------------------

_TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "array": "list", "object": "dict"}


def _parameter_name(name: str) -> str:
    try:
        return option_types.read_identifier(name)
    except ValueError as error:
        raise OperatorError(f"the param {name!r} {error}", hint="rename it") from None


def _assignment(name: str, given: Any, build: Builder) -> str:
    """Return the line of the parameters cell for a param."""
    param = given if isinstance(given, Param) else Param(given)
    schema = dict(param.schema)
    annotation = _TYPES.get(schema["type"]) if isinstance(schema.get("type"), str) else None
    if annotation:
        del schema["type"]
    try:
        # Without JSON, a description such as "> 0" would be a rule.
        rules = json.dumps(schema, ensure_ascii=False) if schema or param.description else ""
    except TypeError as error:
        raise OperatorError(
            f"the schema of the param {name} is not JSON: {error}", hint="use texts and numbers"
        ) from None
    comment = " ".join([*([rules] if rules else []), *(param.description or "").split()])
    value = build.writer.expression(param.value)
    assigned = f"{name}: {annotation} = {value}" if annotation else f"{name} = {value}"
    return f"{assigned}  # {comment}" if comment else assigned
