"""The loop: look, decide, save, hand out, wait."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ..core.assemble import assemble
from ..core.dag import Dag
from ..core.events import Event
from ..core.job import Job, Key, Result
from ..core.slots import DEFAULT_POOLS, Claim, take
from ..core.states import TaskState
from ..errors import NbdagError
from ..executors import Executor
from ..home import Home
from ..processes import this_process
from ..store.rows import InstanceRow, RunRow, SchedulerRow
from .look import Driven, Leavings, Look, leavings, when

if TYPE_CHECKING:
    from ..store.store import Store

BEAT = 5.0  # seconds between two heartbeats
GLANCE = 0.2  # seconds between two looks for changes that others made, at SQLite's count of them
LOOK = 1.0  # the same at a database that keeps no count
_ASKED = None  # what `stop` puts among the results, so that the loop wakes


class Scheduler:
    """Drives the runs that it is given, with one executor, until they end.

    `read` gives the notebook of a run; `on_event` is told what happens and `on_saved` after each change of a run,
    both from the thread that drives, once the store has it.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        *,
        home: Home,
        read: Callable[[RunRow], Dag],
        kernels: str = "warm",
        on_event: Callable[[Event], None] | None = None,
        on_saved: Callable[[Driven], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.id = uuid.uuid4().hex
        self._store = store
        self._executor = executor
        self._home = home
        self._read = read
        self._kernels = kernels
        self._on_event = on_event or (lambda event: None)
        self._on_saved = on_saved or (lambda run: None)
        self._clock = clock
        self._runs: dict[int, Driven] = {}
        self._out: dict[Key, int] = {}  # attempts that the executor has → the run's number
        self._results: SimpleQueue[Result | None] = SimpleQueue()
        self._kept: list[Result] = []  # came while waiting, or could not be saved yet
        self._others: tuple[Claim, ...] = ()  # what other schedulers' tasks take of the pools
        self._pools: dict[str, int] = {}
        self._seen: int | None = None  # the store's count of changes
        self._stopping = False
        self._beat: datetime | None = None

    def begin(self) -> None:
        """Say that this process drives runs, and get the executor ready."""
        now, process = self._clock(), this_process()
        at = now.timestamp()
        self._store.register(
            SchedulerRow(id=self.id, host=process.host, pid=process.pid, birth=process.birth, started=at, heartbeat=at)
        )
        self._beat = now
        self._executor.start(self._results.put)

    def drive(self, run: RunRow) -> None:
        """Drive this run from now on."""
        self._runs[run.id] = self._load(run)
        self._seen = None  # its pools are to be looked up

    def stop(self) -> None:
        """Cancel every run that is driven here. May be called from a signal handler, or any thread."""
        self._stopping = True
        self._results.put(_ASKED)

    @property
    def done(self) -> bool:
        """Whether every run that is driven here has ended, and every attempt is over."""
        return not self._out and all(run.finished for run in self._runs.values())

    def until_done(self) -> None:
        """Drive until every run has ended and every attempt is over."""
        while True:
            wake = self.tick(self._clock())
            if self.done:
                return
            self._wait(wake)

    def abandon(self) -> None:
        """End every attempt now, and record that, as far as it can still be recorded."""
        self._stopping = True
        self._on_event = lambda event: None
        self._executor.stop()
        now = self._clock()
        self._kept += _drained(self._results)
        heard = {result.key for result in self._kept}
        self._kept += [_lost(key, now.timestamp()) for key in self._out if key not in heard]
        with contextlib.suppress(NbdagError):  # what could not be saved was the cause, and is told already
            self.tick(now)

    def tick(self, now: datetime) -> datetime | None:
        """Do all that can be done now; answers when there is something to do though nothing happens."""
        if self._beat is None or now - self._beat >= timedelta(seconds=BEAT) or now < self._beat:
            self._store.beat(self.id, now.timestamp())
            self._beat = now
        results = self._kept + _drained(self._results)
        self._kept = []
        self._glance()
        again = True
        wake: datetime | None = None
        while again:
            again, wake, results = self._round(now, results)
        return wake

    def _round(self, now: datetime, results: Sequence[Result]) -> tuple[bool, datetime | None, list[Result]]:
        """One look at every run; says whether another must follow, and what is left for it."""
        looks = {}
        for number, run in self._runs.items():
            mine = [result for result in results if self._out.get(result.key) == number]
            if run.finished and not mine:
                continue
            look = looks[number] = Look(run, now)
            look.take_in(mine)
            look.decide(cancelled=self._stopping or run.row.cancel_asked is not None)
        self._hand_out(looks.values())
        again, left = False, []
        for number, look in looks.items():
            saved = self._save(look)
            if not saved:  # somebody was quicker: look again
                left += [result for result in results if self._out.get(result.key) == number]
                self._runs[number] = self._load(self._store.run(number))
                self._seen = None
                self._glance()
            again = again or not saved or bool(look.added)
        return again, min((look.plan.wake for look in looks.values() if look.plan.wake), default=None), left

    def _hand_out(self, looks: Iterable[Look]) -> None:
        looks = list(looks)
        ready = [claim for look in looks for claim in look.ready()]
        if not ready:
            return
        busy = [claim for look in looks for claim in look.active()]
        taken = take(ready, [*busy, *self._others], pools=self._pools, jobs=self._executor.slots, busy=len(busy))
        by_run = {(look.row.dag, look.row.name): look for look in looks}
        for claim in taken.start:
            by_run[claim.dag_id, claim.run_id].start(claim)

    def _save(self, look: Look) -> bool:
        change = look.change(self.id, self._pools)
        if change is None:
            return True
        events = look.events()
        jobs = [self._job(look, instance) for instance in look.starting]
        added = self._store.save(change)
        if added is None:
            return False
        look.keep(added)
        for _, result in look.ended:
            self._out.pop(result.key, None)
        for job in jobs:
            self._out[job.key] = look.row.id
            self._executor.submit(job)
        for gone in look.plan.cancel:
            self._cancel(look, gone.task, gone.map_index)
        for event in events:
            self._on_event(event)
        self._on_saved(look.run)
        return True

    def _cancel(self, look: Look, task: str, map_index: int) -> None:
        key = look.run.key(look.instances[task, map_index])
        if key in self._out:
            self._executor.cancel(key)

    def _job(self, look: Look, instance: InstanceRow) -> Job:
        run, row = look.run, look.row
        key = run.key(instance)
        task = run.dag.tasks[instance.task]
        return assemble(
            run.dag,
            key,
            left=look.left_by,
            path=str(self._home.attempt(key)),
            values=str(self._home.values),
            cwd=row.cwd,
            kernel_name=run.dag.kernel_name or "python3",
            kernels=self._kernels,
            parameters=row.parameters,
            element=instance.element,
            expand=bool(task.options.map) and instance.map_index < 0,
            context={
                "dag_id": row.dag,
                "run_id": row.name,
                "task_id": instance.task,
                "map_index": instance.map_index,
                "try_number": instance.tries,
                "logical_date": when(row.logical_date).isoformat(),
                "data_interval_start": when(row.interval_start).isoformat(),
                "data_interval_end": when(row.interval_end).isoformat(),
                "params": dict(row.parameters),
            },
        )

    def _load(self, row: RunRow) -> Driven:
        attempts = self._store.attempts([row.id])[row.id]
        return Driven.of(row, self._read(row), self._store.instances([row.id])[row.id], attempts, self._lent(row))

    def _lent(self, row: RunRow) -> Leavings:
        borrowed = self._store.borrowed(row.id)
        if not borrowed:
            return {}
        attempts = self._store.attempts(sorted(set(borrowed.values())))
        return {task: leavings(attempts[run]).get(task, {}) for task, run in borrowed.items()}

    def _glance(self) -> None:
        """Take notice of what others have changed."""
        count = self._store.changes()
        if count is not None and count == self._seen:
            return
        self._seen = count
        self._pools = {**_unmade_pools(run.dag for run in self._runs.values()), **self._store.pools()}
        self._others = tuple(
            Claim(
                dag_id=each.dag,
                run_id=each.run,
                task=each.task,
                map_index=each.map_index,
                weight=0,
                logical_date=None,
                position=0,
                pool=each.pool,
                slots=each.slots,
            )
            for each in self._store.active()
            if each.number not in self._runs
        )
        for number, run in self._runs.items():
            if self._store.revision(number) != run.row.revision:
                self._runs[number] = self._load(self._store.run(number))

    def _wait(self, wake: datetime | None) -> None:
        # Where the database cannot tell that something has changed, it has to be looked at.
        until = time.monotonic() + (BEAT if self._seen is not None else LOOK)
        if wake is not None:
            until = min(until, time.monotonic() + max(0.0, (wake - self._clock()).total_seconds()))
        while True:
            try:
                first = self._results.get(timeout=min(GLANCE, max(0.0, until - time.monotonic())))
            except Empty:
                if time.monotonic() >= until or self._store.changes() != self._seen:
                    return
                continue
            if first is not None:
                self._kept.append(first)
            return


def _unmade_pools(dags: Iterable[Dag]) -> dict[str, int]:
    """Each pool that these notebooks name, just large enough for the largest of its tasks.

    A pool that nobody has made holds for as much: its tasks run one at a time, which is never too many.
    """
    sizes: dict[str, int] = {}
    for dag in dags:
        for task in dag.tasks.values():
            sizes[task.options.pool] = max(sizes.get(task.options.pool, 1), task.options.slots)
    return {pool: slots for pool, slots in sizes.items() if pool not in DEFAULT_POOLS}


def _drained(results: SimpleQueue[Result | None]) -> list[Result]:
    found: list[Result] = []
    while True:
        try:
            each = results.get_nowait()
        except Empty:
            return found
        if each is not None:
            found.append(each)


def _lost(key: Key, now: float) -> Result:
    return Result(key=key, state=TaskState.FAILED, started=now, ended=now, error="it was stopped", final=True)
