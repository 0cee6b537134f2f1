"""The tables of the database.

All instants are seconds since the epoch, in UTC; all durations are seconds. JSON is stored as text in both kinds of
database. A run refers to the notebook version with which it was created, never to a file.

A new database is created from these tables and stamped with `HEAD`; the migrations upgrade an older database. A test
checks that both ways produce the same schema. A change of a table needs a migration, a new `HEAD`, and a field in
`rows`.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
    true,
)

from ..core.model.states import RunState, TaskState

HEAD = "0019"  # revision of the newest migration

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[Any]):
    """Stores plain data as JSON text, and None as NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Convert data into JSON text; any type of mapping is accepted."""
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Convert a text back into data."""
        return None if value is None else json.loads(value)


class JsonTuple(Json):
    """Stores a tuple as a JSON list, and None as NULL."""

    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Convert a text back into a tuple."""
        return None if value is None else tuple(json.loads(value))


class JsonMapping(Json):
    """Stores a mapping as a JSON object, and an empty mapping as NULL."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Convert a mapping into text."""
        return super().process_bind_param(value or None, dialect)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Convert a text back into a mapping."""
        return {} if value is None else json.loads(value)


class State(TypeDecorator[StrEnum]):
    """Stores a state as its name."""

    impl = String
    cache_ok = True

    def __init__(self, states: type[StrEnum], length: int) -> None:
        super().__init__(length)
        self.states = states
        self._by_word = {state.value: state for state in states}

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Convert a name back into a state."""
        return None if value is None else self._by_word[value]


class NotANumberAsNull(TypeDecorator[float]):
    """Stores a float, and NaN as NULL, because SQLite has no NaN."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        """Convert NaN into NULL."""
        return None if value is None or math.isnan(value) else value

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        """Convert NULL into NaN."""
        return math.nan if value is None else value


Id = String(250)
# SQLite generates ids only for a column of the type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

dags = Table(
    "dags",
    metadata,
    Column("id", Id, primary_key=True),
    # All columns below describe the deployment, and are NULL for a DAG that was never deployed.
    Column("digest", String(64)),  # digest of the notebook version that new runs use; NULL: the DAG is not deployed
    Column("source", String(64)),  # digest of the notebook's file; NULL: the same as `digest`
    Column("path", Text),  # the notebook's file at the time of the deployment
    Column("cwd", Text),  # working directory of the tasks
    Column("deployed", Double),  # time at which the schedule became active
    Column("schedule", Text),
    Column("tz", Text),
    Column("start_date", Double),
    Column("end_date", Double),
    Column("catchup", Boolean, nullable=False, server_default=false()),
    Column("fail_fast", Boolean, nullable=False, server_default=false()),
    Column("max_active_runs", Integer),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("last_date", Double),  # logical date of the last scheduled run
    # Events of assets before this time start no run; NULL: the schedule waits for no asset.
    Column("events_since", Double),
    Column("next_date", Double, index=True),  # earliest time at which the next run may be due; NULL: no run will be due
    Column("owner", Text),
    Column("tags", JsonTuple),  # NULL: the notebook was deployed by an nbdag that did not record tags
    Column("description", Text),
)

versions = Table(
    "versions",
    metadata,
    Column("dag_id", Id, ForeignKey("dags.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),  # digest of the pinned notebook
    Column("created", Double, nullable=False),
    # Whether the notebook contains tasks that %%dag built.
    Column("built", Boolean, nullable=False, server_default=false()),
)

schedulers = Table(
    "schedulers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),  # identifies the machine, its boot and the container
    Column("pid", Integer, nullable=False),
    Column("birth", Text, nullable=False),  # start time of the process, since pids are reused
    Column("started", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column(
        "kind", String(16), nullable=False, server_default="run"
    ),  # "run": the process executes only its own run; "scheduler": all runs without an owner
    Column("ended", Double),  # when the process shut down cleanly; NULL: the process is running or was killed
    Column("jobs", Integer),  # how many tasks the process executes at once
    Column("offers", JsonMapping),  # the resources of its hosts (core.planning.resources.Offers); NULL: no limits
    Column("executor", JsonMapping),  # name and options of the executor; NULL: the local one
    Column("hosts", JsonTuple),  # the hosts of the executor, as in `executors.HostState`; NULL: unknown
)

runs = Table(
    "runs",
    metadata,
    Column("id", Number, primary_key=True),
    Column("dag_id", Id, nullable=False),
    Column("name", Id, nullable=False),  # the run id that people see
    Column("digest", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # how the run was created: manual, scheduled or backfill
    Column("state", State(RunState, 16), nullable=False),
    Column("error", Text),  # why the run failed or was cancelled
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("logical_date", Double, nullable=False),
    Column("interval_start", Double, nullable=False),
    Column("interval_end", Double, nullable=False),
    Column("path", Text, nullable=False),  # the notebook's file when the run was created
    Column("cwd", Text, nullable=False),  # working directory of the tasks
    Column("output", Text),  # path for a second copy of the report, if the user gave one
    Column("parameters", Json, nullable=False),
    Column("events", JsonTuple),  # the asset events that started the run, as in `rows.AssetEvent`
    Column("tasks", JsonTuple),  # the tasks of a partial run; None: all tasks
    Column("fail_fast", Boolean, nullable=False),
    # Whether tasks with --cache may take earlier outcomes.
    Column("cache", Boolean, nullable=False, server_default=true()),
    Column("kernel", Text),  # kernel name for the tasks; NULL: the notebook's kernel
    Column("backfill", Number, index=True),  # id of the backfill that contains the run; None: no backfill
    Column("cancel_asked", Double),  # time at which a user asked to cancel the run
    Column("earlier", JsonTuple),  # earlier ends of a continued run, as in `rows.RunRow`; NULL: none
    # Id of the scheduler that owns the run; NULL: any scheduler may execute the run.
    Column("scheduler_id", String(32), ForeignKey("schedulers.id")),
    Column("files", Text),  # id of the folder or URL with the run's files (`storage.owners`); NULL: not recorded
    Column("revision", Integer, nullable=False),  # number of changes of the run so far; see `Store.save`
    UniqueConstraint("dag_id", "name"),
    ForeignKeyConstraint(["dag_id", "digest"], ["versions.dag_id", "versions.digest"]),
    Index(None, "dag_id", "created"),
    Index(None, "created"),
    Index(None, "state", "created"),
    Index("ix_runs_before", "dag_id", "kind", "logical_date"),
)

borrowed = Table(  # the runs whose values a partial run uses, for tasks that the partial run does not contain
    "borrowed",
    metadata,
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("task", Id, primary_key=True),
    Column("from_run_id", Number, ForeignKey("runs.id"), nullable=False, index=True),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Number, primary_key=True),
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("task", Id, nullable=False),
    Column("map_index", Integer, nullable=False),  # index of a mapped task's instance, from 0; -1 for any other task
    Column("position", Integer, nullable=False),  # position of the task in the notebook, from 0
    Column("state", State(TaskState, 20), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("forgiven", Integer, nullable=False, server_default=text("0")),  # number of tries before the last reset
    Column("wake", Double),  # earliest time of the next retry, or of a sensor's next poll
    Column("pool", Id, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("resources", JsonMapping),  # amounts of the host's resources that the task needs
    # Whether the condition of --short-circuit was false; if so, all descendants are skipped.
    Column("short_circuit", Boolean, nullable=False),
    # Tasks and groups that a branch task chose; NULL for any other task, and before the branch task has ended.
    Column("chosen", JsonTuple),
    # For an instance of a mapped task: a JSON object of variables and digests of their elements.
    Column("element", JsonMapping),
    Column("answer", JsonMapping),  # for a task with --approve; see `rows.InstanceRow`
    UniqueConstraint("run_id", "task", "map_index"),
    Index(None, "state"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("instance_id", Number, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("try_number", Integer, primary_key=True),  # number of the try, from 1
    Column("state", State(TaskState, 20), nullable=False),  # "running", later the outcome, which never changes
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("error", Text),
    Column("traceback", Text),
    Column("scheduler_id", String(32), ForeignKey("schedulers.id"), nullable=False),
    Column(
        "cache_key", String(64), index=True
    ),  # cache key of a task with --cache: attempts with equal keys have the same outcome
    Column("host", Text),  # name of the host that executed the attempt; NULL: unknown, or older than migration 0013
    Column("cached", Id),  # id of the run whose outcome the attempt reuses; NULL: the attempt was executed
    Index("ix_attempts_under_way", "state", "scheduler_id"),
)

_ATTEMPT = ["attempts.instance_id", "attempts.try_number"]

outputs = Table(
    "outputs",
    metadata,
    Column("instance_id", Number, primary_key=True),
    Column("try_number", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", String(128), nullable=False, index=True),
    Column("type", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    ForeignKeyConstraint(["instance_id", "try_number"], _ATTEMPT, ondelete="CASCADE"),
)

metrics = Table(  # the numbers among the stored values; core.model.metrics explains them
    "metrics",
    metadata,
    Column("instance_id", Number, primary_key=True),
    Column("try_number", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", NotANumberAsNull),  # NULL: NaN
    Column("marked", Boolean, nullable=False),  # whether --metric names the variable
    Column("position", Integer, nullable=False),
    ForeignKeyConstraint(["instance_id", "try_number"], _ATTEMPT, ondelete="CASCADE"),
)

notes = Table(
    "notes",
    metadata,
    Column("id", Number, primary_key=True),
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("instance_id", Number),  # NULL: the note is about the run as a whole
    Column("try_number", Integer),
    Column("code", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("message", Text, nullable=False),
    ForeignKeyConstraint(["instance_id", "try_number"], _ATTEMPT, ondelete="CASCADE"),
)

files = Table(
    "files",
    metadata,
    Column("instance_id", Number, primary_key=True),
    Column("try_number", Integer, primary_key=True),
    Column("uses", JsonTuple, nullable=False),  # a list of (path, letters): core.model.job.FileUse
    ForeignKeyConstraint(["instance_id", "try_number"], _ATTEMPT, ondelete="CASCADE"),
)

asset_events = Table(  # an event is a new version of an asset
    "asset_events",
    metadata,
    Column("id", Number, primary_key=True),
    Column("asset", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("extra", JsonMapping),  # what the producer recorded about the new version
    # The task that produced the version. If the whole run produced the version, `task` is NULL.
    # If a person recorded the version or a watched file changed, all these columns are NULL.
    Column("dag_id", Id),
    Column("run", Id),
    Column("task", Id),
    Column("map_index", Integer),
    Index(None, "asset", "at"),
)

asset_uses = Table(  # an event starts at most one run of each DAG
    "asset_uses",
    metadata,
    Column("dag_id", Id, primary_key=True),
    Column("event_id", Number, ForeignKey("asset_events.id", ondelete="CASCADE"), primary_key=True),
    Column("run", Id, nullable=False),  # id of the run that the event started
)

asset_needs = Table(  # the assets in the schedules of deployed DAGs
    "asset_needs",
    metadata,
    Column("dag_id", Id, primary_key=True),
    Column("asset", Text, primary_key=True),
    Index(None, "asset"),
)

asset_producers = Table(  # the assets that tasks of deployed DAGs produce
    "asset_producers",
    metadata,
    Column("dag_id", Id, primary_key=True),
    Column("task", Id, primary_key=True),
    Column("asset", Text, primary_key=True),
)

asset_readers = Table(  # the assets that tasks of deployed DAGs read; reading an asset does not schedule a DAG
    "asset_readers",
    metadata,
    Column("dag_id", Id, primary_key=True),
    Column("task", Id, primary_key=True),
    Column("asset", Text, primary_key=True),
)

pools = Table(
    "pools",
    metadata,
    Column("name", Id, primary_key=True),
    Column("slots", Integer, nullable=False),  # number of slots; -1 means no limit
)

backfills = Table(  # a backfill is unfinished as long as one of its runs is unfinished
    "backfills",
    metadata,
    Column("id", Number, primary_key=True),
    Column("dag_id", Id, nullable=False, index=True),
    Column("created", Double, nullable=False),
    Column("first", Double, nullable=False),  # first logical date of the backfill
    Column("last", Double, nullable=False),  # last logical date of the backfill, inclusive
    Column("backwards", Boolean, nullable=False),
    Column("max_active_runs", Integer, nullable=False),
)
