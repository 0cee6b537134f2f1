"""Pages of deployed DAGs and of runs, for lists that are longer than a screen.

A cursor names the last entry of a page. The next page begins after this entry, so pages do not shift if entries are
added or removed meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.model.states import RUN_FINISHED, RunState
from ....errors import NbdagError, error
from ....home import Home, the_home
from ....store.rows import RunRow
from ..deployments import Deployed, NotDeployedError, deployments_of
from ..liveness import dead_owners, describe_orphan
from ..records import Run
from ..runs import UnknownStateError, open_store, read_runs

if TYPE_CHECKING:
    from ....store.listings import RecentRun
    from ....store.store import Store

RECENT = 20  # number of latest runs in the entry of a DAG


@error
class CursorError(NbdagError):
    """A page cannot begin at this cursor."""

    exit_code = 2

    cursor: str
    template = "unknown cursor {short!r}; pass the `next` of the previous page"

    @property
    def short(self) -> str:
        return self.cursor[:60]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """A run in a list, without its tasks."""

    id: str
    dag: str
    state: RunState
    kind: str  # how the run was created: manual, scheduled, backfill or asset
    created: float
    started: float | None
    ended: float | None
    logical_date: float
    only: tuple[str, ...] | None  # the selected tasks of a partial run; None: all tasks
    error: str | None  # why the run failed or was cancelled, or why it is orphaned
    digest: str  # digest of the pinned notebook
    tasks: Mapping[str, int]  # number of task instances by state


@dataclass(frozen=True, slots=True, kw_only=True)
class DagEntry:
    """A DAG with its latest runs."""

    id: str
    deployed: Deployed | None  # None: the DAG has runs, but is not deployed
    path: Path  # the notebook's file when it was deployed, or when the newest run was created
    recent: tuple[RecentRun, ...]  # the latest runs, oldest first


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A part of a list of runs."""

    items: tuple[RunEntry, ...]
    next: str | None  # cursor of the next page; None: this is the last page


@dataclass(frozen=True, slots=True, kw_only=True)
class DagPage:
    """A part of a list of deployed DAGs."""

    items: tuple[DagEntry, ...]
    total: int  # number of DAGs on all pages
    next: str | None  # cursor of the next page; None: this is the last page


def page_of_runs(
    *,
    dag: str | None = None,
    states: Collection[RunState | str] = (),
    since: float | None = None,
    until: float | None = None,
    cursor: str | None = None,
    limit: int = 50,
    home: Home | None = None,
) -> RunPage:
    """Return a page of runs, newest first.

    `since` (inclusive) and `until` (exclusive) limit the times of creation, in seconds since the epoch.
    """
    known = {each.value: each for each in RunState}
    for state in states:
        if state not in known:
            raise UnknownStateError(str(state), tuple(known))
    before = None if cursor is None else _run_cursor(cursor)
    with open_store(the_home(home)) as store:
        if store is None:
            return RunPage(items=(), next=None)
        wanted = {known[state] for state in states}
        rows = store.listings.runs(dag=dag, states=wanted, since=since, until=until, before=before, limit=limit + 1)
        shown = rows[:limit]
        more = f"{shown[-1].created!r}_{shown[-1].id}" if len(rows) > limit else None
        return RunPage(
            items=tuple(run_entries(store, shown, store.listings.task_counts([r.id for r in shown]))), next=more
        )


def page_of_dags(
    *,
    search: str = "",
    tags: Collection[str] = (),
    paused: bool | None = None,
    states: Collection[RunState] = (),
    cursor: str | None = None,
    limit: int = 50,
    home: Home | None = None,
) -> DagPage:
    """Return a page of deployed DAGs, sorted by id.

    Each word of `search` must occur in the id, owner, tags or description. The newest run must have one of `states`.
    """
    with open_store(the_home(home)) as store:
        if store is None:
            return DagPage(items=(), total=0, next=None)
        rows, total = store.deployments.page(
            search=search, tags=tags, paused=paused, last_states=states, after=cursor or "", limit=limit + 1
        )
        shown = deployments_of(store, rows[:limit])
        recent = store.listings.latest_runs([each.id for each in shown], RECENT)
        return DagPage(
            items=tuple(
                DagEntry(id=each.id, deployed=each, path=each.path, recent=tuple(recent[each.id])) for each in shown
            ),
            total=total,
            next=rows[limit - 1].id if len(rows) > limit else None,
        )


def latest_that_fit(dag: str, *, limit: int, most: int, home: Home | None = None) -> list[Run]:
    """Return the newest runs of a DAG, newest first, with at most `most` task instances in total.

    The newest run is always included. The records of tasks lack outputs and warnings.
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            return []
        rows = store.runs(dag=dag, limit=limit)
        counts = store.listings.task_counts([row.id for row in rows])
        total, chosen = 0, list[RunRow]()
        for row in rows:
            total += sum(counts[row.id].values())
            if chosen and total > most:
                break
            chosen.append(row)
        return read_runs(store, here, chosen, details=False)


def dag_entry(dag: str, *, home: Home | None = None) -> DagEntry:
    """Return a DAG that is deployed or has runs. Raise `NotDeployedError`."""
    with open_store(the_home(home)) as store:
        row = None if store is None else store.deployments.get(dag)
        latest = [] if store is None else store.listings.latest_runs([dag], RECENT)[dag]
        if store is None or not (row or latest):
            raise NotDeployedError(dag, () if store is None else tuple(each.id for each in store.deployments.all()))
        return DagEntry(
            id=dag,
            deployed=None if row is None else deployments_of(store, [row])[0],
            path=Path(store.runs(dag=dag, limit=1)[0].path if row is None else row.path),
            recent=tuple(latest),
        )


def run_entries(store: Store, rows: Sequence[RunRow], counts: Mapping[int, Mapping[str, int]]) -> list[RunEntry]:
    may_be_orphaned = any(row.scheduler is not None and row.state not in RUN_FINISHED for row in rows)
    dead = dead_owners(store) if may_be_orphaned else {}
    return [
        RunEntry(
            id=row.name,
            dag=row.dag,
            state=row.state,
            kind=row.kind,
            created=row.created,
            started=row.started,
            ended=row.ended,
            logical_date=row.logical_date,
            only=row.tasks,
            error=row.error or (describe_orphan(row, dead[row.id]) if row.id in dead else None),
            digest=row.digest,
            tasks=counts.get(row.id, {}),
        )
        for row in rows
    ]


def _run_cursor(cursor: str) -> tuple[float, int]:
    created, _, number = cursor.partition("_")
    try:
        return float(created), int(number)
    except ValueError:
        raise CursorError(cursor) from None
