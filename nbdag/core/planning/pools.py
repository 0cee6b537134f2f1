"""Assignment of slots to ready task instances.

The ready instances of all runs start in order of priority weight, then logical date, notebook order and map index, as
long as pools, `max_active_tasks` and the number of jobs allow. If an instance does not fit, it waits, and instances
after it in the order may start before it. Nothing here touches a clock or a database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..model.dag import Dag
from ..model.text import join_names, plural, task_label
from ..options.options import TaskOptions
from .dag_layout import layout
from .plan_types import Instance, RunView
from .resources import Offers, Resources, waits_words
from .resources import free as has_free

DEFAULT_POOLS: Mapping[str, int] = {"default_pool": 128}
INFINITE = -1  # the number of slots that means no limit

ClaimKey = tuple[str, str, str, int]  # identifies a claim: (DAG id, run id, task id, map index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An instance that needs a slot or has one."""

    dag_id: str
    run_id: str
    task: str
    map_index: int = -1
    weight: int  # priority weight, computed by the DAG's weight rule
    logical_date: datetime | None
    position: int  # position of the task in the notebook, from 0
    pool: str = "default_pool"
    slots: int = 1  # number of slots of the pool that the instance needs
    resources: Resources = ()  # what the instance needs of its host
    limit: int = 16  # max_active_tasks of the instance's DAG

    @property
    def key(self) -> ClaimKey:
        return (self.dag_id, self.run_id, self.task, self.map_index)

    @property
    def label(self) -> str:
        """Return the name of the instance for messages: `train` or `train[3]`."""
        return task_label(self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotAssignment:
    """The claims that may start, and the reasons why the others wait."""

    start: tuple[Claim, ...] = ()  # the claims that may start, in queue order
    # Key: waiting claim; value: why the claim waits; filled only with `explain`.
    waiting: Mapping[ClaimKey, tuple[str, ...]] = field(default_factory=dict)


def implicit_pools(dags: Iterable[Dag]) -> dict[str, int]:
    """Return the pools that these notebooks name, each with the largest number of slots that one of its tasks needs.

    A pool that is not in the store has this number of slots.
    """
    sizes: dict[str, int] = {}
    for dag in dags:
        for task in dag.tasks.values():
            sizes[task.options.pool] = max(sizes.get(task.options.pool, 1), task.options.slots)
    return {pool: slots for pool, slots in sizes.items() if pool not in DEFAULT_POOLS}


def claims(dag: Dag, run: RunView, instances: Iterable[Instance]) -> tuple[Claim, ...]:
    """Return the claims of these instances of a run."""
    of = layout(dag)
    found = []
    for instance in instances:
        # An instance may still be running although the notebook no longer has its task.
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
                resources=options.resources,
                limit=dag.options.max_active_tasks,
            )
        )
    return tuple(found)


def assign_slots(
    ready: Iterable[Claim],
    active: Sequence[Claim],
    *,
    pools: Mapping[str, int],
    jobs: int,
    busy: int | None = None,
    offers: Offers | None = None,
    explain: bool = False,
) -> SlotAssignment:
    """Choose the claims among `ready` that may be queued now.

    `active` are the claims of the queued and running instances of all schedulers. `pools` gives the size of each pool.
    `jobs` is the number of attempts that this scheduler may run at once, `busy` the number of its running attempts
    (default: the number of active claims). `offers` are the resources of the hosts; None means no limits. A ready claim
    that is also active is ignored.
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
    waiting: dict[ClaimKey, tuple[str, ...]] = {}
    for claim in sorted(ready, key=_queue_order):
        if claim.key in taken:
            continue
        if free <= 0 and not explain:
            break
        run = (claim.dag_id, claim.run_id)
        size = sizes.get(claim.pool, 0)
        fits_pool = claim.pool in sizes and (size == INFINITE or claim.slots <= size - in_pool[claim.pool])
        fits_run = in_run[run] < claim.limit
        fits_hosts = has_free(offers, claim.resources, (one.resources for one in holders))
        if fits_pool and fits_run and fits_hosts and free > 0:
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
            if offers is not None and not fits_hosts:
                words.append(waits_words(offers, claim.resources, [(one.label, one.resources) for one in holders]))
            if free <= 0:
                words.append(f"waits for a job: {jobs} of {jobs} taken")
            if waiting:
                words.append(f"waits behind {plural(len(waiting), 'task')} of higher priority")
            waiting[claim.key] = tuple(words)
    return SlotAssignment(start=tuple(start), waiting=waiting)


def _queue_order(claim: Claim) -> tuple[int, datetime, int, int, ClaimKey]:
    # Runs without a date come after runs with one.
    date = datetime.max.replace(tzinfo=UTC) if claim.logical_date is None else claim.logical_date
    return (-claim.weight, date, claim.position, claim.map_index, claim.key)


def _pool_words(claim: Claim, sizes: Mapping[str, int], holders: Iterable[Claim]) -> str:
    if claim.pool not in sizes:
        return f"waits for pool {claim.pool}, which does not exist; create it with `nbdag pools set {claim.pool} 1`"
    size = sizes[claim.pool]
    if claim.slots > size:
        return f"needs {plural(claim.slots, 'slot')} of pool {claim.pool}, which has {size} in all"
    in_pool = [one for one in holders if one.pool == claim.pool]
    used = sum(one.slots for one in in_pool)
    needs = "" if claim.slots == 1 else f" (it needs {claim.slots})"
    names = join_names(one.label for one in in_pool)
    return f"waits for pool {claim.pool}: {used} of {plural(size, 'slot')} taken by {names}{needs}"


def runs_to_start(
    queued: Iterable[RunView],
    running: Mapping[tuple[str, bool], int],
    limits: Mapping[tuple[str, bool], int],
    *,
    backwards: Collection[str] = (),
) -> tuple[RunView, ...]:
    """Return the queued runs that may start: the oldest logical dates first, up to each limit.

    The keys of both mappings are (DAG, whether the runs belong to a backfill). The values of `running` are numbers of
    running runs; the values of `limits` are `max_active_runs`. `backwards` are the DAGs whose backfill begins with the
    latest date.
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
