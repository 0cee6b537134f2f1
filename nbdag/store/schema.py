"""The tables.

All instants are seconds since the epoch, in UTC; all durations are seconds. JSON is stored as text, so that both
databases hold the same. A run refers to the version of the notebook that it was created with, never to a file.

A new database is created from these tables and stamped; the migrations in this folder upgrade an older one. A test
checks that both give the same schema. A change of a table needs a migration and a new `HEAD`, and a field in `rows`.
"""

from __future__ import annotations

import json
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

HEAD = "0008"  # the newest migration

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[Any]):
    """Plain data as JSON text; None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the data as text; a mapping need not be a dict."""
        return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the data of a text."""
        return None if value is None else json.loads(value)


class JsonTuple(Json):
    """A tuple as a JSON list; None is NULL."""

    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the tuple of a text."""
        return None if value is None else tuple(json.loads(value))


class JsonMapping(Json):
    """A mapping as a JSON object; an empty one is NULL."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the mapping as text."""
        return super().process_bind_param(value or None, dialect)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the mapping of a text."""
        return {} if value is None else json.loads(value)


class State(TypeDecorator[StrEnum]):
    """A state by its word."""

    impl = String
    cache_ok = True

    def __init__(self, states: type[StrEnum], length: int) -> None:
        super().__init__(length)
        self.states = states
        self._by_word = {state.value: state for state in states}

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the state of a word."""
        return None if value is None else self._by_word[value]


Id = String(250)
# SQLite generates ids only for a column of the type INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

dags = Table(
    "dags",
    metadata,
    Column("id", Id, primary_key=True),
    # The columns below belong to a deployed DAG.
    Column("digest", String(64)),  # the version that new runs use; None: not deployed
    Column("path", Text),  # the notebook's file when it was deployed
    Column("cwd", Text),  # working directory of its tasks
    Column("deployed", Double),  # when its schedule became active
    Column("schedule", Text),
    Column("tz", Text),
    Column("start_date", Double),
    Column("end_date", Double),
    Column("catchup", Boolean, nullable=False, server_default=false()),
    Column("fail_fast", Boolean, nullable=False, server_default=false()),
    Column("max_active_runs", Integer),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("last_date", Double),  # logical date of its last scheduled run
    Column("next_date", Double, index=True),  # earliest time of its next run; None: never
)

versions = Table(
    "versions",
    metadata,
    Column("dag_id", Id, ForeignKey("dags.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),  # of the pinned notebook
    Column("created", Double, nullable=False),
    Column("built", Boolean, nullable=False, server_default=false()),  # a %%dag cell built it, so it does not count
)

schedulers = Table(
    "schedulers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),  # the machine, its boot and the container
    Column("pid", Integer, nullable=False),
    Column("birth", Text, nullable=False),  # when the process began, as its system counts: pids are reused
    Column("started", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column(
        "kind", String(16), nullable=False, server_default="run"
    ),  # run: executes its own run; scheduler: all others
    Column("ended", Double),  # when it ended in good order
    Column("jobs", Integer),  # how many tasks it executes at once
)

runs = Table(
    "runs",
    metadata,
    Column("id", Number, primary_key=True),
    Column("dag_id", Id, nullable=False),
    Column("name", Id, nullable=False),  # the run id that people see
    Column("digest", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # manual, scheduled, backfill
    Column("state", State(RunState, 16), nullable=False),
    Column("error", Text),  # why it failed, if no task gives the reason
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("logical_date", Double, nullable=False),
    Column("interval_start", Double, nullable=False),
    Column("interval_end", Double, nullable=False),
    Column("path", Text, nullable=False),  # the notebook's file when the run was created
    Column("cwd", Text, nullable=False),  # working directory of its tasks
    Column("output", Text),  # a second path for the report
    Column("parameters", Json, nullable=False),
    Column("tasks", JsonTuple),  # the selected tasks of a partial run; None: all
    Column("fail_fast", Boolean, nullable=False),
    Column("cache", Boolean, nullable=False, server_default=true()),  # tasks with --cache may take earlier outcomes
    Column("kernel", Text),  # kernel of its tasks instead of the notebook's
    Column("backfill", Number, index=True),  # the backfill that it belongs to
    Column("cancel_asked", Double),  # when a person asked to cancel it
    Column("scheduler_id", String(32), ForeignKey("schedulers.id")),  # its owner; None: any scheduler
    Column("revision", Integer, nullable=False),  # number of changes: a step based on an older one is rejected
    UniqueConstraint("dag_id", "name"),
    ForeignKeyConstraint(["dag_id", "digest"], ["versions.dag_id", "versions.digest"]),
    Index(None, "dag_id", "created"),
    Index(None, "created"),
    Index(None, "state", "created"),
    Index("ix_runs_before", "dag_id", "kind", "logical_date"),
)

borrowed = Table(  # the runs from which a partial run takes the values of tasks outside it
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
    Column("map_index", Integer, nullable=False),  # from 0 for an instance of a mapped task, otherwise -1
    Column("position", Integer, nullable=False),  # of the task in the notebook, from 0
    Column("state", State(TaskState, 20), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("forgiven", Integer, nullable=False, server_default=text("0")),  # tries before the last reset
    Column("wake", Double),  # earliest time of the next retry, or of a sensor's next poll
    Column("pool", Id, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("short_circuit", Boolean, nullable=False),  # skipped so that every descendant is skipped too
    Column("element", JsonMapping),  # mapped: variable -> digest of its element
    UniqueConstraint("run_id", "task", "map_index"),
    Index(None, "state"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("instance_id", Number, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("try_number", Integer, primary_key=True),  # from 1
    Column("state", State(TaskState, 20), nullable=False),  # running, then its only outcome
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("error", Text),
    Column("traceback", Text),
    Column("scheduler_id", String(32), ForeignKey("schedulers.id"), nullable=False),
    Column(
        "cache_key", String(64), index=True
    ),  # of a task with --cache: attempts with equal keys have the same outcome
    Column("cached", Id),  # the run whose outcome it took instead of executing
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

notes = Table(
    "notes",
    metadata,
    Column("id", Number, primary_key=True),
    Column("run_id", Number, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("instance_id", Number),  # None: about the run as a whole
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

pools = Table(
    "pools",
    metadata,
    Column("name", Id, primary_key=True),
    Column("slots", Integer, nullable=False),  # -1: no limit
)

backfills = Table(  # a backfill is unfinished while one of its runs is
    "backfills",
    metadata,
    Column("id", Number, primary_key=True),
    Column("dag_id", Id, nullable=False, index=True),
    Column("created", Double, nullable=False),
    Column("first", Double, nullable=False),  # the first date
    Column("last", Double, nullable=False),  # the last date, inclusive
    Column("backwards", Boolean, nullable=False),
    Column("max_active_runs", Integer, nullable=False),
)
