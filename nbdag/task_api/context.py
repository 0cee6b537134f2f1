"""`dag_run`, the object from which a task's code reads the attributes of the run.

    dag_run.logical_date                       # the tick of a scheduled run
    dag_run.params["alpha"]                    # parameters: defaults and the run's own values
    dag_run.ti.xcom_pull("train", key="auc")   # the value `auc` of task train; so train runs first
    dag_run.ti.xcom_push("rows", 5)            # a value for later tasks that is not a variable
    dag_run.render("s3://lake/{{ ds }}")       # a template of Airflow
    dag_run.var.value.region                   # Airflow's context: ds, ts, macros, var, conn, …
    load(**dag_run.context)                    # all of it, for a function of Airflow with **context

A live notebook has `dag_run` with default values, so a cell that uses `dag_run.logical_date` also runs there.
Code outside of the notebook, such as the code of an operator, gets the `dag_run` of the running task from `current()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from .. import secrets
from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from ..templates import is_template, macros, templates_in
from ..templates.context import NAMES as CONTEXT_NAMES
from ..templates.context import context_of
from .asset_facts import InletEvents, OutletEvents, TriggeringEvents

if TYPE_CHECKING:
    from ..templates.rendering import Slot

RETURN_VALUE = "return_value"  # Airflow's key for the result of a task
_MOMENTS = ("logical_date", "data_interval_start", "data_interval_end")


@error
class PullError(NbdagError):
    """`ti.xcom_pull` names a task whose values this task cannot get."""

    task: str
    reader: str
    known: tuple[str, ...]  # the tasks whose values the reader can get
    template = "{reader} cannot pull the values of {task!r}; {hint}"

    @property
    def hint(self) -> str:
        """The remedy, as the end of the message."""
        similar = nearest(self.task, self.known)
        if similar:
            return f"did you mean {similar!r}?"
        return f"write the task's name as a constant text, or --after {self.task} in the header of {self.reader}"


@dataclass(frozen=True, slots=True)
class PulledValues:
    """The values of one key of one task: one value, or one for each instance of a mapped task."""

    parts: tuple[Callable[[], Any], ...]  # functions, each of which loads one value
    is_list: bool = False


Found = Callable[[str, str], PulledValues | None]


class TaskInstance:
    """`ti`: the running task. `xcom_pull` and `xcom_push` exchange values with other tasks, as in Airflow."""

    def __init__(
        self,
        *,
        task_id: str,
        dag_id: str = "notebook",
        run_id: str = "interactive",
        map_index: int = -1,
        try_number: int = 1,
        max_tries: int = 0,
        found: Found | None = None,
        tasks: Iterable[str] = (),
    ) -> None:
        self.task_id = task_id
        self.dag_id = dag_id
        self.run_id = run_id
        self.map_index = map_index
        self.try_number = try_number
        self.max_tries = max_tries  # number of the last try that is retried if it fails
        self._found: Found = found or (lambda task, key: None)
        self._tasks = tuple(tasks)
        self._pushed: dict[str, Any] = {}

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        dag_id: str | None = None,
        key: str = RETURN_VALUE,
        include_prior_dates: bool = False,
        *,
        map_indexes: int | Iterable[int] | None = None,
        default: Any = None,
        **unknown: Any,
    ) -> Any:
        """Return a value of another task: its result, or with `key` one of its variables or pushed values.

        For several tasks, return a list. For a mapped task, return the list of the values of all instances, or of the
        instances with the indexes `map_indexes`. If the task was skipped or has no such value, return `default`.
        """
        if unknown:
            raise NbdagError(f"ti.xcom_pull has no argument {next(iter(unknown))!r}; use task_ids and key")
        if dag_id not in (None, self.dag_id):
            raise NbdagError(
                "ti.xcom_pull reads values of this pipeline only; use nbdag.load for values of another pipeline"
            )
        if include_prior_dates:
            raise NbdagError("ti.xcom_pull reads values of this run only; use nbdag.load for values of an earlier run")
        if task_ids is None:
            raise NbdagError("ti.xcom_pull needs the name of a task; write ti.xcom_pull('train')")
        if isinstance(task_ids, str):
            return self._pull(task_ids, key, map_indexes, default)
        return [self._pull(task, key, map_indexes, default) for task in task_ids]

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        """Store a value under a key, for `xcom_pull` of later tasks."""
        if not isinstance(key, str) or not key:
            raise NbdagError(f"the key of ti.xcom_push is {key!r}; use a text, such as 'rows'")
        self._pushed[key] = value

    @property
    def pushed(self) -> Mapping[str, Any]:
        """The values that `xcom_push` has stored in this attempt, by key."""
        return MappingProxyType(self._pushed)

    def _pull(self, task: str, key: str, map_indexes: int | Iterable[int] | None, default: Any) -> Any:
        if task == self.task_id:
            return self._pushed.get(key, default)
        if task not in self._tasks:
            raise PullError(task, self.task_id, self._tasks)
        found = self._found(task, key)
        if found is None:
            return default
        if not found.is_list:
            return found.parts[0]()
        if isinstance(map_indexes, int):
            return found.parts[map_indexes]() if 0 <= map_indexes < len(found.parts) else default
        chosen = range(len(found.parts)) if map_indexes is None else map_indexes
        return [found.parts[index]() for index in chosen]

    def __repr__(self) -> str:
        return f"<task instance {self.task_id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """The attributes of the run that is executing a task."""

    dag_id: str
    run_id: str
    logical_date: datetime  # the tick of a scheduled run, or the creation time of a manual run, with a time zone
    data_interval_start: datetime  # the tick before the logical date
    data_interval_end: datetime
    task_id: str | None = None
    map_index: int = -1  # index of a mapped task's instance, from 0; -1 for any other task
    try_number: int = 1  # number of the current try, from 1
    params: Mapping[str, Any] = field(default_factory=dict)  # the parameters: defaults, and the values of the run
    # The events of assets that started the run, the oldest first. Each event has `asset`, `at` (an ISO date), `extra`,
    # and, if a task produced the asset, `dag`, `run` and `task`.
    asset_events: Sequence[Mapping[str, Any]] = ()
    # Only the values that the user gave for this run, for example with -p.
    conf: Mapping[str, Any] = field(default_factory=dict)
    ti: TaskInstance = field(default_factory=lambda: TaskInstance(task_id="interactive"), repr=False, compare=False)
    owner: str | None = None
    # Path of the run's home; None in a live notebook.
    home: str | None = field(default=None, repr=False, compare=False)
    # Called with the name and the rendered text of each template.
    on_rendered: Callable[[str, str], None] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, context: Mapping[str, Any], **more: Any) -> Self:
        """Create the object from the context of a job. Dates may be ISO texts, and missing values get defaults.

        `more` has fields of this class that a job's context lacks. If `more` contains `params`, this object shows later
        changes of that mapping.
        """
        names = [each.name for each in fields(cls)]
        known = {name: context[name] for name in names if context.get(name) is not None}
        for name in _MOMENTS:
            if isinstance(known.get(name), str):
                known[name] = datetime.fromisoformat(known[name])
        known.setdefault("dag_id", "notebook")
        known.setdefault("run_id", "interactive")
        moment = known.setdefault("logical_date", datetime.now(UTC))
        known.setdefault("data_interval_start", moment)
        known.setdefault("data_interval_end", moment)
        known["asset_events"] = tuple(known.get("asset_events", ()))
        given = dict(known.get("params", {}))
        for name in ("params", "conf"):
            known[name] = MappingProxyType(more.pop(name, given))
        known.setdefault(
            "ti",
            TaskInstance(
                task_id=known.get("task_id", "interactive"),
                dag_id=known["dag_id"],
                run_id=known["run_id"],
                map_index=known.get("map_index", -1),
                try_number=known.get("try_number", 1),
                max_tries=context.get("max_tries", 0),
                found=more.pop("found", None),
                tasks=more.pop("tasks", ()),
            ),
        )
        return cls(**{**known, **more})

    @classmethod
    def interactive(cls, dag_id: str, params: Mapping[str, Any] | None = None, **more: Any) -> Self:
        """Create the object for the cells of a live notebook."""
        return cls.of({"dag_id": dag_id, "params": params or {}}, **more)

    @property
    def run_type(self) -> str:
        """How the run was created: scheduled, manual, backfill, asset or interactive."""
        return self.run_id.partition("__")[0]

    @property
    def ds(self) -> str:
        """The logical date, such as 2026-01-31."""
        return macros.ds(self.logical_date)

    @property
    def ds_nodash(self) -> str:
        """The logical date, such as 20260131."""
        return macros.ds_nodash(self.logical_date)

    @property
    def ts(self) -> str:
        """The logical date with its time, such as 2026-01-31T06:00:00+00:00."""
        return macros.ts(self.logical_date)

    @property
    def ts_nodash(self) -> str:
        """The logical date with its time, such as 20260131T060000."""
        return macros.ts_nodash(self.logical_date)

    @property
    def context(self) -> dict[str, Any]:
        """Airflow's context: all names that templates can use, with their values."""
        return context_of(
            self,
            ti=self.ti,
            task=SimpleNamespace(task_id=self.ti.task_id, owner=self.owner, dag_id=self.dag_id),
            dag=SimpleNamespace(dag_id=self.dag_id, owner=self.owner),
            variable=secrets.variable,
            connection=secrets.connection,
            inlet_events=InletEvents(),
            outlet_events=OutletEvents(),
            triggering_asset_events=TriggeringEvents(self.asset_events),
        )

    def __getattr__(self, name: str) -> Any:
        """Return another value of Airflow's context, such as `dag_run.var` or `dag_run.macros`."""
        if name not in CONTEXT_NAMES:
            raise AttributeError(f"dag_run has no {name!r}")
        return self.context[name]

    def replace_params(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the parameters, and return the earlier ones."""
        before = self.params
        object.__setattr__(self, "params", MappingProxyType(dict(params)))
        return before

    def render(self, value: Any, *uses: Any, what: str = "the template") -> Any:
        """Return a text, or a collection of texts, in which all templates are rendered.

        `uses` are the values that the templates pull from other tasks. They are not used here. They exist for the
        analysis, which reads code but no templates.
        """
        if next(templates_in(value), None) is None:
            return value
        from ..templates.rendering import render_nested

        made = render_nested(value, self.context, what=what)
        if self.on_rendered is not None:
            self.on_rendered(what, made if isinstance(made, str) else repr(made))
        return made

    def pieces(self, text: str, *, what: str, marks: Mapping[str, str] | None = None) -> list[str | Slot]:
        """Split a text into plain parts and a `Slot` for each template's value; record the rendered text for display.

        In the recorded text, each key of `marks` is replaced by its value.
        """
        if not is_template(text):
            return [text]
        from ..templates.rendering import render_pieces

        found = render_pieces(text, self.context, what=what)
        if self.on_rendered is not None:
            shown = "".join(map(str, found))
            for mark, name in (marks or {}).items():
                shown = shown.replace(mark, name)
            self.on_rendered(what, shown)
        return found


_now: DagRun | None = None
_of_thread = threading.local()


def current() -> DagRun:
    """Return the `dag_run` of the running task. Outside of a task, return an object with default values."""
    found: DagRun | None = getattr(_of_thread, "run", None) or _now
    return found or DagRun.interactive("notebook")


def set_current(run: DagRun | None, *, in_thread: bool = False) -> None:
    """Set the object that `current` returns, in this process or only in this thread."""
    global _now
    if in_thread:
        _of_thread.run = run
    else:
        _now = run
