"""Operators of the user's own: subclasses of Airflow's `BaseOperator`, whose method `execute` is the task.

    class Greet(BaseOperator):
        template_fields = ("name",)

        def __init__(self, name, **kwargs):
            super().__init__(**kwargs)
            self.name = name

        def execute(self, context):
            return f"Hello {self.name}, it is {context['ds']}"

    Greet(task_id="greet", name="{{ params.name }}", retries=2)

In a %%dag cell, the class makes a task. The task's cell makes the operator again and calls its method:

    _operator = Greet(task_id='greet', name='{{ params.name }}')
    greet_result = _operator.execute(_begun(_operator, dag_run))

So `__init__` runs in the %%dag cell and in the task's cell. Results of other tasks have values only in the task's cell.
There, templates are rendered after `__init__`, as in Airflow. Instead of `execute`, a subclass of `BaseSensorOperator`
has `poke`, and a subclass of `BaseBranchOperator` has `choose_branch`.
"""

from __future__ import annotations

import inspect
import logging
import sys
from abc import ABCMeta
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FunctionType
from typing import Any, ClassVar

from ..errors import NbdagError
from ..operators import OperatorError
from ..operators.tasks import Builder, is_building
from ..task_api.context import current
from ..templates import templates_in
from .base import AirflowTask, Partial
from .classic import SensorTask
from .keywords import CUSTOM_KEYWORDS, is_task_keyword
from .pipeline import state
from .pulls import pulled_tasks, returns_something

_OWN_MODULES = (__name__, f"{__package__}.executables")


class _Output(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to the current `sys.stdout`, because a kernel replaces that stream."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


# The logger is configured here, at import, because nbdag warns of a task that changes the settings of logging.
_logger = logging.getLogger("airflow.task")
if not _logger.handlers:
    _logger.addHandler(_Output())
    _logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s - %(message)s"))
    _logger.setLevel(logging.INFO)
    _logger.propagate = False


def _explicit(made: type) -> set[str]:
    """Return the argument names of an operator's `__init__`, and of base classes to which it passes `**kwargs`."""
    found = set[str]()
    for each in made.__mro__:
        if each is BaseOperator or "__init__" not in vars(each):
            continue
        parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
        found |= {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found - {"self"}


class OperatorType(ABCMeta):
    """The type of operator classes: a call in a %%dag cell makes a task, any other call an operator."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        if not is_building():
            return super().__call__(*args, **given)
        if args:
            message = f"the arguments of {cls.__name__} have no names"
            raise OperatorError(message, hint=f"write {cls.__name__}(task_id='load', …)")
        given = {**_defaults(cls, given), **given}
        made = super().__call__(**given)
        if not hasattr(made, "task_keywords"):
            message = f"{cls.__name__} does not pass its keywords on"
            raise OperatorError(message, hint="write super().__init__(**kwargs) in its __init__")
        texts = list(
            templates_in([getattr(made, name, None) for name in (*made.template_fields, *made.rendered_later)])
        )
        return made.task_class(cls, given, made.task_keywords, texts=texts)


class BaseOperator(metaclass=OperatorType):
    """The base of the user's operators."""

    method: ClassVar[str] = "execute"  # the method that a subclass must have
    template_fields: ClassVar[Collection[str]] = ()  # attributes whose templates are rendered before `execute`
    rendered_later: ClassVar[Collection[str]] = ()  # attributes whose templates `execute` itself renders
    template_ext: ClassVar[Collection[str]] = ()  # file endings: a value that ends so is read as a file
    task_class: ClassVar[type[CustomTask]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        CUSTOM_KEYWORDS.update(each for each in _explicit(cls) if not is_task_keyword(each))

    def __init__(self, task_id: str | None = None, **keywords: Any) -> None:
        self.task_id = task_id
        self.task_keywords = {"task_id": task_id, **keywords}

    def pre_execute(self, context: Any) -> None:
        """Called before `execute`."""

    def execute(self, context: Any) -> Any:
        """Do the work of the task, and return its result."""
        raise NotImplementedError(f"{type(self).__name__} needs a method execute(self, context)")

    def post_execute(self, context: Any, result: Any = None) -> None:
        """Called after `execute`."""

    def defer(self, *_: Any, **__: Any) -> None:
        """Raise `NbdagError`."""
        raise NbdagError("deferrable operators are not supported; wait in execute, or write a BaseSensorOperator")

    @property
    def dag_id(self) -> str:
        """Return the id of the pipeline."""
        return current().dag_id

    @property
    def log(self) -> logging.Logger:
        """Return a logger that writes to the output of the task."""
        return _logger.getChild(type(self).__name__)

    @classmethod
    def partial(cls, **given: Any) -> Partial:
        """Return a task that `expand` completes."""
        return CustomPartial(cls, given)


class BaseSensorOperator(BaseOperator):
    """The base of the user's sensors: the task waits until `poke` returns something true."""

    method = "poke"

    def poke(self, context: Any) -> Any:
        """Return whether the condition is met. If it is, the task succeeds."""
        raise NotImplementedError(f"{type(self).__name__} needs a method poke(self, context)")

    def execute(self, context: Any) -> Any:
        return self.poke(context)


class BaseBranchOperator(BaseOperator):
    """The base of the user's branches: `choose_branch` returns the id, or ids, of the tasks that follow."""

    method = "choose_branch"

    def choose_branch(self, context: Any) -> Any:
        """Return the id, or ids, of the tasks that follow."""
        raise NotImplementedError(f"{type(self).__name__} needs a method choose_branch(self, context)")

    def execute(self, context: Any) -> Any:
        return self.choose_branch(context)


def apply_defaults(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function itself. As in Airflow since 2.1, `default_args` fill arguments without this decorator."""
    return function


# -- the tasks of these operators --------------------------------------------------------------------------------------


class CustomTask(AirflowTask):
    """A task whose cell makes an operator of the user and calls its `execute`."""

    def __init__(
        self,
        made: type[BaseOperator],
        given: Mapping[str, Any],
        keywords: Mapping[str, Any],
        *,
        texts: Collection[str],
        mapped: Mapping[str, Any] | None = None,
    ) -> None:
        if getattr(made, made.method).__module__ == __name__:
            message = f"{made.__name__} has no method {made.method}"
            raise OperatorError(message, hint="write the method, or a function with @task above it")
        explicit = _explicit(made)
        self.shown_name = made.__name__
        self._made = made
        self._texts = texts
        own = {name for name in given if name not in explicit and (name in self.own or is_task_keyword(name))}
        self._given = {name: each for name, each in given.items() if name not in {*own, "task_id"}}
        super().__init__(**keywords, _mapped=mapped or {})

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        for method in _methods(self._made):
            source = build.writer.source_of(method)
            tree = None if source is None else source.node
            self.pulls |= pulled_tasks(method, tree)
            if method.__name__ in ("execute", self._made.method) and returns_something(method, tree):
                self.result_names = (self.result,)
            if method.__name__ == "on_kill":
                build.warn(
                    f"on_kill of {self.shown_name} has no effect: the processes of a task end with it", "remove it"
                )
        if self._made.execute.__module__ == _OWN_MODULES[1]:  # the user overrides only a method such as `pre_execute`
            self.result_names = (self.result,)
        self.arguments = self._given
        parts = [f"task_id={self.id!r}"]
        parts += [_argument(name, self.unrendered(each)) for name, each in self._given.items()]
        parts += [_argument(name, variable) for name, variable in self.map_names.items()]
        uses = list(dict.fromkeys(use for text in self._texts for use in self.uses(text)))
        begun = build.writer.require("begun", "nbdag.airflow")
        self._create = f"_operator = {build.writer.name(self._made)}({', '.join(parts)})"
        # The user's own method is called, because the analysis does not look into the methods of this module.
        called = "execute" if self._made.execute.__module__ != __name__ else self._made.method
        self._call = f"_operator.{called}({begun}({', '.join(['_operator', 'dag_run', *uses])}))"
        if self._made.post_execute is not BaseOperator.post_execute:
            ended = build.writer.require("ended", "nbdag.airflow")
            self._call = f"{ended}(_operator, dag_run, {self._call})"

    def statements(self, build: Builder) -> list[str]:
        return [self._create, *self.assigned(self._call)]


class CustomBranch(CustomTask):
    """The task of a user's `BaseBranchOperator`."""

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self.options |= build.read_options({"branch": True}, self.shown_name)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        return [*super().statements(build), *(self.result_names or ("_operator",))]


class CustomSensor(CustomTask, SensorTask):
    """The task of a user's `BaseSensorOperator`."""

    own = SensorTask.sensor_own

    def prepare(self, build: Builder) -> None:
        super().prepare(build)
        self.result_names = (self.result,)

    def statements(self, build: Builder) -> list[str]:
        poked = build.writer.require("poked", "nbdag.airflow")
        return [
            self._create,
            f"_poke = {poked}({self._call})",
            f"{self.result} = _poke.xcom_value",
            "bool(_poke)",
        ]


BaseOperator.task_class = CustomTask
BaseSensorOperator.task_class = CustomSensor
BaseBranchOperator.task_class = CustomBranch


class CustomPartial(Partial):
    """A user's operator with some of its arguments; `expand` takes the others."""

    def __init__(self, made: type[BaseOperator], given: dict[str, Any]) -> None:
        self._made = made
        self._arguments = given

    def expand(self, **mapped: Any) -> AirflowTask:
        """Return a task with one instance for each combination of the elements of these arguments."""
        made = self._made
        for name in mapped:
            if is_task_keyword(name):
                raise OperatorError(f"expand cannot map {name} of {made.__name__}", hint="write it in partial(…)")
        if not mapped:
            raise OperatorError("expand maps no argument", hint=f"write {made.__name__}.partial(…).expand(name=[1, 2])")
        given = {**_defaults(made, {**self._arguments, **mapped}), **self._arguments}
        own = made.task_class.own
        keywords = {name: each for name, each in given.items() if is_task_keyword(name) or name in own}
        fields = [given[name] for name in (*made.template_fields, *made.rendered_later) if name in given]
        return made.task_class(made, given, keywords, texts=list(templates_in(fields)), mapped=mapped)

    def expand_kwargs(self, kwargs: Any, **_: Any) -> AirflowTask:
        """Raise `OperatorError`."""
        raise OperatorError(f"expand_kwargs of {self._made.__name__} is not supported", hint="write expand(…)")


def _defaults(made: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that an operator gets from `default_args`."""
    here = state()
    defaults = {**(here.dag.default_args if here.dag is not None else {})}
    defaults |= here.groups[-1].default_args if here.groups else {}
    defaults |= given.get("default_args") or {}
    taken = _explicit(made) - {"task_id"}
    return {name: each for name, each in defaults.items() if name in taken and name not in given}


def _methods(made: type[BaseOperator]) -> Iterator[FunctionType]:
    """Yield the methods that the user has written, first those of the class itself, then those of its bases."""
    seen = set[str]()
    for each in made.__mro__:
        if each.__module__ in _OWN_MODULES or each is object:
            continue
        for name, method in vars(each).items():
            if isinstance(method, FunctionType) and name not in seen:
                seen.add(name)
                yield method


def _argument(name: str, source: str) -> str:
    return f"{name}={source}" if name.isidentifier() else f"**{{{name!r}: {source}}}"
