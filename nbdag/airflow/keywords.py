"""Translate the keywords of Airflow's DAG and operators.

Each keyword becomes an option of nbdag, or is ignored (often with a warning), or is an error. Three tables for DAGs and
three for operators cover every keyword of Airflow 3, and those of Airflow 2 that files still use. Options of nbdag are
accepted by their own names as well. The error for an unknown keyword suggests the nearest spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, NamedTuple

from ..core.options import option_types
from ..core.options.options import OPTIONS
from ..operators import OperatorError
from .assets import AssetOrTimeSchedule, condition_of, names_of

RETRY_DELAY = 300.0  # seconds; Airflow's default, which differs from nbdag's


class Equivalent(NamedTuple):
    """The option of nbdag that a keyword sets."""

    field: str  # field of TaskOptions or DagOptions
    convert: Callable[[Any], Any] = lambda value: value


class OnlyIf(NamedTuple):
    """A keyword that is accepted only with values that change nothing."""

    values: tuple[Any, ...]
    instead: str  # what to write instead


def seconds(value: Any) -> float | None:
    """Return a duration in seconds."""
    if value is None or isinstance(value, bool):
        return None
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _backoff(value: Any) -> float | None:
    return 2.0 if value is True else float(value) if value else None


def first_line(text: Any) -> str | None:
    """Return the first line of a documentation text, without its Markdown signs."""
    lines = [line.strip(" #*_`\t") for line in str(text or "").splitlines()]
    return next((line for line in lines if line), None)


def _rule(value: Any) -> str:
    rule = str(getattr(value, "value", value))
    return _OLD_RULES.get(rule, rule)


_OLD_RULES = {"dummy": "always", "none_failed_or_skipped": "none_failed_min_one_success"}
_NOTICE = "write on_failure='…' in DAG(...), with a URL of Apprise or module:function; %dag? explains it"

# -- operators ---------------------------------------------------------------------------------------------------------

TASK_EQUIVALENTS: Mapping[str, Equivalent] = {
    "depends_on_past": Equivalent("depends_on_past", bool),
    "doc": Equivalent("doc", first_line),
    "doc_md": Equivalent("doc", first_line),
    "execution_timeout": Equivalent("timeout", seconds),
    "max_retry_delay": Equivalent("max_retry_delay", seconds),
    "inlets": Equivalent("consumes", lambda given: names_of(given) or None),
    "outlets": Equivalent("produces", lambda given: names_of(given) or None),
    "pool": Equivalent("pool"),
    "pool_slots": Equivalent("slots"),
    "priority_weight": Equivalent("priority"),
    "retries": Equivalent("retries"),
    "retry_delay": Equivalent("retry_delay", seconds),
    "retry_exponential_backoff": Equivalent("retry_backoff", _backoff),
    "sla": Equivalent("deadline", lambda given: f"+{option_types.write_duration(seconds(given) or 0)}"),
    "trigger_rule": Equivalent("trigger", _rule),
    "wait_for_downstream": Equivalent("wait_for_downstream", bool),
}

TASK_ONLY_IF: Mapping[str, OnlyIf] = {
    "email_on_failure": OnlyIf((False, None), _NOTICE),
    "email_on_retry": OnlyIf((False, None), _NOTICE.replace("on_failure", "on_retry")),
    "ignore_first_depends_on_past": OnlyIf((True, None), "remove it: the first run never waits for an earlier one"),
    "max_active_tis_per_dag": OnlyIf((None,), "write pool='…', with a pool of that many slots"),
    "max_active_tis_per_dagrun": OnlyIf((None,), "write pool='…', with a pool of that many slots"),
    "run_as_user": OnlyIf((None,), "remove it: every task runs as the user who started nbdag"),
    "task_concurrency": OnlyIf((None,), "write pool='…', with a pool of that many slots"),
    "wait_for_past_depends_before_skipping": OnlyIf((False, None), "remove it, or write depends_on_past=True"),
    "weight_rule": OnlyIf(("downstream", None), "write weight_rule='…' in DAG(...): it holds for all tasks"),
}

# Functions that a task calls with its context when it begins or ends.
CALLBACKS = frozenset(f"on_{event}_callback" for event in ("execute", "success", "failure", "retry", "skipped"))

# Keywords without an effect here, each with the reason that a warning gives.
TASK_IGNORED: Mapping[str, str] = {
    "doc_json": "nbdag shows doc and doc_md only",
    "doc_rst": "nbdag shows doc and doc_md only",
    "doc_yaml": "nbdag shows doc and doc_md only",
    "executor": "the option --executor of nbdag chooses the executor",
    "executor_config": "it configures an executor of Airflow",
    "map_index_template": "instances are numbered",
    "owner": "a pipeline has one owner, that of default_args",
    "queue": "it names workers of Airflow",
    "resources": "it configures an executor of Airflow",
    "task_display_name": "the graph shows the task's id",
}

# Keywords that are ignored without a warning, because they have no effect in Airflow 3 or can have none in nbdag.
TASK_SILENT = frozenset(
    {"allow_nested_operators", "do_xcom_push", "email", "logger_name", "multiple_outputs", "provide_context"}
    | {"start_date", "end_date", "ui_color", "ui_fgcolor"}
)

# Keywords that only some operators have. In default_args, these keywords are allowed for every operator.
OPERATORS_OWN = frozenset(
    {
        "append_env",
        "autocommit",
        "bash_command",
        "conf",
        "conn_id",
        "cwd",
        "deferrable",
        "env",
        "filepath",
        "fs_conn_id",
    }
    | {"ignore_downstream_trigger_rules", "input_nb", "kernel_name", "language_name", "logical_date", "mode", "op_args"}
    | {"op_kwargs", "output_nb", "parameters", "poke_interval", "python_callable", "skip_on_exit_code", "soft_fail"}
    | {"split_statements", "sql", "templates_dict", "timeout", "trigger_dag_id", "wait_for_completion"}
)

# Arguments of the user's own operators, which default_args may contain as well; `custom` adds them.
CUSTOM_KEYWORDS: set[str] = set()

# -- DAGs --------------------------------------------------------------------------------------------------------------

DAG_EQUIVALENTS: Mapping[str, Equivalent] = {
    "catchup": Equivalent("catchup", bool),
    "concurrency": Equivalent("max_active_tasks"),
    "dagrun_timeout": Equivalent("timeout", seconds),
    "description": Equivalent("description", first_line),
    "fail_fast": Equivalent("fail_fast", bool),
    "fail_stop": Equivalent("fail_fast", bool),
    "max_active_runs": Equivalent("max_active_runs"),
    "max_active_tasks": Equivalent("max_active_tasks"),
    "tags": Equivalent("tags", lambda tags: sorted(tags) if isinstance(tags, set) else tags),
}

DAG_ONLY_IF: Mapping[str, OnlyIf] = {
    "allowed_run_types": OnlyIf((None,), "remove it: every pipeline can be run, triggered and backfilled"),
    "access_control": OnlyIf((None, {}), "remove it: nbdag does not manage users"),
    "is_paused_upon_creation": OnlyIf((False, None), "remove it, and run `nbdag pause` after `nbdag deploy`"),
    "jinja_environment_kwargs": OnlyIf((None, {}), "remove it: templates have the default settings"),
    "max_consecutive_failed_dag_runs": OnlyIf((0, None), "remove it; `nbdag pause` pauses a pipeline"),
    "render_template_as_native_obj": OnlyIf((False, None), "pass values as op_kwargs, or read them from the context"),
    "sla_miss_callback": OnlyIf((None, []), "write on_deadline='…', with a URL of Apprise or module:function"),
    "template_searchpath": OnlyIf((None, []), "name scripts by their path from the notebook's folder"),
    "timetable": OnlyIf((None,), "write schedule='…' with a cron expression or an interval"),
    "user_defined_filters": OnlyIf((None, {}), "compute the value in a @task function"),
    "user_defined_macros": OnlyIf((None, {}), "compute the value in a @task function"),
}

DAG_IGNORED: Mapping[str, str] = {
    "dag_display_name": "the pipeline is shown by its id",
    "default_view": "it concerns Airflow's page",
    "orientation": "it concerns Airflow's page",
    "template_undefined": "an unknown name in a template is always an error",
    "owner_links": "it concerns Airflow's page",
}

DAG_SILENT = frozenset({"auto_register", "disable_bundle_versioning", "full_filepath", "rerun_with_latest_version"})

_TASK_FIELDS = {option.field: option for option in OPTIONS["task"]}
_DAG_FIELDS = {option.field: option for option in OPTIONS["dag"] if not option.is_default}


class TriggerRule(StrEnum):
    """The rules by which the outcomes of the upstream tasks decide whether a task runs."""

    ALL_SUCCESS = "all_success"
    ALL_FAILED = "all_failed"
    ALL_DONE = "all_done"
    ALL_DONE_MIN_ONE_SUCCESS = "all_done_min_one_success"
    ALL_DONE_SETUP_SUCCESS = "all_done_setup_success"
    ALL_SKIPPED = "all_skipped"
    ALWAYS = "always"
    DUMMY = "always"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    NONE_FAILED_OR_SKIPPED = "none_failed_min_one_success"
    NONE_SKIPPED = "none_skipped"
    ONE_DONE = "one_done"
    ONE_FAILED = "one_failed"
    ONE_SUCCESS = "one_success"


class WeightRule(StrEnum):
    """The rules that add the priorities of downstream, of upstream or of no other tasks to a task's priority."""

    ABSOLUTE = "absolute"
    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"


Warn = Callable[[str, str], None]  # arguments: message, hint


class Reading(NamedTuple):
    """The keywords of one operator or DAG, divided into options and others."""

    options: dict[str, Any]  # key: field of TaskOptions or DagOptions; value: not yet checked
    rest: dict[str, Any]  # the keywords that the caller itself understands


def is_task_keyword(name: str) -> bool:
    """Return whether all operators have this keyword."""
    tables = (TASK_EQUIVALENTS, TASK_ONLY_IF, TASK_IGNORED, TASK_SILENT, _TASK_FIELDS, CALLBACKS)
    return name in ("task_id", "dag", "task_group", "default_args", "params") or any(name in table for table in tables)


def read_task(keywords: Mapping[str, Any], own: Iterable[str], who: str, warn: Warn) -> Reading:
    """Divide the keywords of an operator into options and others.

    The operator itself understands the keywords in `own`. Raise `OperatorError`.
    """
    tables = (TASK_EQUIVALENTS, TASK_ONLY_IF, TASK_IGNORED, TASK_SILENT, frozenset(_TASK_FIELDS) - {"operator"})
    if keywords.get("email"):
        # As in Airflow, `email` without other keywords asks for mail after a failure and before a retry.
        keywords = {"email_on_failure": True, "email_on_retry": True, **keywords}
    return _read(keywords, frozenset(own), who, warn, *tables)


def read_dag(keywords: Mapping[str, Any], own: Iterable[str], warn: Warn) -> Reading:
    """Divide the keywords of a DAG into options and others. Raise `OperatorError`."""
    tables = (DAG_EQUIVALENTS, DAG_ONLY_IF, DAG_IGNORED, DAG_SILENT, frozenset(_DAG_FIELDS))
    return _read(keywords, frozenset(own), "DAG", warn, *tables)


def _read(
    keywords: Mapping[str, Any],
    own: frozenset[str],
    who: str,
    warn: Warn,
    equivalents: Mapping[str, Equivalent],
    only_if: Mapping[str, OnlyIf],
    ignored: Mapping[str, str],
    silent: frozenset[str],
    fields: frozenset[str],
) -> Reading:
    reading = Reading({}, {})
    for name, value in keywords.items():
        if name in own:
            reading.rest[name] = value
        elif name in equivalents:
            found = equivalents[name]
            if value is None:
                continue
            try:
                reading.options[found.field] = found.convert(value)
            except (TypeError, ValueError):
                raise OperatorError(f"{name}={value!r} has a wrong type for {who}", hint=f"see {name} there") from None
        elif name in only_if:
            if not any(value is each or (type(value) is type(each) and value == each) for each in only_if[name].values):
                raise OperatorError(f"{name}={_short(value)} of {who} is not supported", hint=only_if[name].instead)
        elif name in ignored:
            if value is not None:
                warn(f"{name} of {who} has no effect: {ignored[name]}", f"remove {name}")
        elif name in fields:
            reading.options[name] = value
        elif name not in silent:
            known = {*own, *equivalents, *only_if, *ignored, *silent, *fields}
            near = option_types.nearest(name, known)
            hint = f"did you mean {near}?" if near else f"remove it: {who} has no such keyword here"
            raise OperatorError(f"unknown keyword {name} for {who}", hint=hint)
    return reading


def _short(value: Any) -> str:
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


# -- schedules and dates -----------------------------------------------------------------------------------------------

_PRESETS = {"@midnight": "@daily", "@annually": "@yearly"}


def schedule_of(value: Any) -> str | None:
    """Return the schedule of a pipeline for Airflow's `schedule` or `schedule_interval`. Raise `OperatorError`."""
    if value is None or value == "@none":
        return None
    if isinstance(value, str):
        return _PRESETS.get(value, value)
    if (condition := condition_of(value)) is not None:
        return f"on {condition.text()}"
    if isinstance(value, AssetOrTimeSchedule):
        return f"on {value.condition.text()} or at {schedule_of(value.timetable)}"
    if isinstance(value, timedelta):
        return f"every {option_types.write_duration(value.total_seconds())}"
    expression = getattr(value, "_expression", None) or getattr(value, "cron", None)
    if isinstance(expression, str):  # one of the timetables below
        return expression
    kind = type(value).__name__
    hint = "write a cron expression, a preset such as '@daily', timedelta(hours=1), [Asset('orders')], or None"
    raise OperatorError(f"schedule is a {kind}, which is not supported", hint=hint)


class CronTriggerTimetable:
    """A schedule by a cron expression in a time zone; `schedule='0 6 * * *'` is the same in UTC."""

    def __init__(self, cron: str, *, timezone: str | tzinfo = "UTC", interval: Any = None, **keywords: Any) -> None:
        if keywords or interval not in (None, timedelta()):
            raise OperatorError("only cron and timezone of a timetable are supported", hint="remove the others")
        self.cron = cron
        self.timezone = timezone


def zone_of(value: Any) -> str | None:
    """Return the IANA name of a time zone, or of the time zone of a date. Return None if it has no such name."""
    zone = value.tzinfo if isinstance(value, datetime) else value
    if zone is None or isinstance(zone, str):
        return zone
    name = getattr(zone, "key", None) or getattr(zone, "name", None)
    if isinstance(name, str):
        return "UTC" if name in ("Z", "+00:00") else name
    return "UTC" if zone.utcoffset(datetime(2026, 1, 1)) == timedelta() else None


def date_of(value: Any, name: str) -> str | None:
    """Return a start or end date as a text for the header of %dag. Raise `OperatorError`."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        raise OperatorError(f"{name} is a {type(value).__name__}, not a date", hint="write datetime(2026, 1, 31)")
    # A plain datetime, because a subclass such as pendulum's has a different text form.
    moment = datetime(*value.timetuple()[:6], value.microsecond)
    offset = value.utcoffset()
    if offset is None or zone_of(value) is not None:
        return moment.isoformat()
    return f"{moment.isoformat()}{_offset(offset)}"


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
