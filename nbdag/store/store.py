"""All that is asked of the database, and all that is told it.

Each method is one short transaction. A run is changed through `save`, which refuses a change that was made from an
older look: whoever drives, clears or stops a run looks, decides, saves, and looks again if somebody was quicker. So
a task is handed out once, however many schedulers there are.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update

from ..core.model.job import Note, Output
from ..core.model.states import ACTIVE, RunState, TaskState
from ..core.planning.pools import INFINITE
from . import schema as t
from .backfills import Backfills
from .database import Database
from .deployments import Deployments, has_room
from .inserts import add_instances, create_runs, note_values, record_version
from .maintenance import Maintenance
from .mapping import from_row, to_row, update_values, updates
from .rows import ActiveRow, AttemptRow, CachedOutcome, Change, InstanceRow, NewInstance, NewRun, RunRow, SchedulerRow
from .schedulers import Schedulers

_MAX_OUTCOMES = 5  # outcomes to choose from: values of the newest may have been removed
_POOLS_LOCK = 7236353  # any number that nobody else uses
_RUNS_LOCK = 7236354
ACTIVE_RUN = (RunState.QUEUED, RunState.RUNNING)


class Store:
    """The record of what ran, runs and is to run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.schedulers = Schedulers(database)
        self.deployments = Deployments(database)
        self.backfills = Backfills(database)
        self.maintenance = Maintenance(database)

    @property
    def where(self) -> str:
        """The database, for people."""
        return self._database.where

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine's, which one scheduler drives."""
        return self._database.sqlite

    def changes(self) -> Hashable | None:
        """What differs once another process has written; None where the database cannot tell."""
        return self._database.changes()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # Schedulers

    def owned_runs(self) -> list[tuple[RunRow, SchedulerRow]]:
        """Unfinished runs that only one scheduler may drive, each with that scheduler."""
        query = (
            select(t.runs, *(column.label(f"by_{column.name}") for column in t.schedulers.c))
            .join(t.schedulers, t.runs.c.scheduler_id == t.schedulers.c.id)
            .where(t.runs.c.state.in_(ACTIVE_RUN))
        )
        with self._database.reading() as connection:
            return [(from_row(RunRow, row), self.schedulers.of(row, "by_")) for row in connection.execute(query)]

    # Runs

    def create_run(self, new: NewRun, instances: Sequence[NewInstance]) -> RunRow:
        """Record a run, queued, with its task instances."""
        return self.create_runs([new], instances)[0]

    def create_runs(self, new: Sequence[NewRun], instances: Sequence[NewInstance]) -> list[RunRow]:
        """Record runs of one version of a DAG, queued, each with these task instances: all of them, or none."""
        with self._database.writing() as connection:
            return create_runs(connection, new, instances)

    def run(self, id: int) -> RunRow:
        """A run by its number."""
        with self._database.reading() as connection:
            return from_row(RunRow, connection.execute(select(t.runs).where(t.runs.c.id == id)).one())

    def named(self, name: str, dag: str | None = None) -> list[RunRow]:
        """The runs whose id this is, else those whose id begins so; of every DAG, or of one."""
        of_dag = [] if dag is None else [t.runs.c.dag_id == dag]
        query = select(t.runs).where(*of_dag).order_by(t.runs.c.created.desc()).limit(20)
        with self._database.reading() as connection:
            found = connection.execute(query.where(t.runs.c.name == name)).all()
            if not found:
                found = connection.execute(query.where(t.runs.c.name.startswith(name, autoescape=True))).all()
        return [from_row(RunRow, row) for row in found]

    def runs(
        self, *, dag: str | None = None, states: Iterable[RunState] = (), limit: int | None = None
    ) -> list[RunRow]:
        """The runs, the newest first."""
        query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc()).limit(limit)
        if dag is not None:
            query = query.where(t.runs.c.dag_id == dag)
        if wanted := tuple(states):
            query = query.where(t.runs.c.state.in_(wanted))
        with self._database.reading() as connection:
            return [from_row(RunRow, row) for row in connection.execute(query)]

    def dags(self) -> list[str]:
        """Every DAG that ever had a run."""
        with self._database.reading() as connection:
            return list(connection.execute(select(t.dags.c.id).order_by(t.dags.c.id)).scalars())

    def request_cancel(self, run: int, now: float) -> bool:
        """Ask whoever drives the run to stop it; False when it has ended already."""
        query = (
            update(t.runs)
            .where(t.runs.c.id == run, t.runs.c.state.in_(ACTIVE_RUN))
            .values(cancel_asked=func.coalesce(t.runs.c.cancel_asked, now), revision=t.runs.c.revision + 1)
        )
        with self._database.writing() as connection:
            return connection.execute(query).rowcount > 0

    def revision(self, run: int) -> int:
        """How often the run has been changed."""
        with self._database.reading() as connection:
            return int(connection.execute(select(t.runs.c.revision).where(t.runs.c.id == run)).scalar_one())

    def revisions(self, runs: Sequence[int]) -> dict[int, int]:
        """How often each of these runs has been changed."""
        query = select(t.runs.c.id, t.runs.c.revision).where(t.runs.c.id.in_(runs))
        with self._database.reading() as connection:
            return {row.id: row.revision for row in connection.execute(query)} if runs else {}

    def listen(self) -> None:
        """Begin to hear of changes, where the database does not count them by itself."""
        self._database.listen()

    def notes(self, runs: Sequence[int]) -> dict[int, tuple[Note, ...]]:
        """What was said of these runs as a whole, by run."""
        query = select(t.notes).where(t.notes.c.run_id.in_(runs), t.notes.c.instance_id.is_(None))
        found: dict[int, tuple[Note, ...]] = dict.fromkeys(runs, ())
        with self._database.reading() as connection:
            for row in connection.execute(query.order_by(t.notes.c.id)):
                found[row.run_id] += (from_row(Note, row),)
        return found

    def add_note(self, run: int, note: Note) -> None:
        """Say something of a run as a whole."""
        values = {"run_id": run, **to_row(note)}
        with self._database.writing(quietly=True) as connection:
            connection.execute(insert(t.notes).values(values))

    def save(self, change: Change) -> list[InstanceRow] | None:
        """Make all of this change; None, and nothing is changed, when things are no longer as they were seen.

        That is, when somebody else has changed the run, or taken slots of a pool that this change needs.
        Answers with the instances that it added. The run's revision is then one more than the change's.
        """
        run = change.run
        with self._database.writing() as connection:
            if change.built:
                record_version(connection, run.dag, run.digest, change.at, built=True)
            values = {"which": run.id, "seen": run.revision, **update_values(RunRow, run)}
            if not connection.execute(_UPDATE_RUN, values).rowcount:
                return None
            if change.most is not None and not _may_start(connection, run, change.most):
                connection.rollback()
                return None
            if change.begun:
                _begin(connection, change)
            if change.ended:
                _end(connection, run.id, change)
            if change.instances:
                connection.execute(
                    _UPDATE_INSTANCE,
                    [{"which": each.id, **update_values(InstanceRow, each)} for each in change.instances],
                )
            if change.dropped:
                connection.execute(delete(t.instances).where(t.instances.c.id.in_([i.id for i in change.dropped])))
            if change.resumed:
                by = change.scheduler
                connection.execute(_RESUME, [{"which": i.id, "try_": number, "by": by} for i, number in change.resumed])
            if (change.begun or change.resumed) and not _fits(connection, change):
                connection.rollback()
                return None
            if change.notes:
                connection.execute(insert(t.notes), [note_values(run.id, note) for note in change.notes])
            return add_instances(connection, [(run.id, each) for each in change.added])

    # Tasks

    def instances(self, runs: Sequence[int]) -> dict[int, list[InstanceRow]]:
        """The task instances of these runs, by run, in notebook order."""
        query = select(t.instances).where(t.instances.c.run_id.in_(runs))
        found: dict[int, list[InstanceRow]] = {run: [] for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(query.order_by(t.instances.c.position, t.instances.c.map_index)):
                found[row.run_id].append(from_row(InstanceRow, row))
        return found

    def attempts(self, runs: Sequence[int]) -> dict[int, list[AttemptRow]]:
        """Every attempt of these runs with what it left, by run, in the order in which they began."""
        of_runs = t.instances.c.run_id.in_(runs)
        attempts = (
            select(t.attempts, t.instances.c.run_id, t.instances.c.task, t.instances.c.map_index)
            .join(t.instances, t.instances.c.id == t.attempts.c.instance_id)
            .where(of_runs)
            .order_by(t.attempts.c.started, t.attempts.c.instance_id, t.attempts.c.try_number)
        )
        outputs = (
            select(t.outputs)
            .join(t.instances, t.instances.c.id == t.outputs.c.instance_id)
            .where(of_runs)
            .order_by(t.outputs.c.name)
        )
        notes = select(t.notes).where(t.notes.c.run_id.in_(runs), t.notes.c.instance_id.is_not(None))
        left: dict[tuple[int, int], list[Output]] = {}
        said: dict[tuple[int, int], list[Note]] = {}
        found: dict[int, list[AttemptRow]] = {run: [] for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(outputs):
                left.setdefault((row.instance_id, row.try_number), []).append(from_row(Output, row))
            for row in connection.execute(notes.order_by(t.notes.c.id)):
                said.setdefault((row.instance_id, row.try_number), []).append(from_row(Note, row))
            for row in connection.execute(attempts):
                which = (row.instance_id, row.try_number)
                found[row.run_id].append(
                    from_row(
                        AttemptRow,
                        row,
                        outputs=tuple(left.get(which, ())),
                        notes=tuple(said.get(which, ())),
                    )
                )
        return found

    def cached_outcomes(self, dag: str, task: str, cache_key: str) -> list[CachedOutcome]:
        """The outcomes that may stand for that of an attempt of this key, those that were really made first.

        One whose task was cleared, or marked, since is none of them, and neither is what was taken from it: somebody
        did not trust it.
        """
        attempts: Select[Any] = (
            select(
                t.runs.c.name.label("run"),
                t.instances.c.map_index,
                t.attempts.c.instance_id,
                t.attempts.c.try_number,
                t.attempts.c.cached,
            )
            .join(t.instances, t.instances.c.id == t.attempts.c.instance_id)
            .join(t.runs, t.runs.c.id == t.instances.c.run_id)
            .where(
                t.attempts.c.cache_key == cache_key,
                t.attempts.c.state == TaskState.SUCCESS,
                t.instances.c.task == task,
                t.runs.c.dag_id == dag,
            )
        )
        made = t.attempts.c.cached.is_(None)
        stands = (t.attempts.c.try_number == t.instances.c.tries) & (t.instances.c.state == TaskState.SUCCESS)
        found = []
        with self._database.reading() as connection:
            fallen = {row.run for row in connection.execute(attempts.where(made, ~stands))}
            trusted = attempts.where(stands, made | t.attempts.c.cached.not_in(fallen))
            newest = trusted.order_by(~made, t.attempts.c.ended.desc()).limit(_MAX_OUTCOMES)
            for row in connection.execute(newest).all():
                of_it = {"instance_id": row.instance_id, "try_number": row.try_number}
                outputs = connection.execute(select(t.outputs).filter_by(**of_it).order_by(t.outputs.c.name))
                notes = connection.execute(select(t.notes).filter_by(**of_it).order_by(t.notes.c.id))
                found.append(
                    CachedOutcome(
                        run=row.run,
                        map_index=row.map_index,
                        try_number=row.try_number,
                        made_in=row.cached or row.run,
                        outputs=tuple(from_row(Output, each) for each in outputs),
                        notes=tuple(from_row(Note, each) for each in notes),
                    )
                )
        return found

    def borrowed(self, runs: Sequence[int]) -> dict[int, dict[str, int]]:
        """By run: tasks that are not in it → the number of the run that gives their values."""
        found: dict[int, dict[str, int]] = {run: {} for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(select(t.borrowed).where(t.borrowed.c.run_id.in_(runs))):
                found[row.run_id][row.task] = row.from_run_id
        return found

    def latest_with(self, dag: str, task: str, run: int | None = None) -> RunRow | None:
        """The newest run of the DAG (or this run, if so there) in which the task was done, every instance of it."""
        of_task = (t.instances.c.run_id == t.runs.c.id) & (t.instances.c.task == task)
        done = select(t.instances.c.id).where(of_task, t.instances.c.state.in_(_DONE)).exists()
        undone = select(t.instances.c.id).where(of_task, t.instances.c.state.not_in(_DONE)).exists()
        query = select(t.runs).where(t.runs.c.dag_id == dag, done, ~undone).order_by(t.runs.c.created.desc()).limit(1)
        if run is not None:
            query = query.where(t.runs.c.id == run)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else from_row(RunRow, row)

    # Pools

    def pools(self) -> dict[str, int]:
        """Pool → its slots; −1 is without limit."""
        with self._database.reading() as connection:
            return {row.name: row.slots for row in connection.execute(select(t.pools).order_by(t.pools.c.name))}

    def set_pool(self, name: str, slots: int) -> None:
        """Make a pool, or change its size."""
        with self._database.writing() as connection:
            connection.execute(delete(t.pools).where(t.pools.c.name == name))
            connection.execute(insert(t.pools).values(name=name, slots=slots))

    def delete_pool(self, name: str) -> None:
        """There is no such pool any more."""
        with self._database.writing() as connection:
            connection.execute(delete(t.pools).where(t.pools.c.name == name))

    def active_instances(self) -> list[ActiveRow]:
        """The queued and running task instances of all runs."""
        query = (
            select(
                t.runs.c.id.label("number"),
                t.runs.c.dag_id.label("dag"),
                t.runs.c.name.label("run"),
                t.instances.c.task,
                t.instances.c.map_index,
                t.instances.c.pool,
                t.instances.c.slots,
            )
            .join(t.runs, t.runs.c.id == t.instances.c.run_id)
            .where(t.instances.c.state.in_(ACTIVE))
        )
        with self._database.reading() as connection:
            return [ActiveRow(**row._mapping) for row in connection.execute(query)]


_DONE = (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)

# Statements are made once: what it costs to make one is more than SQLite takes to do it.
_UPDATE_RUN = (
    update(t.runs)
    .where(t.runs.c.id == bindparam("which"), t.runs.c.revision == bindparam("seen"))
    .values(**updates(RunRow), revision=t.runs.c.revision + 1)
)
_UPDATE_INSTANCE = update(t.instances).where(t.instances.c.id == bindparam("which")).values(updates(InstanceRow))
_THE_ATTEMPT: ColumnElement[bool] = (t.attempts.c.instance_id == bindparam("which")) & (
    t.attempts.c.try_number == bindparam("try_")
)
_END = (
    update(t.attempts)
    .where(_THE_ATTEMPT, t.attempts.c.state == TaskState.RUNNING)  # its one outcome
    .values(updates(AttemptRow))
)
_USED = (
    select(t.instances.c.pool, func.sum(t.instances.c.slots).label("slots"))
    .where(t.instances.c.state.in_(ACTIVE), t.instances.c.pool.in_(bindparam("limited", expanding=True)))
    .group_by(t.instances.c.pool)
)
_RESUME = (
    update(t.attempts).where(_THE_ATTEMPT).values(state=TaskState.RUNNING, ended=None, scheduler_id=bindparam("by"))
)


def _begin(connection: Connection, change: Change) -> None:
    connection.execute(
        insert(t.attempts),
        [
            {
                **to_row(each),
                "instance_id": each.instance.id,
                "state": TaskState.RUNNING,
                "started": change.at,
                "scheduler_id": change.scheduler,
            }
            for each in change.begun
        ],
    )


def _fits(connection: Connection, change: Change) -> bool:
    """Whether no pool holds more than it may, now that this change's tasks have begun."""
    begun = [each.instance for each in change.begun if each.cached is None]
    wanted = {instance.pool for instance in (*begun, *(each for each, _ in change.resumed))}
    limited = {pool for pool in wanted if change.pools.get(pool, INFINITE) != INFINITE}
    if not limited:
        return True
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(select(func.pg_advisory_xact_lock(_POOLS_LOCK)))
    used = connection.execute(_USED, {"limited": sorted(limited)})
    return all(row.slots <= change.pools[row.pool] for row in used)


def _may_start(connection: Connection, run: RunRow, most: int) -> bool:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_RUNS_LOCK)))
    return has_room(connection, run, most)


def _end(connection: Connection, run: int, change: Change) -> None:
    ended = change.ended
    connection.execute(
        _END,
        [
            {"which": instance.id, "try_": result.key.try_number, **update_values(AttemptRow, result)}
            for instance, result in ended
        ],
    )
    left = [
        {"instance_id": instance.id, "try_number": result.key.try_number, **to_row(output)}
        for instance, result in ended
        for output in result.outputs
    ]
    if left:
        connection.execute(insert(t.outputs), left)
    said = [
        note_values(run, note, instance.id, result.key.try_number)
        for instance, result in ended
        for note in result.notes
    ]
    if said:
        connection.execute(insert(t.notes), said)
