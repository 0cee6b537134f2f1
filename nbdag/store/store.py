"""All queries and changes of the database.

Each method is one short transaction. A run is changed through `save`, which rejects a change that is based on an older
revision of the run. So a process that executes, clears or cancels a run reads the run, decides, saves, and repeats this
if another process has saved first. This guarantees that a task starts only once, with any number of schedulers.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, update

from ..core.model.job import FilesOfAttempt, FileUse, Note, StoredOutput
from ..core.model.metrics import Metric
from ..core.model.states import ACTIVE, RunState, TaskState
from . import schema as t
from .assets import Assets
from .backfills import Backfills
from .changes import Changes
from .database import Database
from .deployments import Deployments
from .listings import Listings
from .maintenance import Maintenance
from .mapping import from_row, row_reader, to_row
from .monitoring import Metrics
from .rows import ActiveRow, AttemptRow, CachedOutcome, Change, InstanceRow, NewInstance, NewRun, RunRow, SchedulerRow
from .saving import CURRENT, create_runs, save
from .schedulers import Schedulers

# Maximum number of outcomes that are returned; more than one, because the values of the newest may have been deleted.
_MAX_OUTCOMES = 5
ACTIVE_RUN = (RunState.QUEUED, RunState.RUNNING)


class Store:
    """The record of all runs: finished, running and waiting."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.schedulers = Schedulers(database)
        self.deployments = Deployments(database)
        self.backfills = Backfills(database)
        self.assets = Assets(database)
        self.listings = Listings(database)
        self.maintenance = Maintenance(database)
        self.changed = Changes(database)
        self.metrics = Metrics(database)

    @property
    def where(self) -> str:
        """Return the database's path or URL for messages, without passwords."""
        return self._database.where

    @property
    def is_sqlite(self) -> bool:
        """Return whether the database is a local SQLite file, with which only one scheduler can run."""
        return self._database.sqlite

    def changes(self) -> Hashable | None:
        """Return a value that changes whenever another process writes, or None if the database has no such value."""
        return self._database.changes()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # Schedulers

    def owned_runs(self) -> list[tuple[RunRow, SchedulerRow]]:
        """Return the unfinished runs that have an owner, each with the owner."""
        query = (
            select(t.runs, *(column.label(f"by_{column.name}") for column in t.schedulers.c))
            .join(t.schedulers, t.runs.c.scheduler_id == t.schedulers.c.id)
            .where(t.runs.c.state.in_(ACTIVE_RUN))
        )
        with self._database.reading() as connection:
            return [(from_row(RunRow, row), self.schedulers.of(row, "by_")) for row in connection.execute(query)]

    # Runs

    def create_run(self, new: NewRun, instances: Sequence[NewInstance]) -> RunRow:
        """Record a queued run with its task instances."""
        return self.create_runs([new], instances)[0]

    def create_runs(self, new: Sequence[NewRun], instances: Sequence[NewInstance]) -> list[RunRow]:
        """Record queued runs of one notebook version in one transaction. Each run gets these task instances."""
        with self._database.writing() as connection:
            return create_runs(connection, new, instances, self._database.files_id())

    def run(self, id: int) -> RunRow:
        """Return the run whose record has this id."""
        with self._database.reading() as connection:
            return from_row(RunRow, connection.execute(select(t.runs).where(t.runs.c.id == id)).one())

    def named(self, name: str, dag: str | None = None) -> list[RunRow]:
        """Return the runs with this run id. If no run has this id, return the runs whose id begins with it."""
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
        """Return the runs that meet all given conditions, newest first."""
        query = select(t.runs).order_by(t.runs.c.created.desc(), t.runs.c.id.desc()).limit(limit)
        if dag is not None:
            query = query.where(t.runs.c.dag_id == dag)
        if wanted := tuple(states):
            query = query.where(t.runs.c.state.in_(wanted))
        with self._database.reading() as connection:
            return [from_row(RunRow, row) for row in connection.execute(query)]

    def dags(self) -> list[str]:
        """Return the ids of all DAGs that are recorded."""
        with self._database.reading() as connection:
            return list(connection.execute(select(t.dags.c.id).order_by(t.dags.c.id)).scalars())

    def request_cancel(self, run: int, now: float) -> bool:
        """Ask the scheduler of a run to cancel the run; return False if the run has already ended."""
        query = (
            update(t.runs)
            .where(t.runs.c.id == run, t.runs.c.state.in_(ACTIVE_RUN))
            .values(cancel_asked=func.coalesce(t.runs.c.cancel_asked, now), revision=t.runs.c.revision + 1)
        )
        with self._database.writing() as connection:
            return connection.execute(query).rowcount > 0

    def revision(self, run: int) -> int:
        """Return a run's revision: the number of its changes."""
        with self._database.reading() as connection:
            return int(connection.execute(select(t.runs.c.revision).where(t.runs.c.id == run)).scalar_one())

    def revisions(self, runs: Sequence[int]) -> dict[int, int]:
        """Return the revisions of these runs: the numbers of their changes."""
        query = select(t.runs.c.id, t.runs.c.revision).where(t.runs.c.id.in_(runs))
        with self._database.reading() as connection:
            return {row.id: row.revision for row in connection.execute(query)} if runs else {}

    def listen(self) -> None:
        """If the database does not count changes by other processes, start to count them here."""
        self._database.listen()

    def notes(self, runs: Sequence[int]) -> dict[int, tuple[Note, ...]]:
        """Return the notes about whole runs, by run."""
        query = select(t.notes).where(t.notes.c.run_id.in_(runs), t.notes.c.instance_id.is_(None))
        found: dict[int, tuple[Note, ...]] = dict.fromkeys(runs, ())
        with self._database.reading() as connection:
            for row in connection.execute(query.order_by(t.notes.c.id)):
                found[row.run_id] += (from_row(Note, row),)
        return found

    def add_note(self, run: int, note: Note, *, once: bool = False) -> bool:
        """Record a note about a whole run.

        With `once`, record the note only if the run has no note with the same code and name. Return whether the note
        was recorded.
        """
        values = {"run_id": run, **to_row(note)}
        with self._database.writing(quietly=True) as connection:
            if once:
                connection.execute(select(t.runs.c.id).where(t.runs.c.id == run).with_for_update())
                same = (t.notes.c.run_id == run, t.notes.c.code == note.code, t.notes.c.name == note.name)
                if connection.execute(select(t.notes.c.id).where(*same)).first() is not None:
                    return False
            connection.execute(insert(t.notes).values(values))
        return True

    def save(self, change: Change) -> list[InstanceRow] | None:
        """Save a change and return the added instances. If the change is outdated, save nothing and return None.

        A change is outdated if another process has changed the run or taken slots that the change needs. Each
        saved change increments the run's revision by one.
        """
        with self._database.writing() as connection:
            return save(connection, change)

    # Tasks

    def instances(self, runs: Sequence[int], tasks: Collection[str] | None = None) -> dict[int, list[InstanceRow]]:
        """Return the task instances of these runs (with `tasks`, only of these tasks), by run, in notebook order."""
        query = select(t.instances).where(t.instances.c.run_id.in_(runs))
        if tasks is not None:
            query = query.where(t.instances.c.task.in_(tasks))
        found: dict[int, list[InstanceRow]] = {run: [] for run in runs}
        with self._database.reading() as connection:
            result = connection.execute(query.order_by(t.instances.c.position, t.instances.c.map_index))
            read = row_reader(InstanceRow, result)
            for row in result.all():
                found[row.run_id].append(read(row))
        return found

    def attempts(
        self,
        runs: Sequence[int],
        tasks: Collection[str] | None = None,
        *,
        details: bool = True,
        with_outputs: bool = True,
    ) -> dict[int, list[AttemptRow]]:
        """Return the attempts of these runs, by run, in the order in which the attempts started.

        With `tasks`, return only the attempts of these tasks. Without `details`, the attempts lack outputs, metrics and
        notes. Without `with_outputs`, the attempts lack outputs and metrics.
        """
        of_runs: ColumnElement[bool] = t.instances.c.run_id.in_(runs)
        if tasks is not None:
            of_runs = of_runs & t.instances.c.task.in_(tasks)
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
        notes = (
            select(t.notes).join(t.instances, t.instances.c.id == t.notes.c.instance_id).where(of_runs)
            if tasks is not None
            else select(t.notes).where(t.notes.c.run_id.in_(runs), t.notes.c.instance_id.is_not(None))
        )
        metrics = (
            select(t.metrics)
            .join(t.instances, t.instances.c.id == t.metrics.c.instance_id)
            .where(of_runs)
            .order_by(t.metrics.c.position)
        )
        outputs_of: dict[tuple[int, int], list[StoredOutput]] = {}
        metrics_of: dict[tuple[int, int], list[Metric]] = {}
        notes_of: dict[tuple[int, int], list[Note]] = {}
        found: dict[int, list[AttemptRow]] = {run: [] for run in runs}
        with self._database.reading() as connection:
            if details and with_outputs:
                result = connection.execute(outputs)
                output = row_reader(StoredOutput, result)
                for row in result.all():
                    outputs_of.setdefault((row.instance_id, row.try_number), []).append(output(row))
            for row in connection.execute(metrics) if details and with_outputs else ():
                metrics_of.setdefault((row.instance_id, row.try_number), []).append(from_row(Metric, row))
            for row in connection.execute(notes.order_by(t.notes.c.id)) if details else ():
                notes_of.setdefault((row.instance_id, row.try_number), []).append(from_row(Note, row))
            result = connection.execute(attempts)
            attempt = row_reader(AttemptRow, result)
            for row in result.all():
                which = (row.instance_id, row.try_number)
                found[row.run_id].append(
                    attempt(
                        row,
                        outputs=tuple(outputs_of.get(which, ())),
                        metrics=tuple(metrics_of.get(which, ())),
                        notes=tuple(notes_of.get(which, ())),
                    )
                )
        return found

    def files(self, run: int) -> list[FilesOfAttempt]:
        """Return the files that the attempts of a run used, in the order in which the attempts started."""
        query = (
            select(t.instances.c.task, t.attempts.c.started, t.attempts.c.ended, t.files.c.uses)
            .join(t.attempts, t.attempts.c.instance_id == t.instances.c.id)
            .join(
                t.files,
                (t.files.c.instance_id == t.attempts.c.instance_id) & (t.files.c.try_number == t.attempts.c.try_number),
            )
            .where(t.instances.c.run_id == run)
            .order_by(t.attempts.c.started)
        )
        with self._database.reading() as connection:
            return [
                FilesOfAttempt(
                    task=row.task,
                    started=row.started,
                    ended=row.ended or row.started,
                    files=tuple(FileUse(*each) for each in row.uses),
                )
                for row in connection.execute(query)
            ]

    def cached_outcomes(self, dag: str, task: str, cache_key: str) -> list[CachedOutcome]:
        """Return the outcomes that an attempt with this key may reuse; outcomes of executed attempts come first.

        If a user has later cleared or marked the task of an outcome, the outcome is excluded, because the user does not
        trust it. Outcomes of attempts that reused an excluded outcome are excluded, too.
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
        executed = t.attempts.c.cached.is_(None)
        is_valid = (t.attempts.c.try_number == t.instances.c.tries) & (t.instances.c.state == TaskState.SUCCESS)
        found = []
        with self._database.reading() as connection:
            invalid = {row.run for row in connection.execute(attempts.where(executed, ~is_valid))}
            trusted = attempts.where(is_valid, executed | t.attempts.c.cached.not_in(invalid))
            newest = trusted.order_by(~executed, t.attempts.c.ended.desc()).limit(_MAX_OUTCOMES)
            for row in connection.execute(newest).all():
                of_it = {"instance_id": row.instance_id, "try_number": row.try_number}
                outputs = connection.execute(select(t.outputs).filter_by(**of_it).order_by(t.outputs.c.name))
                metrics = connection.execute(select(t.metrics).filter_by(**of_it).order_by(t.metrics.c.position))
                notes = connection.execute(select(t.notes).filter_by(**of_it).order_by(t.notes.c.id))
                found.append(
                    CachedOutcome(
                        run=row.run,
                        map_index=row.map_index,
                        try_number=row.try_number,
                        made_in=row.cached or row.run,
                        outputs=tuple(from_row(StoredOutput, each) for each in outputs),
                        metrics=tuple(from_row(Metric, each) for each in metrics),
                        notes=tuple(from_row(Note, each) for each in notes),
                    )
                )
        return found

    def borrowed(self, runs: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return the runs whose values these partial runs borrow.

        Key: record id of the partial run; value: a mapping (key: task; value: record id of the run with its values).
        """
        found: dict[int, dict[str, int]] = {run: {} for run in runs}
        with self._database.reading() as connection:
            for row in connection.execute(select(t.borrowed).where(t.borrowed.c.run_id.in_(runs))):
                found[row.run_id][row.task] = row.from_run_id
        return found

    def latest_with(self, dag: str, task: str, run: int | None = None) -> RunRow | None:
        """Return the newest run of the DAG in which every instance of the task succeeded, was skipped or was removed.

        Runs whose files are in another home are left out. With `run`, consider only that run, wherever its files are.
        """
        of_task = (t.instances.c.run_id == t.runs.c.id) & (t.instances.c.task == task)
        done = select(t.instances.c.id).where(of_task, t.instances.c.state.in_(_DONE)).exists()
        undone = select(t.instances.c.id).where(of_task, t.instances.c.state.not_in(_DONE)).exists()
        query = select(t.runs).where(t.runs.c.dag_id == dag, done, ~undone).order_by(t.runs.c.created.desc()).limit(1)
        if run is not None:
            query = query.where(t.runs.c.id == run)
        elif (files := self._database.files_id()) is not None:
            query = query.where(or_(t.runs.c.files.is_(None), t.runs.c.files == files))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else from_row(RunRow, row)

    # Pools

    def pools(self) -> dict[str, int]:
        """Return the size of each pool in slots; −1 means no limit."""
        with self._database.reading() as connection:
            return {row.name: row.slots for row in connection.execute(select(t.pools).order_by(t.pools.c.name))}

    def set_pool(self, name: str, slots: int) -> None:
        """Create a pool, or change the size of an existing pool."""
        with self._database.writing() as connection:
            connection.execute(delete(t.pools).where(t.pools.c.name == name))
            connection.execute(insert(t.pools).values(name=name, slots=slots))

    def delete_pool(self, name: str) -> None:
        """Delete a pool."""
        with self._database.writing() as connection:
            connection.execute(delete(t.pools).where(t.pools.c.name == name))

    def active_instances(self) -> list[ActiveRow]:
        """Return the queued and running task instances of all runs."""
        query: Select[Any] = (
            select(
                t.runs.c.id.label("number"),
                t.runs.c.dag_id.label("dag"),
                t.runs.c.name.label("run"),
                t.instances.c.task,
                t.instances.c.map_index,
                t.instances.c.pool,
                t.instances.c.slots,
                t.instances.c.resources,
                t.schedulers.c.host,
                t.schedulers.c.offers,
            )
            .join(t.runs, t.runs.c.id == t.instances.c.run_id)
            .outerjoin(t.attempts, CURRENT)
            .outerjoin(t.schedulers, t.schedulers.c.id == t.attempts.c.scheduler_id)
            .where(t.instances.c.state.in_(ACTIVE))
        )
        with self._database.reading() as connection:
            return [from_row(ActiveRow, row) for row in connection.execute(query)]


_DONE = (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.REMOVED)
