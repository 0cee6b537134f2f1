"""`AirflowTask`, the base of all operators: a task whose cell is written when the whole %%dag cell has run.

The cell of a task is a few lines of Python, such as

    load_result = load(extract_result, dag_run.render('{{ ds }}'), ti=dag_run.ti)

The result of a task, its XCom `return_value`, is the variable `TASK_result`. A task that uses the result reads this
variable, so the graph has an edge named after the variable. A function pushes and pulls XComs through `dag_run.ti`. If
a task may run although upstream tasks were skipped or failed, it gets None for their missing values, as in Airflow.
"""

from __future__ import annotations

import re
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from types import FunctionType
from typing import Any, ClassVar

from ..core.model.text import join_names
from ..core.options import option_types
from ..operators import OperatorError, pull_source
from ..operators.tasks import Builder, Node, Operator, TaskOutput, current_build, tasks_in
from ..templates import TemplateError, is_template, read_template, templates_in
from .callbacks import around, written_callbacks, written_params
from .keywords import CALLBACKS, CUSTOM_KEYWORDS, OPERATORS_OWN, RETRY_DELAY, read_task
from .parameters import DagParam
from .pipeline import MappedArgument, TaskGroup, state
from .setup_teardown import Scope

RETURN_VALUE = "return_value"  # key of the XCom that contains a task's result

# Trigger rules whose decision stays the same if an indirect upstream task also becomes a direct one.
_INDIFFERENT = ("all_success", "all_done", "always")

# Trigger rules whose decision may change if the task gets one more direct upstream task, one that has succeeded.
_COUNTING_RULES = ("all_failed", "all_skipped", "one_success", "one_done", "none_failed_min_one_success")

# Tasks that a mapped group cannot contain, because they decide for all instances at once. Key: option of the task;
# value: name of such a task in messages.
_NOT_IN_STEP = {
    "branch": "a branch",
    "short_circuit": "a short circuit",
    "setup": "a setup task",
    "teardown_for": "a teardown task",
}

_NO_FILL: Any = object()


class XComArg(TaskOutput, Node):
    """The future result of a task, or one key of it: `extract()`, `task.output`, `extract()["rows"]`."""

    def __init__(self, task: AirflowTask, key: str = RETURN_VALUE) -> None:
        self.operator = task
        self.key = key
        self.id = task.id
        self.task = task

    @property
    def name(self) -> str:  # type: ignore[override]  # the variable is known once a task asks for it
        """Return the Python expression that reads this value in the cell of another task.

        Raise `OperatorError` if no such expression exists.
        """
        return self.source(may_be_missing=False)

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

    def source(self, *, may_be_missing: bool) -> str:
        """Return the Python expression that reads this value in the cell of another task. Raise `OperatorError`."""
        return self.operator.xcom(self.key, may_be_missing=may_be_missing)

    def as_setup(self) -> XComArg:
        """Make the task a setup task."""
        self.operator.as_setup()
        return self

    def as_teardown(self, **given: Any) -> XComArg:
        """Make the task the teardown of the given setup tasks, by default of the setup tasks directly upstream."""
        self.operator.as_teardown(**given)
        return self

    def __enter__(self) -> XComArg:
        self.operator.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.operator.__exit__(*error)

    def map(self, function: Callable[..., Any]) -> XComArg:
        """Return a list with the function's result for each element of this list."""
        if not isinstance(function, FunctionType):
            raise OperatorError(f"map needs a function, not a {type(function).__name__}", hint="write map(convert)")
        name = current_build().writer.definition(function)
        return _Derived([self], lambda texts: f"[{name}(_each) for _each in {texts[0]}]")

    def zip(self, *others: XComArg, fillvalue: Any = _NO_FILL) -> XComArg:
        """Return a list of tuples that is as long as the shortest list or, with `fillvalue`, as the longest list."""
        if fillvalue is _NO_FILL:
            return _Derived([self, *others], lambda texts: f"list(zip({', '.join(texts)}))")
        fill = current_build().writer.expression(fillvalue)
        longest = "__import__('itertools').zip_longest"
        return _Derived([self, *others], lambda texts: f"list({longest}({', '.join(texts)}, fillvalue={fill}))")

    def concat(self, *others: XComArg) -> XComArg:
        """Return the list of all elements of several lists."""
        return _Derived([self, *others], lambda texts: f"[{', '.join(f'*{each}' for each in texts)}]")


class _Derived(XComArg):
    """The list that `map`, `zip` or `concat` returns. The cell of the task that uses the list computes it."""

    def __init__(self, parts: Sequence[XComArg], write: Callable[[list[str]], str]) -> None:
        for each in parts:
            if not isinstance(each, XComArg):
                hint = "write first().zip(second())"
                raise OperatorError(f"a {type(each).__name__} is not the result of a task", hint=hint)
        super().__init__(parts[0].operator)
        self.parts = parts
        self._write = write

    def source(self, *, may_be_missing: bool) -> str:
        return self._write([each.source(may_be_missing=may_be_missing) for each in self.parts])

    def sources(self) -> Iterator[Operator]:
        for each in self.parts:
            yield from each.sources()

    def __getitem__(self, key: str) -> XComArg:
        raise OperatorError("a mapped, zipped or concatenated list has no keys", hint="map a function that chooses")

    def __str__(self) -> str:
        raise OperatorError("a mapped, zipped or concatenated list is not a text", hint="pass it to a @task")


class _Source(TaskOutput):
    """An argument that is given as Python source."""


# Methods of operators that run in the kernel of a task.
_KERNEL_METHODS = ("execute", "poke", "pre_execute", "post_execute", "choose_branch")


class TaskType(ABCMeta):
    """The metaclass of tasks. A user's class with its own `execute`, `poke` or the like gets the base `executable`."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any) -> Any:
        method = next((each for each in _KERNEL_METHODS if each in namespace), None)
        if method is None or not bases:
            return super().__new__(cls, name, bases, namespace, **keywords)
        module, _, made = str(vars(bases[0]).get("executable", "")).partition(":")
        if not made or len(bases) > 1:
            message = f"{name} changes {method} of {bases[0].__name__}, which is not supported"
            raise OperatorError(message, hint=f"write class {name}(BaseOperator) with its own execute")
        executable = getattr(import_module(f".{module}", __package__), made)
        return type(executable)(name, (executable,), namespace, **keywords)


class AirflowTask(Operator, metaclass=TaskType):
    """A task of Airflow. A subclass writes the statements of its cell."""

    own: ClassVar[frozenset[str]] = frozenset()  # keywords that only this class has
    shown_name: str = ""  # name for messages; empty means the name of the class
    mappable: ClassVar[frozenset[str]] = frozenset()  # keywords that expand accepts
    # The base class that replaces this class if a class of the user overrides `execute`, as "module:name" in this
    # package. The value is not inherited.
    executable: ClassVar[str] = ""

    def __init__(self, task_id: str | None = None, **given: Any) -> None:
        build, here = current_build(), state()
        who = self.shown_name = self.shown_name or type(self).__name__
        self.mapped: Mapping[str, Any] = given.pop("_mapped", {})
        group: TaskGroup | None = given.pop("task_group", None) or (here.groups[-1] if here.groups else None)
        given = self._with_defaults(given, group)
        _check_dag(given.pop("dag", None), given, who)
        callbacks = {name: given.pop(name) for name in sorted(CALLBACKS & given.keys())}
        self.params = dict(given.pop("params", None) or {})
        options, self.arguments = read_task(given, self.own, who, build.warn)
        if options.get("retries") and "retry_delay" not in {**(here.dag.task_defaults if here.dag else {}), **options}:
            options["retry_delay"] = RETRY_DELAY
        self.is_teardown = "teardown_for" in options
        self.multiple_outputs = bool(given.get("multiple_outputs"))
        self.id = self._free_id(task_id, group, build)
        self.rule = str(options.get("trigger", here.dag.trigger_rule if here.dag else "all_success"))
        self.options = build.read_options(options, who)
        self._scopes: list[Scope] = []
        self.pulls: set[str] = set()  # ids of tasks that this task's function or templates pull from
        name = re.sub(r"\W", "_", self.id)
        self.result = f"{name}_result"
        self.mapping = group.mapping if group is not None else None
        self._in_step: dict[str, None] = {}  # results of other tasks of the mapped group, read instance by instance
        if self.mapping is not None and self.mapped:
            message = f"{self.id} is mapped, and its group {self.mapping.group_id} is mapped too"
            raise OperatorError(message, hint="map it outside of the group, or map the group over all combinations")
        self.map_names = {each: f"{name}_{each}" for each in self.mapped}
        self.prepare(build)
        self.callbacks = written_callbacks(self, callbacks, build)
        if self.params:
            self.callbacks["params"] = written_params(self, self.params, build)
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
        known = {
            name: value for name, value in defaults.items() if name not in (OPERATORS_OWN | CUSTOM_KEYWORDS) - self.own
        }
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
        """Return an argument as source. The task renders templates in the argument, but not in results of tasks."""
        text: str = current_build().writer.expression(self._marked(value))
        return text

    def plain(self, value: Any) -> str:
        """Return an argument as source for an operator that renders the templates in its body itself."""
        for text in templates_in(value):
            self.uses(text)
        return self.unrendered(value)

    def unrendered(self, value: Any) -> str:
        """Return an argument as source; templates in it are not rendered."""
        text: str = current_build().writer.expression(self._marked(value, templates=False))
        return text

    def assigned(self, call: str) -> list[str]:
        """Return the lines that store the value of a call as the task's result."""
        if not self.result_names:
            return [call]
        if not self.multiple_outputs:
            return [f"{self.result} = {call}"]
        return [
            f"{self.result} = {call}",
            f"for _key, _value in {self.result}.items():",
            "    dag_run.ti.xcom_push(_key, _value)",
        ]

    def _marked(self, value: Any, *, templates: bool = True) -> Any:
        """Replace templates, results of tasks and parameters by the source that evaluates to them."""
        if isinstance(value, AirflowTask):
            value = XComArg(value)
        if isinstance(value, XComArg):
            return _Source(value.task, self._source_of(value))
        if isinstance(value, MappedArgument):
            if value.mapping is not self.mapping:
                message = f"{self.id} uses an element of the mapped group {value.mapping.group_id}, but is not in it"
                raise OperatorError(message, hint="return the result of a task from the group")
            return _Source(self, value.name)
        if isinstance(value, DagParam):
            return _Source(self, value.name)
        if templates and is_template(value):
            return _Source(self, f"dag_run.render({', '.join([repr(value), *self.uses(value)])})")
        if type(value) is dict:
            pairs = value.items()
            return {
                self._marked(key, templates=templates): self._marked(each, templates=templates) for key, each in pairs
            }
        if type(value) in (list, tuple, set, frozenset):
            return type(value)(self._marked(each, templates=templates) for each in value)
        return value

    def _source_of(self, value: XComArg) -> str:
        """Return the source of a result. In a mapped group, each instance gets the result for its own element."""
        missing = self.rule != "all_success"
        others = [each for each in value.sources() if isinstance(each, AirflowTask)]
        if self.mapping is None or all(each.mapping is not self.mapping for each in others):
            return value.source(may_be_missing=missing)
        if len(others) > 1 or isinstance(value, _Derived):
            message = f"{self.id} combines results inside of the mapped group {self.mapping.group_id}"
            raise OperatorError(message, hint="combine them in the function of the task")
        text = value.source(may_be_missing=missing)
        if text.startswith("dag_run.ti.xcom_pull("):
            return f"{text.removesuffix(')')}, map_indexes=dag_run.ti.map_index)"
        self._in_step[others[0].result] = None
        return text

    def uses(self, template: str) -> list[str]:
        """Return the XCom pulls of a template as source that the analysis can read. Raise `OperatorError`."""
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
            message = f"{self.id} maps a result that may be missing because of its trigger rule {self.rule}"
            raise OperatorError(message, hint="map it in a task with the rule all_success")
        text = self.written(value)
        if "dag_run.render(" in text:
            raise OperatorError("a template cannot be an element of expand", hint="compute the elements in a @task")
        may_be_dict = isinstance(value, TaskOutput) and not isinstance(value, _Derived)
        return f"{text}.items() if isinstance({text}, dict) else {text}" if may_be_dict else text

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
        """Return the Python expression that reads this task's XCom in another task's cell. Raise `OperatorError`."""
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
                build.connect(task, self.task_id)  # puts the cell of `task` before this task's cell
        if self.mapping is not None:
            self._join_group(build, direct)
        lines = self.statements(build)
        self.body = "\n".join(around(self, self.callbacks, lines, build) if self.callbacks else lines)

    def _join_group(self, build: Builder, direct: set[str]) -> None:
        """Add the options of a task in a mapped group: `map`, and `in_step` with the group's first task."""
        assert self.mapping is not None
        mine = self.mapping
        inside = [each for each in build.tasks.values() if isinstance(each, AirflowTask) and each.mapping is mine]
        ids = {str(each.id) for each in inside}
        for option, what in _NOT_IN_STEP.items():
            if self.options.get(option):
                message = f"{self.id} is {what}, which a mapped group cannot contain"
                raise OperatorError(message, hint="raise AirflowSkipException in a @task, which skips its element only")
        sources = {str(each.id) for each in tasks_in(mine.values)}
        if sources and not sources & direct and self.rule in _COUNTING_RULES:
            message = f"the trigger rule {self.rule} of {self.id} would count {join_names(sorted(sources))} as well"
            raise OperatorError(message, hint="write trigger_rule='all_done' or 'none_failed' in a mapped group")
        found = {mine.variable: mine.expression()} | {name: name for name in self._in_step}
        self.options["map"] = tuple(found.items())
        roots = (each for each in inside if not ids & {a for a, b in build.edges if b == each.id})
        lead = next(roots, self)
        if lead is not self:
            self.options["in_step"] = str(lead.id)

    # -- Airflow's other ways ------------------------------------------------------------------------------------------

    def set_upstream(self, tasks: Any, **_: Any) -> None:
        """Make this task depend on others."""
        _ = tasks >> self if isinstance(tasks, Node) else self << tasks

    def set_downstream(self, tasks: Any, **_: Any) -> None:
        """Make other tasks depend on this one."""
        _ = self >> tasks

    def as_setup(self) -> AirflowTask:
        """Make this task a setup task."""
        self.options |= current_build().read_options({"setup": True}, type(self).__name__)
        return self

    def as_teardown(self, *, setups: Any = (), on_failure_fail_dagrun: bool = False, **_: Any) -> AirflowTask:
        """Make this task the teardown of the given setup tasks, by default of the setup tasks directly upstream.

        As in Airflow, the given tasks become setup tasks.
        """
        self.is_teardown = True
        given = {"teardown_for": setups, "fail_run": on_failure_fail_dagrun}
        self.options |= current_build().read_options(given, type(self).__name__)
        for setup in setups if isinstance(setups, list | tuple | set) else [setups]:
            if isinstance(setup, AirflowTask | XComArg):
                setup.as_setup()
            _ = setup >> self
        return self

    def __enter__(self) -> AirflowTask:
        self._scopes.append(Scope(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._scopes.pop().close()

    @property
    def upstream_task_ids(self) -> set[str]:
        """Return the ids of the tasks that are directly upstream so far."""
        return {before for before, after in current_build().edges if after == self.id}

    @property
    def downstream_task_ids(self) -> set[str]:
        """Return the ids of the tasks that are directly downstream so far."""
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
    """An operator with its constant arguments; `expand` takes the mapped arguments and creates a mapped task."""

    def __init__(self, made: type[AirflowTask], given: dict[str, Any]) -> None:
        self._class = made
        self._given = given

    def expand(self, **mapped: Any) -> AirflowTask:
        """Return a task with one instance for each combination of the elements of these arguments."""
        for name in mapped:
            if name not in self._class.mappable:
                known = ", ".join(sorted(self._class.mappable)) or "none of them"
                raise OperatorError(f"expand cannot map {name} of {self._class.__name__}", hint=f"it can map {known}")
        if not mapped:
            raise OperatorError("expand maps no argument", hint="write expand(op_args=[[1], [2]])")
        return self._class(**self._given, _mapped=mapped)

    def expand_kwargs(self, kwargs: Any, **_: Any) -> AirflowTask:
        """Raise `OperatorError`."""
        raise OperatorError(f"expand_kwargs of {self._class.__name__} is not supported", hint="write expand(…)")


def _check_dag(given: Any, keywords: dict[str, Any], who: str) -> None:
    pipeline = state().dag
    if given is not None and given is not pipeline:
        raise OperatorError(f"dag={given!r} is not the DAG of this cell", hint="write dag=dag")
    for name in ("start_date", "end_date"):
        value = keywords.get(name)
        if value is not None and (pipeline is None or value != pipeline.dates.get(name)):
            raise OperatorError(f"{name} of {who} differs from that of the DAG", hint=f"write {name} in DAG(...)")
