"""Who gets a slot.

Of all that could start, over all runs, which do: by priority weight, then logical date, notebook order and map
index, as far as pools, `max_active_tasks` and the number of jobs go. What does not fit waits, and what comes after it
may pass. Nothing here touches a clock or a database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..model.dag import Dag
from ..model.text import join_names, plural, task_label
from ..options.options import TaskOptions
from .plan import Instance, RunView, layout

DEFAULT_POOLS: Mapping[str, int] = {"default_pool": 128}
INFINITE = -1  # slots of a pool without end

ClaimKey = tuple[str, str, str, int]  # dag, run, task, map index


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An instance that wants, or has, a slot."""

    dag_id: str
    run_id: str
    task: str
    map_index: int = -1
    weight: int  # priority weight, by the dag's weight rule
    logical_date: datetime | None
    position: int  # of the task in the notebook, from 0
    pool: str = "default_pool"
    slots: int = 1  # of the pool
    limit: int = 16  # max_active_tasks of its run

    @property
    def key(self) -> ClaimKey:
        return (self.dag_id, self.run_id, self.task, self.map_index)

    @property
    def label(self) -> str:
        """How a person calls it: `train`, `train[3]`."""
        return task_label(self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Who may start, and why the others may not yet."""

    start: tuple[Claim, ...] = ()  # in queue order
    held: Mapping[ClaimKey, tuple[str, ...]] = field(default_factory=dict)  # with explain=True


def unmade_pools(dags: Iterable[Dag]) -> dict[str, int]:
    """Each pool that these notebooks name, just large enough for the largest of its tasks.

    A pool that nobody has made holds for as much: its tasks run one at a time, which is never too many.
    """
    sizes: dict[str, int] = {}
    for dag in dags:
        for task in dag.tasks.values():
            sizes[task.options.pool] = max(sizes.get(task.options.pool, 1), task.options.slots)
    return {pool: slots for pool, slots in sizes.items() if pool not in DEFAULT_POOLS}


def claims(dag: Dag, run: RunView, instances: Iterable[Instance]) -> tuple[Claim, ...]:
    """What these instances of a run want, or have."""
    of = layout(dag)
    found = []
    for instance in instances:
        # one whose task the notebook has no more may still be running
        task = dag.tasks.get(instance.task)
        options = TaskOptions() if task is None else task.options
        found.append(
            Claim(
                dag_id=run.dag_id,
                run_id=run.run_id,
                task=instance.task,
                map_index=instance.map_index,
                weight=of.weights.get(instance.task, 0),
                logical_date=run.logical_date,
                position=of.position.get(instance.task, 0),
                pool=options.pool,
                slots=options.slots,
                limit=dag.options.max_active_tasks,
            )
        )
    return tuple(found)


def take(
    ready: Iterable[Claim],
    active: Sequence[Claim],
    *,
    pools: Mapping[str, int],
    jobs: int,
    busy: int | None = None,
    explain: bool = False,
) -> Taken:
    """Which of `ready` may be queued now.

    `active` are the queued and running ones of all schedulers, `pools` gives each pool's slots, `jobs` is how many
    this scheduler makes at once and `busy` how many it is making (all the active ones, unless said). One that is
    active already is not taken again.
    """
    sizes = {**DEFAULT_POOLS, **pools}
    holders = list(active)
    taken = {claim.key for claim in active}
    in_pool, in_run = Counter[str](), Counter[tuple[str, str]]()
    for claim in active:
        in_pool[claim.pool] += claim.slots
        in_run[claim.dag_id, claim.run_id] += 1
    free = jobs - (len(active) if busy is None else busy)
    start: list[Claim] = []
    held: dict[ClaimKey, tuple[str, ...]] = {}
    for claim in sorted(ready, key=_queue_order):
        if claim.key in taken:
            continue
        if free <= 0 and not explain:
            break
        run = (claim.dag_id, claim.run_id)
        size = sizes.get(claim.pool, 0)
        fits_pool = claim.pool in sizes and (size == INFINITE or claim.slots <= size - in_pool[claim.pool])
        fits_run = in_run[run] < claim.limit
        if fits_pool and fits_run and free > 0:
            start.append(claim)
            taken.add(claim.key)
            holders.append(claim)
            in_pool[claim.pool] += claim.slots
            in_run[run] += 1
            free -= 1
        elif explain:
            words = [] if fits_pool else [_pool_words(claim, sizes, holders)]
            if not fits_run:
                mine = [one.label for one in holders if (one.dag_id, one.run_id) == run]
                words.append(f"waits for max_active_tasks: {len(mine)} of {claim.limit} run, {join_names(mine)}")
            if free <= 0:
                words.append(f"waits for a job: {jobs} of {jobs} taken")
            if held:
                words.append(f"{plural(len(held), 'waiting task')} of higher priority ahead of it")
            held[claim.key] = tuple(words)
    return Taken(start=tuple(start), held=held)


def _queue_order(claim: Claim) -> tuple[int, datetime, int, int, ClaimKey]:
    # a run of no date in particular was asked for now: it comes after those that are due
    date = datetime.max.replace(tzinfo=UTC) if claim.logical_date is None else claim.logical_date
    return (-claim.weight, date, claim.position, claim.map_index, claim.key)


def _pool_words(claim: Claim, sizes: Mapping[str, int], holders: Iterable[Claim]) -> str:
    if claim.pool not in sizes:
        return f"waits for pool {claim.pool}, which does not exist; make it with `nbdag pools set {claim.pool} 1`"
    size = sizes[claim.pool]
    if claim.slots > size:
        return f"needs {plural(claim.slots, 'slot')} of pool {claim.pool}, which has {size} in all"
    there = [one for one in holders if one.pool == claim.pool]
    used = sum(one.slots for one in there)
    needs = "" if claim.slots == 1 else f" (it needs {claim.slots})"
    names = join_names(one.label for one in there)
    return f"waits for pool {claim.pool}: {used} of {plural(size, 'slot')} taken by {names}{needs}"


def runs_to_start(
    queued: Iterable[RunView],
    running: Mapping[tuple[str, bool], int],
    limits: Mapping[tuple[str, bool], int],
    *,
    backwards: Collection[str] = (),
) -> tuple[RunView, ...]:
    """Which queued runs may start: the oldest logical dates first, up to each limit.

    Both mappings are by (dag, is a backfill): how many runs are running, and `max_active_runs`.
    `backwards` are the DAGs whose backfill begins with the latest date.
    """
    latest = datetime.max.replace(tzinfo=UTC)
    count = Counter(dict(running))
    start: list[RunView] = []
    order = sorted(queued, key=lambda run: (run.logical_date or latest, run.run_id))
    last_first = [run for run in reversed(order) if run.kind == "backfill" and run.dag_id in backwards]
    others = [run for run in order if not (run.kind == "backfill" and run.dag_id in backwards)]
    for run in (*others, *last_first):
        group = (run.dag_id, run.kind == "backfill")
        if count[group] < limits[group]:
            count[group] += 1
            start.append(run)
    return tuple(start)
