"""The loop: look, decide, save, hand out, wait.

A foreground run is given to it by `drive`; a scheduler has an `Agenda` besides, which says whose turn it is. Several
schedulers may drive one run: each hands out what it has slots for, the store lets only one of them have each change,
and the other looks again.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.events import Event
from ..core.model.job import Job, Key, Result
from ..core.model.states import TaskState
from ..core.planning.assemble import assemble
from ..core.planning.pools import Claim, assign_slots, implicit_pools
from ..errors import NbdagError
from ..executors import Executor
from ..home import Home
from ..processes.identity import this_process
from ..store.rows import AttemptRow, Earlier, InstanceRow, RunRow, SchedulerRow
from .result_cache import Cache
from .run_step import Driven, Leavings, Look, leavings, states_before, when

if TYPE_CHECKING:
    from ..store.store import Store
    from .due_runs import Agenda

BEAT = 5.0  # seconds between two heartbeats
GLANCE = 0.2  # seconds between two looks for changes that others made, at SQLite's count of them
LOOK = 1.0  # the same at a database that keeps no count
AWAY = 25.0  # seconds that a database server may be away; at 30 without a heartbeat others think that we are gone
QUEUED, RUNNING = TaskState.QUEUED, TaskState.RUNNING
_Standing = tuple[list[InstanceRow], list[AttemptRow], dict[str, int]]  # the last: what it borrows, and of which run
_ASKED = None  # what `stop` puts among the results, so that the loop wakes


class Scheduler:
    """Drives the runs that it is given, with one executor, until they end.

    `read` gives the notebook of a run, `is_ready` says whether one whose turn it is can be taken up; `on_event` is told
    what happens and `on_saved` after each change of a run, both from the thread that drives, once the store has it.
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
        agenda: Agenda | None = None,
        on_trouble: Callable[[RunRow, NbdagError], None] | None = None,
        is_ready: Callable[[RunRow], bool] = lambda run: True,
        glance: float = GLANCE,
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
        self._agenda = agenda
        self._on_trouble = on_trouble
        self._is_ready = is_ready
        self._glance_every = glance
        self._runs: dict[int, Driven] = {}
        self._out: dict[Key, int] = {}  # attempts that the executor has → the run's number
        self._results: SimpleQueue[Result | None] = SimpleQueue()
        self._kept: list[Result] = []  # came while waiting, or could not be saved yet
        self._others: tuple[Claim, ...] = ()  # what other schedulers' tasks take of the pools
        self._pools: dict[str, int] = {}
        self._seen: Hashable | None = None  # the store's count of changes
        self._stopping = False
        self._draining = False
        self._cache = Cache(store, home)
        self._pending: list[Job] = []  # on record as begun, and not handed out yet
        self._beat: datetime | None = None

    def begin(self, alive: Callable[[SchedulerRow], bool] | None = None) -> SchedulerRow | None:
        """Say that this process drives runs, and get the executor ready.

        With `alive`, only where no other scheduler is; else nothing is done, and the answer is that one.
        """
        now, process = self._clock(), this_process()
        at = now.timestamp()
        me = SchedulerRow(
            id=self.id,
            host=process.host,
            pid=process.pid,
            birth=process.birth,
            started=at,
            heartbeat=at,
            kind="run" if self._agenda is None else "scheduler",
            jobs=self._executor.slots,
        )
        other = self._store.schedulers.register(me, alive)
        if other is None:
            self._beat = now
            self._executor.start(self._results.put)
        return other

    def drive(self, run: RunRow) -> None:
        """Drive this run from now on."""
        self._runs[run.id] = self._load(run)
        self._seen = None  # its pools are to be looked up

    def stop(self) -> None:
        """Cancel every run that is driven here. May be called from a signal handler, or any thread."""
        self._stopping = True
        self._results.put(_ASKED)

    def drain(self) -> None:
        """Start nothing more. May be called from a signal handler, or any thread."""
        self._draining = True
        self._results.put(_ASKED)

    def wake(self) -> None:
        """Look again now. May be called from a signal handler, or any thread."""
        self._results.put(_ASKED)

    def look_again(self) -> None:
        """The next look takes notice of what was changed through this very store, which tells only of others."""
        self._seen = None

    @property
    def busy(self) -> int:
        """How many attempts the executor has."""
        return len(self._out)

    @property
    def driven(self) -> int:
        """How many unfinished runs are driven here."""
        return sum(not run.finished for run in self._runs.values())

    @property
    def held(self) -> list[RunRow]:
        """The unfinished runs here, where each waits for the run before and for nothing else."""
        unfinished = [run for run in self._runs.values() if not run.finished]
        return [run.row for run in unfinished] if not self._out and all(run.held for run in unfinished) else []

    def let_go(self) -> None:
        """End every attempt here, without a word of how it went."""
        for key in list(self._out):
            self._executor.cancel(key)

    @property
    def done(self) -> bool:
        """Whether every run that is driven here has ended, and every attempt is over."""
        return not self._out and all(run.finished for run in self._runs.values())

    def until_done(self) -> None:
        """Drive until every run has ended and every attempt is over."""
        while True:
            wake = self.turn()
            if self.done:
                return
            self.wait(wake)

    def turn(self) -> datetime | None:
        """A tick now. A database server that is away, perhaps to start anew, is waited for, and that is said."""
        from ..store.database import StoreUnreachableError

        until = time.monotonic() + AWAY
        told = False
        while True:
            try:
                return self.tick(self._clock())
            except StoreUnreachableError as error:
                if self._stopping or time.monotonic() > until:
                    raise
                if not told:
                    self._tell_all(f"{error} (it is tried again for {AWAY:g} s)")
                    told = True
                time.sleep(LOOK)

    def _tell_all(self, message: str) -> None:
        for run in self._runs.values():
            row, at = run.row, self._clock().timestamp()
            self._on_event(Event(kind="run", run_id=row.name, state=row.state, at=at, message=message, dag=row.dag))

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
            self._store.schedulers.beat(self.id, now.timestamp())
            self._beat = now
        self._kept += _drained(self._results)
        self._glance()
        self._hand_over()
        wake = self._consult(now)
        again = True
        while again:
            again = self._round(now)
            if self._agenda is not None and not again and self._forget_finished():
                before = set(self._runs)
                wake = self._consult(now)  # one that waited may have its turn now
                again = not before.issuperset(self._runs)
        # What is heard of twice, or of an attempt that is not ours, counts no more.
        self._kept = [result for result in self._kept if result.key in self._out]
        return min((at for at in (wake, *(run.wake for run in self._runs.values())) if at), default=None)

    def _consult(self, now: datetime) -> datetime | None:
        """Take up the runs whose turn it is."""
        if self._agenda is None or self._draining:
            return None
        turns, wake = self._agenda.look(now, self.id, self._runs)
        stand = self._look_up([turn.row for turn in turns])
        for turn in turns:
            if not self._is_ready(turn.row):
                continue
            try:
                run = self._driven(turn.row, *stand[turn.row.id])
            except NbdagError as error:
                from ..store.database import StoreError

                if self._on_trouble is None or isinstance(error, StoreError):
                    raise
                self._on_trouble(turn.row, error)
                continue
            run.most = turn.most
            self._runs[turn.row.id] = run
        if turns:
            self._seen = None  # what they take of the pools is counted anew
            self._glance()
        return wake

    def _forget_finished(self) -> bool:
        over = [number for number, run in self._runs.items() if run.finished and number not in self._out.values()]
        for number in over:
            del self._runs[number]
        return bool(over)

    def _round(self, now: datetime) -> bool:
        """One look at every run that something can come of; says whether another must follow."""
        looks = {}
        heard: dict[int | None, list[Result]] = {}
        for result in self._kept:
            heard.setdefault(self._out.get(result.key), []).append(result)
        for number, run in self._runs.items():
            mine = heard.get(number, [])
            asleep = run.rests and (run.wake is None or run.wake > now) and not self._stopping
            if (run.finished or asleep) and not mine:
                continue
            look = looks[number] = Look(run, now)
            look.take_in(mine)
            past = states_before(self._store, run.row) if run.looks_back else None
            look.decide(cancelled=self._stopping or run.row.cancel_asked is not None, previous=past)
        self._hand_out(looks.values())
        again = changed = False
        for number, look in looks.items():
            saved = self._save(look, heard.get(number, ()))
            if saved is None:  # somebody was quicker: look again
                self._seen = None
                if look.run.most is not None and look.starts:
                    del self._runs[number]  # its turn may be over: the agenda says
                    continue
                if number not in self._runs:
                    continue
                self._runs[number] = self._load(self._store.run(number))
                self._glance()
            changed = changed or bool(saved)
            again = again or saved is None or bool(look.added) or look.spared
        return again or (changed and any(run.looks_back and not run.finished for run in self._runs.values()))

    def _hand_out(self, looks: Iterable[Look]) -> None:
        looks = list(looks)
        ready = [claim for look in looks for claim in look.ready()]
        if not ready or self._draining:
            return
        seen = {look.row.id for look in looks}
        asleep = [Look(run, look.now) for number, run in self._runs.items() if number not in seen for look in looks[:1]]
        active = [claim for look in (*looks, *asleep) for claim in look.active()]
        busy = self.busy - sum(len(look.ended) for look in looks)
        taken = assign_slots(ready, [*active, *self._others], pools=self._pools, jobs=self._executor.slots, busy=busy)
        by_run = {(look.row.dag, look.row.name): look for look in looks}
        for claim in taken.start:
            look = by_run[claim.dag_id, claim.run_id]
            look.start(claim, *self._earlier(look, claim))

    def _earlier(self, look: Look, claim: Claim) -> tuple[str | None, Earlier | None]:
        """The key of the attempt that is to begin, and the outcome of an earlier one that may stand for its own."""
        if not look.run.dag.tasks[claim.task].options.cache:
            return None, None
        instance = look.instances[claim.task, claim.map_index]
        job = self._job(look, replace(instance, tries=instance.tries + 1))
        # What was cleared is to run anew.
        wanted = look.row.cache and not instance.forgiven
        return self._cache.earlier(look.run.dag, job, wanted=wanted)

    def _save(self, look: Look, heard: Iterable[Result]) -> bool | None:
        """Whether there was something to save; None when somebody was quicker, and what was heard still counts."""
        change = look.change(self.id, self._pools)
        if change is None:
            look.rest()
            self._are_over(heard)
            return False
        events = look.events()
        jobs = [self._job(look, instance) for instance in look.starting]
        added = self._store.save(change)
        if added is None:
            return None
        look.keep(added)
        self._are_over(heard)  # before anybody is told, who may raise
        self._out.update(dict.fromkeys((job.key for job in jobs), look.row.id))
        self._pending += jobs
        self._hand_over()
        for gone in look.plan.cancel:
            self._cancel(look, gone.task, gone.map_index)
        for event in events:
            self._on_event(event)
        self._on_saved(look.run)
        return True

    def _are_over(self, heard: Iterable[Result]) -> None:
        for result in heard:
            self._out.pop(result.key, None)

    def _hand_over(self) -> None:
        while self._pending:
            self._executor.submit(self._pending.pop(0))

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
            outputs_of=look.left_by,
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
        return self._driven(row, *self._look_up([row])[row.id])

    def _look_up(self, rows: Sequence[RunRow]) -> dict[int, _Standing]:
        """How it stands with these runs, asked for all at once."""
        if not rows:
            return {}
        numbers = [row.id for row in rows]
        instances, attempts = self._store.instances(numbers), self._store.attempts(numbers)
        borrowed = self._store.borrowed(numbers)
        return {number: (instances[number], attempts[number], borrowed[number]) for number in numbers}

    def _driven(
        self, row: RunRow, instances: list[InstanceRow], attempts: list[AttemptRow], borrowed: dict[str, int]
    ) -> Driven:
        run = Driven.of(row, self._read(row), instances, attempts, self._lent(borrowed))
        self._agree(run, attempts)
        return run

    def _agree(self, run: Driven, attempts: Iterable[AttemptRow]) -> None:
        """End the attempts here that nobody wants any more, and hand out what is on record as ours and is not here."""
        wanted = {run.key(each) for each in run.instances.values() if each.state in (QUEUED, RUNNING)}
        for key, number in self._out.items():
            if number == run.row.id and key not in wanted:
                self._executor.cancel(key)  # marked or cleared by somebody
        for attempt in attempts:
            if attempt.state is not RUNNING or attempt.scheduler != self.id:
                continue
            instance = run.instances.get((attempt.task, attempt.map_index))
            if instance is None or instance.tries != attempt.try_number:
                continue
            key = run.key(instance)
            if key in wanted and key not in self._out:
                # Its record was saved, though the database could not say so any more.
                self._out[key] = run.row.id
                self._pending.append(self._job(Look(run, self._clock()), instance))

    def _lent(self, borrowed: Mapping[str, int]) -> Leavings:
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
        self._pools = {**implicit_pools(run.dag for run in self._runs.values()), **self._store.pools()}
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
        revisions = self._store.revisions(list(self._runs))
        for number, run in list(self._runs.items()):
            if number not in revisions:
                del self._runs[number]  # cleaned away
            elif revisions[number] != run.row.revision:
                most = run.most
                self._runs[number] = self._load(self._store.run(number))
                self._runs[number].most = most
            run.rests = False  # pools may have become larger, and a run before may have ended

    def wait(self, wake: datetime | None) -> None:
        """Until something happens, or it is time."""
        # Where the database cannot tell that something has changed, it has to be looked at.
        until = time.monotonic() + (BEAT if self._seen is not None else LOOK)
        if wake is not None:
            until = min(until, time.monotonic() + max(0.0, (wake - self._clock()).total_seconds()))
        while True:
            try:
                first = self._results.get(timeout=min(self._glance_every, max(0.0, until - time.monotonic())))
            except Empty:
                if time.monotonic() >= until or self._store.changes() != self._seen:
                    return
                continue
            if first is not None:
                self._kept.append(first)
            return


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
