"""Airflow's `BaseOperator`: a task whose cell is written when the whole %%dag cell has run.

The cell of a task is a few lines of Python, such as

    load_result = load(extract_result, dag_run.render('{{ ds }}'), ti=dag_run.ti)

The result of a task, its XCom `return_value`, is the variable `TASK_result`, so a task that uses it reads a variable,
and the graph has an edge with this name. XComs that a function pushes or pulls itself are those of `dag_run.ti`. If a
task may run although tasks above it were skipped or failed, it gets None for their missing values, as in Airflow.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ..core.options import option_types
from ..operators import OperatorError, pull_source
from ..operators.tasks import Builder, Node, Operator, TaskOutput, current_build, tasks_in
from ..templates import TemplateError, is_template, read_template
from .keywords import OPERATORS_OWN, RETRY_DELAY, read_task
from .pipeline import DagParam, TaskGroup, free_id, state

RETURN_VALUE = "return_value"  # key of the XCom that a task's result is

# With these rules an edge from a task that is upstream anyway changes nothing.
_INDIFFERENT = ("all_success", "all_done", "always")


class XComArg(TaskOutput, Node):
    """The future result of a task, or one key of it: `extract()`, `task.output`, `extract()["rows"]`."""

    def __init__(self, task: BaseOperator, key: str = RETURN_VALUE) -> None:
        self.operator = task
        self.key = key
        self.id = task.id
        self.task = task

    @property
    def name(self) -> str:  # type: ignore[override]  # the variable is known once a task asks for it
        """Return the expression for the value in the cell of another task. Raise `OperatorError` if there is none."""
        return self.operator.xcom(self.key)

    def __getitem__(self, key: str) -> XComArg:
        if not isinstance(key, str):
            raise OperatorError(f"the result of {self.id} has no value when %%dag runs", hint="use it in a task")
        return XComArg(self.operator, key)

    def __iter__(self) -> Any:
        raise OperatorError(
            f"the result of {self.id} has no value when %%dag runs", hint="map a task over it: expand(…)"
        )

    __len__ = __bool__ = __iter__

    def __str__(self) -> str:
        key = "" if self.key == RETURN_VALUE else f", key={self.key!r}"
        return f"{{{{ ti.xcom_pull(task_ids={self.id!r}{key}) }}}}"

    __format__ = lambda self, spec: str(self)  # noqa: E731

    def map(self, *_: Any) -> Any:
        """Raise `OperatorError`."""
        raise OperatorError("XComArg.map, zip and concat are not supported", hint="transform the values in a @task")

    zip = concat = map


class _Source(TaskOutput):
    """An argument that is written as this source."""


class BaseOperator(Operator):
    """A task of Airflow. A subclass writes the statements of its cell."""

    own: ClassVar[frozenset[str]] = frozenset()  # keywords that only this class has
    shown_name: ClassVar[str] = ""  # for messages, if it is not that of the class
    mappable: ClassVar[frozenset[str]] = frozenset()  # keywords that expand accepts

    def __init__(self, task_id: str | None = None, **given: Any) -> None:
        build, here = current_build(), state()
        who = self.shown_name or type(self).__name__
        if getattr(type(self).statements, "__isabstractmethod__", False):
            raise OperatorError(f"{who} is not supported: it has no cell", hint="write a function, and @task above it")
        self.mapped: Mapping[str, Any] = given.pop("_mapped", {})
        group: TaskGroup | None = given.pop("task_group", None) or (here.groups[-1] if here.groups else None)
        given = self._with_defaults(given, group)
        _check_dag(given.pop("dag", None), given, who)
        options, self.arguments = read_task(given, self.own, who, build.warn)
        if options.get("retries") and "retry_delay" not in {**(here.dag.task_defaults if here.dag else {}), **options}:
            options["retry_delay"] = RETRY_DELAY
        self.is_teardown = "teardown_for" in options
        self.multiple_outputs = bool(given.get("multiple_outputs"))
        self.id = self._free_id(task_id, group, build)
        self.rule = str(options.get("trigger", here.dag.trigger_rule if here.dag else "all_success"))
        self.options = build.read_options(options, who)
        self.pulls: set[str] = set()  # ids of tasks that its function or its templates pull from
        name = re.sub(r"\W", "_", self.id)
        self.result = f"{name}_result"
        self.map_names = {each: f"{name}_{each}" for each in self.mapped}
        self.prepare(build)
        if given.get("do_xcom_push", True) is False:
            self.result_names = ()
        if self.result_names:
            self.options["out"] = self.result_names
        if group is not None:
            group.add(self.id)
        build.add(self)
        for other in tasks_in((self.arguments, self.mapped)):
            build.connect(str(other.id), self.id)
        if self.mapped:
            self.options["map"] = tuple((self.map_names[each], self._elements(each)) for each in self.mapped)

    def _with_defaults(self, given: dict[str, Any], group: TaskGroup | None) -> dict[str, Any]:
        here = state()
        defaults = dict(here.dag.operator_args) if here.dag is not None else {}
        defaults |= group.default_args if group is not None else {}
        defaults |= given.pop("default_args", None) or {}
        known = {name: value for name, value in defaults.items() if name not in OPERATORS_OWN - self.own}
        return {**known, **given}

    def _free_id(self, task_id: Any, group: TaskGroup | None, build: Builder) -> str:
        if not isinstance(task_id, str):
            raise OperatorError(f"a {type(self).__name__} needs a task_id", hint="write task_id='load'")
        try:
            return option_types.read_id(f"{group.prefix if group else ''}{task_id}")
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            raise OperatorError(f"the task_id {task_id!r} {message}", hint=hint) from None

    # -- for subclasses ------------------------------------------------------------------------------------------------

    def prepare(self, build: Builder) -> None:
        """Check the arguments and write them as source. Raise `OperatorError`."""

    @abstractmethod
    def statements(self, build: Builder) -> list[str]:
        """Return the lines of the cell."""

    def written(self, value: Any) -> str:
        """Return an argument as source. Templates in it are rendered by the task; results of tasks are not."""
        text: str = current_build().writer.expression(self._marked(value))
        return text

    def plain(self, value: Any) -> str:
        """Return an argument as source for an operator that renders the templates in its body itself."""
        text: str = current_build().writer.expression(self._marked(value, templates=False))
        return text

    def _marked(self, value: Any, *, templates: bool = True) -> Any:
        """Replace templates, results of tasks and parameters by the source that evaluates to them."""
        if isinstance(value, BaseOperator):
            value = XComArg(value)
        if isinstance(value, XComArg):
            missing = self.rule != "all_success"
            return _Source(value.task, value.operator.xcom(value.key, may_be_missing=missing))
        if isinstance(value, DagParam):
            return _Source(self, value.name)
        if is_template(value):
            uses = self.uses(value)
            return _Source(self, f"dag_run.render({', '.join([repr(value), *uses])})") if templates else value
        if type(value) is dict:
            pairs = value.items()
            return {self._marked(key): self._marked(each, templates=templates) for key, each in pairs}
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(self._marked(each, templates=templates) for each in value)
        return value

    def uses(self, template: str) -> list[str]:
        """Return source that shows the analysis which XComs a template pulls. Raise `OperatorError`."""
        try:
            pulls = read_template(template, what="the template").pulls
        except TemplateError as error:
            raise OperatorError(f"{error.what}: {error.message}", hint=error.hint) from None
        self.pulls.update(each.task for each in pulls if each.task is not None)
        return list(dict.fromkeys(map(pull_source, pulls)))

    def _elements(self, keyword: str) -> str:
        value = self.mapped[keyword]
        if isinstance(value, dict):
            value = list(value.items())
        if self.rule != "all_success" and any(tasks_in(value)):
            message = f"{self.id} maps the result of a task that may be missing with its trigger rule {self.rule}"
            raise OperatorError(message, hint="map it in a task with the rule all_success")
        text = self.written(value)
        if "dag_run.render(" in text:
            raise OperatorError("a template cannot be an element of expand", hint="compute the elements in a @task")
        return f"{text}.items() if isinstance({text}, dict) else {text}" if isinstance(value, TaskOutput) else text

    # -- results -------------------------------------------------------------------------------------------------------

    @property
    def output(self) -> XComArg:
        """Return the result of the task, to pass to another task."""
        return XComArg(self)

    @property
    def task_id(self) -> str:
        """Return the task's id."""
        return str(self.id)

    def xcom(self, key: str = RETURN_VALUE, *, may_be_missing: bool = False) -> str:
        """Return the expression for an XCom of this task, in the cell of another task. Raise `OperatorError`."""
        if key == RETURN_VALUE and self.result_names and not may_be_missing:
            return self.result
        if self.multiple_outputs and not may_be_missing:
            return f"{self.result}[{key!r}]"
        return f"dag_run.ti.xcom_pull({self.id!r}{'' if key == RETURN_VALUE else f', key={key!r}'})"

    # -- the cell, once all tasks are known ----------------------------------------------------------------------------

    def complete(self, build: Builder) -> None:
        direct = {before for before, after in build.edges if after == self.id}
        if self.is_teardown and not self.options.get("teardown_for"):
            setups = tuple(id for id in build.tasks if id in direct and build.tasks[id].options.get("setup"))
            self.options |= {"teardown_for": setups} if setups else {"trigger": "all_done_setup_success"}
        order = list(build.tasks)
        for task in self.pulls & build.tasks.keys() - {self.id}:
            if task not in direct and self.rule not in _INDIFFERENT:
                message = (
                    f"it pulls an XCom of {task}, and its trigger rule {self.rule} would then count {task} as well"
                )
                raise OperatorError(message, hint=f"write {task} >> {self.id}, or pull from a task directly above")
            if order.index(task) > order.index(self.task_id):
                build.connect(task, self.task_id)  # its cell must be above this one
        self.body = "\n".join(self.statements(build))

    # -- Airflow's other ways ------------------------------------------------------------------------------------------

    def set_upstream(self, tasks: Any, **_: Any) -> None:
        """Make this task depend on others."""
        _ = tasks >> self if isinstance(tasks, Node) else self << tasks

    def set_downstream(self, tasks: Any, **_: Any) -> None:
        """Make other tasks depend on this one."""
        _ = self >> tasks

    def as_setup(self) -> BaseOperator:
        """Make this task a setup task."""
        self.options |= current_build().read_options({"setup": True}, type(self).__name__)
        return self

    def as_teardown(self, *, setups: Any = (), on_failure_fail_dagrun: bool = False, **_: Any) -> BaseOperator:
        """Make this task a teardown task, for these setup tasks or those directly above."""
        self.is_teardown = True
        given = {"teardown_for": setups, "fail_run": on_failure_fail_dagrun}
        self.options |= current_build().read_options(given, type(self).__name__)
        for setup in setups if isinstance(setups, list | tuple | set) else [setups]:
            _ = setup >> self
        return self

    def __enter__(self) -> Any:
        raise OperatorError("`with` a setup or teardown task is not supported", hint="write setup >> work >> teardown")

    def __exit__(self, *_: object) -> None: ...

    @property
    def upstream_task_ids(self) -> set[str]:
        """Return the ids of the tasks directly above, so far."""
        return {before for before, after in current_build().edges if after == self.id}

    @property
    def downstream_task_ids(self) -> set[str]:
        """Return the ids of the tasks directly below, so far."""
        return {after for before, after in current_build().edges if before == self.id}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("doc_md", "doc") and value:
            current = read_task({name: value}, (), type(self).__name__, current_build().warn).options
            self.options |= current_build().read_options(current, type(self).__name__)
        object.__setattr__(self, name, value)

    @classmethod
    def partial(cls, **given: Any) -> Partial:
        """Return a task that `expand` completes."""
        return Partial(cls, given)


class Partial:
    """An operator with some of its arguments; `expand` makes a task with one instance for each of the others."""

    def __init__(self, made: type[BaseOperator], given: dict[str, Any]) -> None:
        self._class = made
        self._given = given

    def expand(self, **mapped: Any) -> BaseOperator:
        """Return a task with one instance for each combination of the elements of these arguments."""
        for name in mapped:
            if name not in self._class.mappable:
                known = ", ".join(sorted(self._class.mappable)) or "none of them"
                raise OperatorError(f"expand cannot map {name} of {self._class.__name__}", hint=f"it can map {known}")
        if not mapped:
            raise OperatorError("expand maps no argument", hint="write expand(op_args=[[1], [2]])")
        return self._class(**self._given, _mapped=mapped)

    def expand_kwargs(self, kwargs: Any, **_: Any) -> BaseOperator:
        """Raise `OperatorError`."""
        raise OperatorError(f"expand_kwargs of {self._class.__name__} is not supported", hint="write expand(…)")


def call_id(name: str) -> str:
    """Return the id of a task that is made by calling a function, as Airflow numbers the calls."""
    here = state()
    prefix = here.groups[-1].prefix if here.groups else ""
    taken = current_build().tasks
    return free_id(f"{prefix}{name}", taken).removeprefix(prefix)


def _check_dag(given: Any, keywords: dict[str, Any], who: str) -> None:
    pipeline = state().dag
    if given is not None and given is not pipeline:
        raise OperatorError(f"dag={given!r} is not the DAG of this cell", hint="write dag=dag")
    for name in ("start_date", "end_date"):
        value = keywords.get(name)
        if value is not None and (pipeline is None or value != pipeline.dates.get(name)):
            raise OperatorError(f"{name} of {who} differs from that of the DAG", hint=f"write {name} in DAG(...)")
