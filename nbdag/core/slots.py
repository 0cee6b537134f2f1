"""Who gets a slot.

Of all that could start, over all runs, which do: by priority weight, then logical date, notebook order and map
index, as far as pools, `max_active_tasks` and the number of jobs go. What does not fit waits, and what comes after it
may pass. Nothing here touches a clock or a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .dag import Dag
from .plan import Instance, RunView

DEFAULT_POOLS: Mapping[str, int] = {"default_pool": 128}
INFINITE = -1  # slots of a pool without end


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
    def key(self) -> tuple[str, str, str, int]:
        return (self.dag_id, self.run_id, self.task, self.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Who may start, and why the others may not yet."""

    start: tuple[Claim, ...] = ()  # in queue order
    held: Mapping[tuple[str, str, str, int], tuple[str, ...]] = field(default_factory=dict)  # with explain=True


def claims(dag: Dag, run: RunView, instances: Iterable[Instance]) -> tuple[Claim, ...]:
    """What these instances of a run want, or have."""
    raise NotImplementedError


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
    this scheduler makes at once and `busy` how many it is making (all the active ones, unless said).
    """
    raise NotImplementedError


def runs_to_start(
    queued: Iterable[RunView], running: Mapping[tuple[str, bool], int], limits: Mapping[tuple[str, bool], int]
) -> tuple[RunView, ...]:
    """Which queued runs may start: the oldest logical dates first, up to each limit.

    Both mappings are by (dag, is a backfill): how many runs are running, and `max_active_runs`.
    """
    raise NotImplementedError
