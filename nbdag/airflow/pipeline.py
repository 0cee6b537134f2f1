"""The pipeline of a %%dag cell in Airflow's words: `DAG`, `@dag`, `TaskGroup`, `Label`, `Param`, `chain`.

A notebook is one pipeline, so a cell may make one DAG. The DAG's options become options of the pipeline, as if they
were in the header of the cell. The DAG's params become the parameters of the notebook. Tasks outside of the DAG and
tasks of other cells also belong to the pipeline.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any

from ..core.options import option_types
from ..operators import OperatorError
from ..operators.tasks import Builder, Node, Operator, TaskOutput, chain, current_build, tasks_in
from . import keywords
from .keywords import RETRY_DELAY, date_of, read_dag, read_task, schedule_of, zone_of
from .parameters import DagParam, assignment, parameter_name

__all__ = ["DAG", "Label", "TaskGroup", "chain", "cross_downstream", "dag"]

# Key: keyword of DAG for functions to call when a run ends; value: option of %dag that names these functions.
_CALLBACKS = {"on_failure_callback": "on_failure", "on_success_callback": "on_success"}
_OWN = (
    "schedule",
    "schedule_interval",
    "start_date",
    "end_date",
    "default_args",
    "params",
    "tags",
    "doc_md",
    *_CALLBACKS,
)
_TO_RUN = "run the notebook with `nbdag run`, or one task with `nbdag run --only TASK`"


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
        for name, option in _CALLBACKS.items():
            if names := _callbacks(name, rest.get(name), build):
                options[option] = [*_listed(options.get(option)), *names]
        self.params = dict(rest.get("params") or {})
        for name, value in self.params.items():
            build.parameters[parameter_name(name)] = assignment(name, value, build)
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
        zone = getattr(getattr(given, "timetable", given), "timezone", None)
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
        """Warn that a %%dag cell only creates tasks."""
        current_build().warn("dag.test() has no effect here", _TO_RUN)

    def cli(self) -> None:
        """Warn that a %%dag cell only creates tasks."""
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


def _listed(given: Any) -> list[Any]:
    return [] if given is None else [given] if callable(given) or isinstance(given, str) else list(given)


def _callbacks(keyword: str, given: Any, build: Builder) -> list[str]:
    """Return callback functions as notification recipients, such as `:report`. Raise `OperatorError`."""
    found = []
    for function in _listed(given):
        name = build.writer.definition(function) if isinstance(function, FunctionType) else ""
        if not name.isidentifier():
            what = getattr(function, "__name__", type(function).__name__)
            hint = f"write {keyword}= and a function; or {_CALLBACKS[keyword]}='…' with a URL of Apprise"
            raise OperatorError(f"{keyword} of DAG is {what}, which is no function of this cell", hint=hint)
        found.append(f":{name}")
    return found


def dag(given: Any = None, **options: Any) -> Any:
    """Make a pipeline of a function: a call creates the tasks. The function's arguments become parameters."""
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


class MappedArgument(TaskOutput):
    """An argument of a mapped group, which the group's tasks use. Each instance of a task gets a different element."""

    def __init__(self, mapping: GroupMapping, name: str) -> None:
        self.mapping = mapping
        self.name = name

    def sources(self) -> Iterator[Operator]:
        yield from tasks_in(self.mapping.values)

    def __getitem__(self, key: Any) -> Any:
        raise OperatorError("an element of a mapped group has no value when %%dag runs", hint="use it in a @task")

    __iter__ = __len__ = __bool__ = __getitem__

    def __str__(self) -> str:
        raise OperatorError("an element of a mapped group is no text when %%dag runs", hint="pass it to a @task")

    __format__ = lambda self, spec: str(self)  # noqa: E731


class GroupMapping:
    """The elements over which a group is mapped. In the group, instance n follows instance n of each upstream task."""

    def __init__(self, group_id: str, values: Mapping[str, Any], keys: Iterable[str] = ()) -> None:
        self.group_id = group_id
        self.values = values  # key: argument; value: its elements; for `expand_kwargs`, {"expand_kwargs": dictionaries}
        group = re.sub(r"\W", "_", group_id)
        names = list(keys) or list(values)
        single = len(values) == 1 and not keys
        self.variable = f"{group}_{names[0]}" if single else f"{group}_arguments"  # the variable of `--map`
        sources = {name: self.variable if single else f"{self.variable}[{name!r}]" for name in names}
        self.arguments = {name: MappedArgument(self, source) for name, source in sources.items()}

    def expression(self) -> str:
        """Return the source of the list of elements."""
        write = current_build().writer.expression
        lists = {name: write(self._elements(value)) for name, value in self.values.items()}
        for name, value in self.values.items():
            if isinstance(value, TaskOutput) and name != "expand_kwargs":  # at run time, the result may be a dictionary
                lists[name] = f"{lists[name]}.items() if isinstance({lists[name]}, dict) else {lists[name]}"
        if len(lists) == 1:
            return str(next(iter(lists.values())))
        items = ", ".join(f"{name!r}: _{name}" for name in lists)
        loops = " ".join(f"for _{name} in ({each})" for name, each in lists.items())
        return f"[{{{items}}} {loops}]"

    def _elements(self, value: Any) -> Any:
        if isinstance(value, DagParam):
            return _Named(value.name)
        return list(value.items()) if isinstance(value, dict) else value


class _Named(TaskOutput):
    def __init__(self, name: str) -> None:
        self.name = name

    def sources(self) -> Iterator[Operator]:
        yield from ()


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
        mapped: tuple[Mapping[str, Any], tuple[str, ...]] | None = None,
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
        self.mapping: GroupMapping | None = self.parent.mapping if self.parent else None
        if mapped is not None:
            if self.mapping is not None:
                message = f"the mapped group {self.id} is inside of the mapped group {self.mapping.group_id}"
                raise OperatorError(message, hint="map one of them over all combinations")
            self.mapping = GroupMapping(self.id, *mapped)
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
        if self.mapping is not None and self.mapping.group_id == self.id:
            for task in tasks_in(self.mapping.values):
                self.follow(task.last_ids())


def task_group(given: Any = None, **options: Any) -> Any:
    """Make a group of a function: each call creates the tasks in a new group, and returns the function's result."""
    if callable(given):
        return _GroupFunction(given, options)
    if isinstance(given, str):
        options["group_id"] = given
    return lambda function: _GroupFunction(function, options)


def free_id(wanted: str, taken: Container[str]) -> str:
    """Return the wanted id. If this id is taken, add a number, as Airflow does for repeated calls of a function."""
    return next(id for id in (wanted, *(f"{wanted}__{n}" for n in range(1, 100_000))) if id not in taken)


def call_id(name: str) -> str:
    """Return the id of a task that a call of a function makes; repeated calls get numbers, as in Airflow."""
    here = state()
    prefix = here.groups[-1].prefix if here.groups else ""
    taken = current_build().tasks
    return free_id(f"{prefix}{name}", taken).removeprefix(prefix)


class _GroupFunction:
    def __init__(
        self, function: Callable[..., Any], options: Mapping[str, Any], partial: Mapping[str, Any] | None = None
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self._partial = dict(partial or {})

    def __call__(self, *args: Any, **named: Any) -> Any:
        options = {"group_id": self.function.__name__, "add_suffix_on_collision": True, **self.options}
        with TaskGroup(**options) as group:
            returned = self.function(*args, **named)
        return group if returned is None else returned

    def _mapped(self, values: Mapping[str, Any], keys: tuple[str, ...] = ()) -> Any:
        options = {"group_id": self.function.__name__, "add_suffix_on_collision": True, **self.options}
        with TaskGroup(**options, mapped=(values, keys)) as group:
            assert group.mapping is not None
            arguments = {**self._partial, **group.mapping.arguments}
            self._check(arguments)
            returned = self.function(**arguments)
        return group if returned is None else returned

    def _check(self, arguments: Mapping[str, Any]) -> None:
        try:
            inspect.signature(self.function).bind(**arguments)
        except TypeError as error:
            name = self.function.__name__
            raise OperatorError(
                f"{name} {error}", hint=f"give each argument of {name} in partial(…) or expand(…)"
            ) from None

    def override(self, **options: Any) -> _GroupFunction:
        """Return the same function with other options."""
        return _GroupFunction(self.function, {**self.options, **options}, self._partial)

    def partial(self, **named: Any) -> _GroupFunction:
        """Return the same function with some of its arguments, for `expand`."""
        return _GroupFunction(self.function, self.options, {**self._partial, **named})

    def expand(self, **mapped: Any) -> Any:
        """Make a group whose tasks have one instance for each combination of the elements of these arguments."""
        if not mapped:
            name = self.function.__name__
            raise OperatorError("expand maps no argument", hint=f"write {name}.expand(x=[1, 2])")
        for name, value in mapped.items():
            if not isinstance(value, list | tuple | dict | TaskOutput | DagParam):
                message = f"expand cannot map {name} over {value!r}"
                raise OperatorError(message, hint="write a list, a dictionary, or the result of a task")
        return self._mapped(mapped)

    def expand_kwargs(self, kwargs: Any, **_: Any) -> Any:
        """Make a group whose tasks have one instance for each of these dictionaries of arguments."""
        names = tuple(name for name in inspect.signature(self.function).parameters if name not in self._partial)
        return self._mapped({"expand_kwargs": kwargs}, names)


class Label(Node):
    """The label of an edge in the graph: `a >> Label("no errors") >> b`."""

    def __init__(self, label: str = "") -> None:
        self.id = None
        self._before: list[str] = []
        self._after: list[str] = []
        self._text = " ".join(label.split())

    def first_ids(self) -> list[str]:
        return list(self._after)

    def last_ids(self) -> list[str]:
        return list(self._before)

    def follow(self, before: list[str]) -> None:
        super().follow(before)
        self._before += before
        self._label_edges()

    def precede(self, after: list[str]) -> None:
        self._after += after
        self._label_edges()

    def _label_edges(self) -> None:
        if self._text:
            current_build().labels |= {(a, b): self._text for a in self._before for b in self._after}


def cross_downstream(from_tasks: Iterable[Any], to_tasks: Any) -> None:
    """Make each task in `to_tasks` depend on each task in `from_tasks`."""
    for task in from_tasks:
        _ = (task.task if isinstance(task, TaskOutput) else task) >> to_tasks
