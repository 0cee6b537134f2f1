"""What a header can say of a task, and of the whole DAG.

Durations are seconds. A default here is what holds when neither the task's header nor `%dag` says otherwise. Each
field is declared once, with how its value reads and what it means: `core.header` parses and writes headers by it, and
the help and the completion are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from . import option_types
from .option_types import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a header, as a person writes it."""

    flag: str  # such as retry-delay, without the dashes
    field: str  # of TaskOptions or DagOptions
    kind: Kind
    help: str
    group: str  # heading in the help
    is_default: bool = False  # on %dag, and about its tasks


def _told(kind: Kind, group: str, help: str, *, own: bool = False) -> Mapping[str, Any]:
    """That a header can set a field. `own`: it is about one task, so `%dag` cannot give it to all."""
    return {"kind": kind, "group": group, "help": help, "own": own}


_ORDER, _ATTEMPTS, _PLACE = "Order", "Attempts (headless runs)", "Place in the queue (headless runs)"
_CONDITIONS, _VALUES, _MAPPING, _ABOUT = "Conditions", "Values", "Mapping (headless runs)", "About it"
_SENSOR = "Sensors (headless runs)"
_SCHEDULE, _LIMITS, _NOTICES = "Schedule (headless runs)", "Runs and limits (headless runs)", "Notices (headless runs)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What one task was told, after `%dag`'s defaults have been applied."""

    after: tuple[str, ...] = field(
        default=(),
        metadata=_told(option_types.TASKS, _ORDER, "tasks that come first, though no variable shows it", own=True),
    )
    trigger: str = field(
        default="all_success",
        metadata=_told(
            option_types.TRIGGER,
            _ORDER,
            "which outcomes of the tasks before it let it run; default all_success (there are no setup tasks, so "
            "all_done_setup_success is all_done)",
        ),
    )
    depends_on_past: bool = field(
        default=False,
        metadata=_told(
            option_types.FLAG, _ORDER, "waits until this task succeeded, or was skipped, in the scheduled run before"
        ),
    )
    wait_for_downstream: bool = field(
        default=False,
        metadata=_told(
            option_types.FLAG, _ORDER, "waits until the tasks right after it are done too, in the run before"
        ),
    )
    when: str | None = field(
        default=None, metadata=_told(option_types.CONDITION, _CONDITIONS, "false: the task is skipped")
    )
    short_circuit: bool = field(
        default=False,
        metadata=_told(
            option_types.FLAG, _CONDITIONS, "a false --when skips every task below it, whatever its trigger rule"
        ),
    )
    check: tuple[str, ...] = field(
        default=(),
        metadata=_told(
            option_types.EXPRESSIONS,
            _CONDITIONS,
            "must hold after the cell has run, and what it names is kept; false: the task fails, without a retry",
        ),
    )
    retries: int = field(
        default=0, metadata=_told(option_types.whole(0), _ATTEMPTS, "tries after the first; default 0")
    )
    retry_delay: float = field(
        default=30.0,
        metadata=_told(
            option_types.DURATION, _ATTEMPTS, "wait before the first retry; default 30s (Airflow's is 300s)"
        ),
    )
    retry_backoff: float | None = field(
        default=None,
        metadata=_told(
            option_types.FACTOR, _ATTEMPTS, "how much longer each further wait is, such as 2; none keeps it constant"
        ),
    )
    max_retry_delay: float = field(
        default=86_400.0, metadata=_told(option_types.DURATION, _ATTEMPTS, "the longest wait; default 1d")
    )
    timeout: float | None = field(
        default=None,
        metadata=_told(
            option_types.TIMEOUT, _ATTEMPTS, "how long one try may take; then it and all its processes are ended"
        ),
    )
    cache: bool = field(
        default=False,
        metadata=_told(
            option_types.FLAG,
            _ATTEMPTS,
            "does not run where an earlier run had the same code, inputs, parameters and modules, but takes its "
            "outcome; files, services, the environment and the time are not looked at",
        ),
    )
    priority: int = field(
        default=1,
        metadata=_told(
            option_types.whole(), _PLACE, "a higher number goes first among those that are ready; default 1"
        ),
    )
    pool: str = field(
        default="default_pool", metadata=_told(option_types.NAME, _PLACE, "whose slots it takes; default default_pool")
    )
    slots: int = field(
        default=1, metadata=_told(option_types.whole(1), _PLACE, "how many of the pool's slots; default 1")
    )
    operator: str = field(
        default="python",
        metadata=_told(option_types.OPERATOR, _VALUES, "what the cell is written in: python, bash, sensor, yours"),
    )
    out: tuple[str, ...] = field(
        default=(), metadata=_told(option_types.VARIABLES, _VALUES, "names to pass on as well", own=True)
    )
    change: tuple[str, ...] = field(
        default=(),
        metadata=_told(
            option_types.VARIABLES, _VALUES, "names changed in place, though the code does not show it", own=True
        ),
    )
    map: tuple[tuple[str, str], ...] = field(
        default=(),
        metadata=_told(
            option_types.MAPS, _MAPPING, "one instance for each x of EXPR; several: for each combination", own=True
        ),
    )
    zip: bool = field(
        default=False,
        metadata=_told(
            option_types.FLAG, _MAPPING, "several maps go in step rather than in all combinations", own=True
        ),
    )
    max_map_length: int = field(
        default=1024, metadata=_told(option_types.whole(1), _MAPPING, "more instances than this fail; default 1024")
    )
    poke: float = field(
        default=60.0,
        metadata=_told(option_types.POSITIVE_DURATION, _SENSOR, "time between two looks of a sensor; default 60s"),
    )
    reschedule: bool = field(
        default=False, metadata=_told(option_types.FLAG, _SENSOR, "a sensor gives its slot back between two looks")
    )
    doc: str | None = field(
        default=None, metadata=_told(option_types.TEXT, _ABOUT, "a sentence about the task", own=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DagOptions:
    """What `%dag` says of the whole pipeline."""

    schedule: str | None = field(
        default=None,
        metadata=_told(
            option_types.SCHEDULE, _SCHEDULE, "cron, @daily and its like, 'every 15m', @once; none: on demand only"
        ),
    )
    start_date: datetime | None = field(
        default=None, metadata=_told(option_types.DATE, _SCHEDULE, "no tick before this; in --tz")
    )  # aware, in `tz`, once `header.dag_options` has resolved it
    end_date: datetime | None = field(
        default=None, metadata=_told(option_types.DATE, _SCHEDULE, "no tick after this; in --tz")
    )  # aware, inclusive
    tz: str = field(
        default="UTC", metadata=_told(option_types.ZONE, _SCHEDULE, "time zone of schedule and dates; default UTC")
    )
    catchup: bool = field(
        default=False,
        metadata=_told(option_types.FLAG, _SCHEDULE, "runs every tick since --start-date, not only the last"),
    )
    max_active_runs: int = field(
        default=16, metadata=_told(option_types.whole(1), _LIMITS, "runs at the same time; default 16")
    )
    max_active_tasks: int = field(
        default=16, metadata=_told(option_types.whole(1), _LIMITS, "tasks of a run at the same time; default 16")
    )
    timeout: float | None = field(
        default=None, metadata=_told(option_types.TIMEOUT, _LIMITS, "how long a whole run may take")
    )
    fail_fast: bool = field(
        default=False, metadata=_told(option_types.FLAG, _LIMITS, "the first task that fails ends the run")
    )
    weight_rule: str = field(
        default="downstream",
        metadata=_told(option_types.WEIGHT, _LIMITS, "how priorities add up along the graph; default downstream"),
    )
    infer: bool = field(
        default=True,
        metadata=_told(option_types.FLAG, _LIMITS, "tasks follow what --after and %edges say, whatever they read"),
    )
    owner: str | None = field(default=None, metadata=_told(option_types.TEXT, _ABOUT, "who answers for it"))
    tags: tuple[str, ...] = field(default=(), metadata=_told(option_types.TAGS, _ABOUT, "words to find it by"))
    description: str | None = field(
        default=None, metadata=_told(option_types.TEXT, _ABOUT, "a sentence about the pipeline")
    )
    on_failure: tuple[str, ...] = field(
        default=(), metadata=_told(option_types.TEXTS, _NOTICES, "whom to tell when a run fails: an apprise URL")
    )
    on_success: tuple[str, ...] = field(
        default=(), metadata=_told(option_types.TEXTS, _NOTICES, "whom to tell when a run succeeds")
    )
    on_retry: tuple[str, ...] = field(
        default=(), metadata=_told(option_types.TEXTS, _NOTICES, "whom to tell when a task is tried again")
    )
    defaults: Mapping[str, Any] = field(default_factory=dict)  # task options by field name: Airflow's default_args


def _options(of: type, *, as_defaults: bool = False, taken: frozenset[str] = frozenset()) -> tuple[Option, ...]:
    declared = [(each.name, each.metadata) for each in fields(of) if each.metadata]
    return tuple(
        Option(
            flag=("task-" if name in taken else "") + name.replace("_", "-"),
            field=name,
            kind=told["kind"],
            help=told["help"],
            group=told["group"],
            is_default=as_defaults,
        )
        for name, told in declared
        if not (as_defaults and told["own"])
    )


_DAG = _options(DagOptions)

# By kind of header, the options that it takes, in the order in which they are written. On %dag a task's option stands
# for the default of all tasks; one that a DAG has too (timeout) is written with task- before it.
OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "task": _options(TaskOptions),
    "dag": _DAG + _options(TaskOptions, as_defaults=True, taken=frozenset(option.field for option in _DAG)),
}
