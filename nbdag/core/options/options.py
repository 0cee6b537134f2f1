"""The options of a task and of a whole DAG.

Durations are in seconds. The default of a field applies if neither the task's header nor `%dag` sets the option.
The module `declaration` explains how an option is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import option_types
from .declaration import Option, dag_option, option, options_of

_ORDER, _ATTEMPTS, _QUEUE = "Order", "Attempts (headless runs)", "Place in the queue (headless runs)"
_CONDITIONS, _VALUES, _MAPPING, _DESCRIPTION = "Conditions", "Values", "Mapping (headless runs)", "Description"
_SENSOR, _AROUND = "Sensors (headless runs)", "Setup and teardown (headless runs)"
_DEADLINE = "Deadline (headless runs)"
_ASSETS = "Assets (headless runs)"
_APPROVAL = "Approval by a person (headless runs)"
_VERSION = "Deployed version (headless runs)"
_SCHEDULE, _LIMITS, _NOTICES = (
    "Schedule (headless runs)",
    "Runs and limits (headless runs)",
    "Notifications (headless runs)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of one task, including the defaults from `%dag`."""

    after: tuple[str, ...] = option(
        (),
        option_types.TASKS,
        _ORDER,
        "tasks that run first, in addition to those whose variables it reads",
        affects_result=False,
        per_task=True,
    )
    edge_label: tuple[tuple[str, str], ...] = option(
        (),
        option_types.EDGE_LABELS,
        _ORDER,
        "tasks that run first, as with --after; the graph shows the text beside the edge, such as check='no errors'",
        affects_result=False,
        per_task=True,
    )
    trigger: str = option(
        "all_success",
        option_types.TRIGGER,
        _ORDER,
        "outcomes of the upstream tasks with which the task runs; default all_success",
        affects_result=False,
    )
    depends_on_past: bool = option(
        False,
        option_types.FLAG,
        _ORDER,
        "wait until this task succeeded or was skipped in the previous scheduled run",
        affects_result=False,
    )
    wait_for_downstream: bool = option(
        False,
        option_types.FLAG,
        _ORDER,
        "also wait for its direct downstream tasks in the previous scheduled run",
        affects_result=False,
    )
    when: str | None = option(
        None, option_types.CONDITION, _CONDITIONS, "skip the task if this is false", affects_result=True
    )
    short_circuit: bool = option(
        False,
        option_types.FLAG,
        _CONDITIONS,
        "skip every task downstream, whatever its trigger rule, if --when is false or, without --when, if the last "
        "expression of the cell is false",
        affects_result=False,
        per_task=True,
    )
    branch: bool = option(
        False,
        option_types.FLAG,
        _CONDITIONS,
        "the last expression names the tasks or groups that follow (a text, a list or None); skip all other direct "
        "downstream tasks",
        affects_result=False,
        per_task=True,
    )
    check: tuple[str, ...] = option(
        (),
        option_types.EXPRESSIONS,
        _CONDITIONS,
        "fail the task without a retry if this is false after the cell; store the variables that it reads",
        affects_result=True,
    )
    setup: bool = option(
        False,
        option_types.FLAG,
        _AROUND,
        "this task prepares a resource; tasks that use it do not run if this task fails, whatever their trigger rules",
        affects_result=False,
        per_task=True,
    )
    teardown_for: tuple[str, ...] = option(
        (),
        option_types.TASKS,
        _AROUND,
        "setup tasks whose resources this task releases: it runs if one of them has succeeded, after all tasks above "
        "that depend on them have ended, with any outcome (with --after: after the named tasks); it does not run if "
        "the run is cancelled or times out",
        affects_result=False,
        per_task=True,
    )
    fail_run: bool = option(
        False,
        option_types.FLAG,
        _AROUND,
        "fail the run if this teardown fails",
        affects_result=False,
        per_task=True,
    )
    retries: int = option(
        0, option_types.integer(0), _ATTEMPTS, "tries after the first; default 0", affects_result=False
    )
    retry_delay: float = option(
        30.0,
        option_types.DURATION,
        _ATTEMPTS,
        "wait before the first retry; default 30s (Airflow: 300s)",
        affects_result=False,
    )
    retry_backoff: float | None = option(
        None,
        option_types.FACTOR,
        _ATTEMPTS,
        "multiply the wait by this after each retry, such as 2; default none (constant wait)",
        affects_result=False,
    )
    max_retry_delay: float = option(
        86_400.0, option_types.DURATION, _ATTEMPTS, "longest wait before a retry; default 1d", affects_result=False
    )
    retry_on: tuple[str, ...] = option(
        (),
        option_types.ERRORS,
        _ATTEMPTS,
        "retry only after these errors or their subclasses, such as ConnectionError or requests.HTTPError; "
        "exceeding --timeout counts as TimeoutError, the death of the kernel as KernelDied; default all errors",
        affects_result=False,
    )
    retry_if: str | None = option(
        None,
        option_types.CONDITION,
        _ATTEMPTS,
        "retry only if this is true; `error` is the exception of the cell",
        affects_result=False,
    )
    timeout: float | None = option(
        None,
        option_types.TIMEOUT,
        _ATTEMPTS,
        "time limit of one try, after which its processes are killed and the try fails; default none",
        affects_result=False,
    )
    approve: str | None = option(
        None,
        option_types.QUESTION,
        _APPROVAL,
        "ask a person before the cell runs, such as 'Ship {accuracy:.1%}?'; the task waits, without a process, for "
        "`nbdag approve`; the answer no skips it",
        affects_result=False,
        per_task=True,
    )
    approve_timeout: float | None = option(
        None,
        option_types.TIMEOUT,
        _APPROVAL,
        "fail the task if nobody has answered after this time; default none",
        affects_result=False,
    )
    approvers: tuple[str, ...] = option(
        (),
        option_types.TAGS,
        _APPROVAL,
        "users who may answer; default everybody who may use this home",
        affects_result=False,
    )
    cache: bool = option(
        False,
        option_types.FLAG,
        _ATTEMPTS,
        "reuse the result of an earlier run with the same code, inputs, parameters and modules; changes of files, "
        "services, the environment and the time are not detected",
        affects_result=False,
    )
    priority: int = option(
        1,
        option_types.integer(),
        _QUEUE,
        "of the ready tasks, higher numbers start first; default 1",
        affects_result=False,
    )
    pool: str = option(
        "default_pool",
        option_types.NAME,
        _QUEUE,
        "pool from which the task takes its slots; default default_pool",
        affects_result=False,
    )
    slots: int = option(
        1, option_types.integer(1), _QUEUE, "slots that the task occupies in its pool; default 1", affects_result=False
    )
    resources: tuple[tuple[str, float], ...] = option(
        (),
        option_types.RESOURCES,
        _QUEUE,
        "resources that the task needs, such as gpu=1 memory=8GB; the task waits until they are free. Each host offers "
        "its cpu, its memory, and the resources that NBDAG_RESOURCES or the Dask worker declares",
        affects_result=False,
    )
    operator: str = option(
        "python",
        option_types.OPERATOR,
        _VALUES,
        "type of the cell, see below; default python",
        affects_result=True,
    )
    out: tuple[str, ...] = option(
        (),
        option_types.VARIABLES,
        _VALUES,
        "variables to store as well, besides those that later tasks read",
        affects_result=True,
        per_task=True,
    )
    change: tuple[str, ...] = option(
        (),
        option_types.VARIABLES,
        _VALUES,
        "variables that the cell changes in place, although its code shows no change",
        affects_result=True,
        per_task=True,
    )
    metric: tuple[str, ...] = option(
        (),
        option_types.VARIABLES,
        _VALUES,
        "variables of the cell whose numbers are kept for each run, such as accuracy; `nbdag metrics` and the charts "
        "show them; other outputs that are one number are kept, too",
        affects_result=False,
        per_task=True,
    )
    map: tuple[tuple[str, str], ...] = option(
        (),
        option_types.MAPS,
        _MAPPING,
        "one instance for each element x of EXPR; with several, one for each combination",
        affects_result=True,
        per_task=True,
    )
    zip: bool = option(
        False,
        option_types.FLAG,
        _MAPPING,
        "pair the elements of several maps, instead of all combinations",
        affects_result=True,
        per_task=True,
    )
    in_step: str | None = option(
        None,
        option_types.NAME,
        _MAPPING,
        "instance n waits only for instance n of this mapped task, and of others in step with it",
        affects_result=True,
        per_task=True,
    )
    max_map_length: int = option(
        1024,
        option_types.integer(1),
        _MAPPING,
        "fail when there are more instances than this; default 1024",
        affects_result=False,
    )
    deadline: str | None = option(
        None,
        option_types.DEADLINE,
        _DEADLINE,
        "notify the recipients of %dag --on-deadline if the task has not ended at a time of day, such as 08:00, or "
        "some time after the run was due, such as +2h; the task continues",
        affects_result=False,
        per_task=True,
    )
    poke: float = option(
        60.0, option_types.POSITIVE_DURATION, _SENSOR, "time between two polls; default 60s", affects_result=False
    )
    reschedule: bool = option(
        False, option_types.FLAG, _SENSOR, "free the slot between two polls", affects_result=False
    )
    soft_fail: bool = option(
        False,
        option_types.FLAG,
        _SENSOR,
        "skip the task, instead of failing it, if its --timeout passes or its cell raises nbdag.Fail",
        affects_result=False,
    )
    produces: tuple[str, ...] = option(
        (),
        option_types.ASSETS,
        _ASSETS,
        "assets, such as s3://lake/orders, that have a new version when the task succeeds; starts the pipelines whose "
        "--schedule names them (a result that --cache reuses creates no version)",
        affects_result=False,
        per_task=True,
    )
    consumes: tuple[str, ...] = option(
        (),
        option_types.ASSETS,
        _ASSETS,
        "assets that the task reads: `nbdag assets` and the page show who uses them; starts nothing",
        affects_result=False,
        per_task=True,
    )
    doc: str | None = option(
        None, option_types.TEXT, _DESCRIPTION, "one sentence about the task", affects_result=False, per_task=True
    )
    # The options of the task's operator (core.options.operator_options) that the header sets, as (field, value).
    operator_options: tuple[tuple[str, Any], ...] = ()

    @property
    def declared_after(self) -> tuple[str, ...]:
        """Return the tasks and groups that --after and --edge-label name."""
        return tuple(dict.fromkeys((*self.after, *(name for name, _ in self.edge_label))))

    @property
    def paired(self) -> bool:
        """Return whether several --map options create one instance per position, not one per combination."""
        return self.zip or self.in_step is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DagOptions:
    """The options of the whole pipeline, set by `%dag`."""

    schedule: str | None = dag_option(
        None,
        option_types.SCHEDULE,
        _SCHEDULE,
        "cron expression, preset such as @daily or @once, 'every 15m', 'on s3://lake/orders' (also with and, or, "
        "or at 06:00), 'after OTHER_DAG'; default none (runs only on request)",
    )
    # `header.dag_options` returns aware dates, in the time zone `tz`.
    start_date: datetime | None = dag_option(  # noqa: RUF009  # it returns a field
        None, option_types.DATE, _SCHEDULE, "first date of the schedule; in the time zone of --tz"
    )
    # `end_date` has a time zone, as `start_date` has. A tick on the end date itself still creates a run.
    end_date: datetime | None = dag_option(  # noqa: RUF009  # it returns a field
        None, option_types.DATE, _SCHEDULE, "last date of the schedule; in the time zone of --tz"
    )
    tz: str = dag_option("UTC", option_types.ZONE, _SCHEDULE, "time zone of the schedule and dates; default UTC")
    catchup: bool = dag_option(
        False, option_types.FLAG, _SCHEDULE, "run every missed tick since --start-date, not only the last"
    )
    max_active_runs: int = dag_option(16, option_types.integer(1), _LIMITS, "most runs at the same time; default 16")
    max_active_tasks: int = dag_option(
        16, option_types.integer(1), _LIMITS, "most tasks of one run at the same time; default 16"
    )
    timeout: float | None = dag_option(None, option_types.TIMEOUT, _LIMITS, "time limit of a whole run; default none")
    deadline: str | None = dag_option(
        None,
        option_types.DEADLINE,
        _LIMITS,
        "notify the recipients of --on-deadline if a run has not ended at a time of day, such as 08:00, or some "
        "time after it was due, such as +2h; the run continues",
    )
    fail_fast: bool = dag_option(False, option_types.FLAG, _LIMITS, "fail the whole run as soon as one task fails")
    weight_rule: str = dag_option(
        "downstream",
        option_types.WEIGHT,
        _LIMITS,
        "priorities that count for a task: its own, and those of all tasks downstream or upstream; with absolute, its "
        "own only; default downstream",
    )
    infer: bool = dag_option(
        True, option_types.FLAG, _LIMITS, "order tasks only by --after and %edges, not by the variables they read"
    )
    owner: str | None = dag_option(None, option_types.TEXT, _DESCRIPTION, "person or team in charge of the pipeline")
    tags: tuple[str, ...] = dag_option((), option_types.TAGS, _DESCRIPTION, "labels by which lists can be filtered")
    description: str | None = dag_option(None, option_types.TEXT, _DESCRIPTION, "one sentence about the pipeline")
    with_: tuple[str, ...] = dag_option(
        (),
        option_types.PATHS,
        _VERSION,
        "files and folders beside the notebook, such as lib/ sql/*.sql, that are pinned with it when it is deployed "
        "or exported to Airflow; the tasks of that version use the pinned copies",
    )
    requires: tuple[str, ...] = dag_option(
        (),
        option_types.REQUIREMENTS,
        _VERSION,
        "packages, such as 'pandas==3.1', or a lock file beside the notebook; uv creates an environment with them "
        "once on each host, and tasks run in it; default: the environment of the notebook's kernel",
    )
    on_failure: tuple[str, ...] = dag_option(
        (), option_types.TEXTS, _NOTICES, "Apprise URLs to notify when a run fails", recipients=True
    )
    on_success: tuple[str, ...] = dag_option(
        (), option_types.TEXTS, _NOTICES, "Apprise URLs to notify when a run succeeds", recipients=True
    )
    on_approval: tuple[str, ...] = dag_option(
        (), option_types.TEXTS, _NOTICES, "Apprise URLs to notify when a task asks for approval", recipients=True
    )
    on_retry: tuple[str, ...] = dag_option(
        (), option_types.TEXTS, _NOTICES, "Apprise URLs to notify when a task is retried", recipients=True
    )
    on_deadline: tuple[str, ...] = dag_option(
        (),
        option_types.TEXTS,
        _NOTICES,
        "Apprise URLs to notify when a --deadline is missed; default those of --on-failure",
        recipients=True,
    )
    attach: str | None = dag_option(
        None, option_types.ATTACHMENT, _NOTICES, "attach the report so far to each notification: html; default none"
    )
    # Defaults for all tasks, as in Airflow's default_args; key: the name of a field of TaskOptions.
    defaults: Mapping[str, Any] = field(default_factory=dict)


_TASK, _DAG = options_of(TaskOptions), options_of(DagOptions)

# The options of each kind of header, in the order in which `header.format` writes them. %dag accepts the options of
# tasks as defaults for all tasks. The default of timeout is set by --task-timeout, since the DAG has its own --timeout.
OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "task": _TASK,
    "dag": _DAG + options_of(TaskOptions, as_defaults=True, taken=frozenset(each.field for each in _DAG)),
}

# Fields of TaskOptions on which the values or the outcome of a task may depend.
RESULT_OPTIONS: tuple[str, ...] = (*(each.field for each in _TASK if each.affects_result), "operator_options")

# Fields of TaskOptions whose values are Python expressions. They can read the same names as the task's cell.
EXPRESSION_OPTIONS: tuple[str, ...] = tuple(each.field for each in _TASK if each.kind.expression)
