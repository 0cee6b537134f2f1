"""Queries about deployed notebooks: list or find them, their next ticks, and whether a scheduler is alive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from ... import notebooks
from ...core.model.states import RunState
from ...core.options.option_types import nearest
from ...errors import NbdagError, error
from ...home import Home, the_home
from ...notebooks import NotebookError
from ...scheduler import timetable_of
from ...store.rows import DagRow, SchedulerRow
from .liveness import live_schedulers
from .runs import open_store

if TYPE_CHECKING:
    from ...store.store import Store


@error
class NotDeployedError(NbdagError):
    """No deployed DAG has this id."""

    dag: str
    deployed: tuple[str, ...]
    template = "no DAG {dag!r} is deployed here; {hint}"

    @property
    def hint(self) -> str:
        if notebooks.is_notebook(self.dag):
            stem = notebooks.stem_of(Path(self.dag).name)
            if stem in self.deployed:
                return f"pass the id of its DAG: {stem}"
            return f"deploy it with `nbdag deploy {self.dag}`, then pass the id of its DAG"
        near = nearest(self.dag, self.deployed)
        return (
            f"did you mean {near}?"
            if near
            else "`nbdag list` shows the deployed DAGs, `nbdag deploy NOTEBOOK` adds one"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployed notebook."""

    id: str
    path: Path  # the notebook's file when it was deployed
    digest: str  # digest of the pinned version, which new runs use
    version: int  # number of the deployed version, from 1; a version that is deployed again keeps its number
    deployed: datetime
    schedule: str | None  # the schedule; None if runs are only created on request
    tz: str
    paused: bool
    # Due time of the next run, in the schedule's time zone; None if no run is due or the DAG is paused.
    next_run: datetime | None
    last_run: str | None  # id of the newest run
    last_state: RunState | None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    # Difference between the notebook's file and the pinned version: "" (none), "changed" or "gone" (file deleted).
    changed: Literal["", "changed", "gone"] = ""
    is_first: bool = False  # True if the DAG was not deployed before this call of `deploy`
    replaced: Path | None = None  # notebook that this call of `deploy` replaced as the source of the DAG, if another

    def to_dict(self) -> dict[str, Any]:
        """Return the deployment as `list -o json` prints it."""
        return {
            "dag": self.id,
            "schedule": self.schedule,
            "tz": self.tz,
            "next_run": None if self.next_run is None else self.next_run.isoformat(),
            "paused": self.paused,
            "last_run": self.last_run,
            "last_state": None if self.last_state is None else self.last_state.value,
            "changed": self.changed or None,
            "notebook": str(self.path),
            "digest": self.digest,
            "version": self.version,
            "deployed": self.deployed.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A time at which a schedule creates a run."""

    at: datetime  # time of the tick, in the time zone of the schedule
    interval_start: datetime  # start of the data interval, usually the previous tick; the interval ends at `at`
    note: str = ""  # how a clock change moves or repeats this tick; "" if no clock change affects it


def list_dags(*, home: Home | None = None) -> list[Deployed]:
    """Return the deployed DAGs, sorted by id."""
    with open_store(the_home(home)) as store:
        return [] if store is None else read_deployments(store)


def deployed_paths(*, home: Home | None = None) -> dict[Path, str]:
    """Return the ids of the deployed DAGs by the paths of their notebooks."""
    with open_store(the_home(home)) as store:
        return {} if store is None else {Path(row.path): row.id for row in store.deployments.all()}


def find_dag(dag: str, *, home: Home | None = None) -> Deployed:
    """Return a deployed DAG by its id."""
    with open_store_and_dag(home, dag) as (store, row):
        return read_deployments(store, [row.id])[0]


def next_ticks(dag: str, number: int = 5, *, now: datetime | None = None, home: Home | None = None) -> list[Tick]:
    """Return the next ticks of a DAG's schedule, at most `number`."""
    with open_store_and_dag(home, dag) as (_, row):
        timetable = timetable_of(row)
        return [
            Tick(
                at=tick.astimezone(timetable.zone),
                interval_start=timetable.data_interval(tick)[0].astimezone(timetable.zone),
                note=timetable.clock_change(tick),
            )
            for tick in timetable.next_ticks(now or datetime.now(UTC), number)
        ]


def live_scheduler(*, home: Home | None = None) -> SchedulerRow | None:
    """Return the newest scheduler that is alive, or None if no scheduler is alive."""
    with open_store(the_home(home)) as store:
        return None if store is None else next(iter(live_schedulers(store)), None)


@contextmanager
def open_store_and_dag(home: Home | None, dag: str, *, to_change: bool = False) -> Iterator[tuple[Store, DagRow]]:
    """Open the store and find a deployed DAG. `to_change` requires a writable store."""
    with open_store(the_home(home), to_change=to_change) as store:
        if store is None:
            raise NotDeployedError(dag, ())
        row = store.deployments.get(dag)
        if row is None:
            raise NotDeployedError(dag, tuple(each.id for each in store.deployments.all()))
        yield store, row


def read_deployments(store: Store, dags: Iterable[str] | None = None) -> list[Deployed]:
    """Return the deployments of these DAGs, or of all DAGs."""
    rows = store.deployments.all()
    if dags is None:
        return deployments_of(store, rows)
    wanted = set(dags)
    return deployments_of(store, [row for row in rows if row.id in wanted])


def deployments_of(store: Store, rows: Sequence[DagRow]) -> list[Deployed]:
    """Return these rows as deployments."""
    ids = [row.id for row in rows]
    last = store.deployments.last_runs(ids)
    versions = store.deployments.versions(ids)
    found = []
    for row in rows:
        latest, path = last.get(row.id), Path(row.path)
        zone = ZoneInfo(row.tz)  # only the time zone is parsed, because parsing the whole schedule is slow
        due = None if row.paused or row.next_date is None else datetime.fromtimestamp(row.next_date, zone)
        found.append(
            Deployed(
                id=row.id,
                path=path,
                digest=row.digest,
                version=versions.get(row.id, 1),
                deployed=datetime.fromtimestamp(row.deployed, zone),
                schedule=row.schedule,
                tz=row.tz,
                paused=row.paused,
                next_run=due,
                last_run=None if latest is None else latest.name,
                last_state=None if latest is None else latest.state,
                owner=row.owner,
                tags=row.tags or (),
                description=row.description,
                changed=_changed(path, row.source or row.digest),
            )
        )
    return found


def _changed(path: Path, deployed: str) -> Literal["", "changed", "gone"]:
    try:
        saved = path.stat()
        digest = _digest(path, saved.st_mtime_ns, saved.st_size) if notebooks.is_text(path) else _read_digest(path)
    except (NotebookError, OSError):
        return "changed" if path.is_file() else "gone"
    return "" if digest == deployed else "changed"


@lru_cache(maxsize=1_000)
def _digest(path: Path, changed: int, size: int) -> str:
    """Convert a text notebook and return its digest. The result is cached until the file's time or size changes."""
    return _read_digest(path)


def _read_digest(path: Path) -> str:
    return sha256(notebooks.read_file(path)).hexdigest()
