"""The scheduler's loop: poll, step each run, assign slots, save, submit, wait.

`nbdag run` gives its run to the loop with `own`; `nbdag scheduler` polls `DueRuns` for runs to own. Several schedulers
may execute the same run: each scheduler starts the tasks for which it has slots. If two schedulers save at once, the
store accepts one change, and the other scheduler repeats its step.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.events import Event
from ..core.model.job import Job, Key, Result
from ..core.model.states import FINISHED, WAITING, TaskState
from ..core.planning.assemble import assemble
from ..core.planning.dag_layout import layout
from ..core.planning.pools import Claim, assign_slots, implicit_pools
from ..errors import NbdagError
from ..executors import Choice, Executor
from ..home import Home
from ..processes.identity import this_process
from ..store.rows import AttemptRow, CachedOutcome, InstanceRow, RunRow, SchedulerRow
from .owned_run import OwnedRun, borrowed_outputs, load_states
from .planning_views import claim_of, previous_states
from .presence import HEARTBEAT_INTERVAL, Presence
from .result_cache import ResultCache
from .results import Results
from .run_step import RunStep

if TYPE_CHECKING:
    from ..store.store import Store
    from .due_runs import DueRuns

POLL_INTERVAL = 0.2  # seconds between two checks of whether other processes have changed the store
SLOW_POLL_INTERVAL = 1.0  # seconds between two reads of a database that does not count its changes
# Maximum wait in seconds while a database server restarts; shorter than HEARTBEAT_TIMEOUT, after which other processes
# treat this scheduler as dead.
RECONNECT_TIMEOUT = 25.0
QUEUED, RUNNING = TaskState.QUEUED, TaskState.RUNNING


class Scheduler:
    """Executes the runs that it owns, with one executor, until they end.

    `executor` was created from `choice`. The choice is recorded. If this process dies, another process needs the choice
    to terminate the attempts. `read` returns the notebook of a run. `is_ready` returns whether a due run can be owned.
    `on_event` receives each event, and `on_saved` each changed run; both are called in the scheduler's thread, after
    the change is saved.
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
        on_saved: Callable[[OwnedRun], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        due_runs: DueRuns | None = None,
        on_error: Callable[[RunRow, NbdagError], None] | None = None,
        is_ready: Callable[[RunRow], bool] = lambda run: True,
        poll_interval: float = POLL_INTERVAL,
        choice: Choice | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._store = store
        self._executor = executor
        self._choice = choice or Choice()
        self._home = home
        self._read = read
        self._kernels = kernels
        self._on_event = on_event or (lambda event: None)
        self._on_saved = on_saved or (lambda run: None)
        self._clock = clock
        self._due_runs = due_runs
        self._on_error = on_error
        self._is_ready = is_ready
        self._poll_interval = poll_interval
        self._runs: dict[int, OwnedRun] = {}
        self._submitted: dict[Key, int] = {}  # key: attempt at the executor; value: id of the run's record
        self._results = Results()
        self._others: tuple[Claim, ...] = ()  # claims of tasks of other schedulers, which occupy slots of the pools
        self._pools: dict[str, int] = {}
        self._seen: Hashable | None = None  # the store's count of changes at the last poll; None forces a poll
        self._stopping = False
        self._draining = False
        self._cache = ResultCache(store, home)
        self._pending: list[Job] = []  # jobs whose attempts are recorded, but not yet submitted to the executor
        self._presence = Presence(self.id, store, executor, self._choice)

    def register(self, alive: Callable[[SchedulerRow], bool] | None = None) -> SchedulerRow | None:
        """Register this process as a scheduler and start the executor; return None.

        If `alive` is given and returns true for another scheduler, do not register, and return that scheduler.
        """
        kind = "run" if self._due_runs is None else "scheduler"
        other = self._presence.register(self._clock(), kind, alive)
        if other is None:
            self._executor.start(self._results.put)
        return other

    def own(self, run: RunRow) -> None:
        """Take ownership of a run: the loop executes it from now on."""
        self._runs[run.id] = self._load(run)
        self._seen = None  # force a poll at the next tick, which reads the sizes of the run's pools

    def stop(self) -> None:
        """Cancel every owned run at the next tick. Safe in a signal handler and in any thread."""
        self._stopping = True
        self._results.wake()

    def drain(self) -> None:
        """Start no more attempts. Safe in a signal handler and in any thread."""
        self._draining = True
        self._results.wake()

    def wake(self) -> None:
        """End a `wait`, so that the loop ticks now. Safe in a signal handler and in any thread."""
        self._results.wake()

    def refresh(self) -> None:
        """Read the store at the next tick. Call this after this process itself has changed the store."""
        self._seen = None

    @property
    def busy(self) -> int:
        """Return the number of attempts at the executor."""
        return len(self._submitted)

    @property
    def unfinished(self) -> int:
        """Return the number of owned runs that have not ended."""
        return sum(not run.finished for run in self._runs.values())

    @property
    def blocked(self) -> list[RunRow]:
        """Return the unfinished runs if no attempt is running and each run waits for a previous run; else return []."""
        unfinished = [run for run in self._runs.values() if not run.finished]
        return [run.row for run in unfinished] if not self._submitted and all(run.blocked for run in unfinished) else []

    def cancel_attempts(self) -> None:
        """Cancel every attempt at the executor without recording an outcome."""
        for key in list(self._submitted):
            self._executor.cancel(key)

    @property
    def done(self) -> bool:
        """Return whether every owned run and every attempt has ended."""
        return not self._submitted and all(run.finished for run in self._runs.values())

    def run_until_done(self) -> None:
        """Execute the owned runs until all of them, and all attempts, have ended."""
        while True:
            wake = self.tick_now()
            if self.done:
                return
            self.wait(wake)

    def tick_now(self) -> datetime | None:
        """Tick at the current time. If the database server does not answer, report that once and retry."""
        from ..store.database import StoreUnreachableError

        until = time.monotonic() + RECONNECT_TIMEOUT
        reported = False
        while True:
            try:
                return self.tick(self._clock())
            except StoreUnreachableError as error:
                if self._stopping or time.monotonic() > until:
                    raise
                if not reported:
                    self._report_to_all(f"{error} (retrying for {RECONNECT_TIMEOUT:g} s)")
                    reported = True
                time.sleep(SLOW_POLL_INTERVAL)

    def _report_to_all(self, message: str) -> None:
        for run in self._runs.values():
            row, at = run.row, self._clock().timestamp()
            self._on_event(Event(kind="run", run_id=row.name, state=row.state, at=at, message=message, dag=row.dag))

    def terminate(self) -> None:
        """Terminate every attempt now, and record the outcomes as far as possible."""
        self._stopping = True
        self._on_event = lambda event: None
        self._executor.stop()
        now = self._clock()
        self._results.receive()
        ended = {result.key for result in self._results.unsaved}
        for key in self._submitted:
            if key not in ended:
                self._results.put(_terminated(key, now.timestamp()))
        # An error of the store is ignored, because the caller has already reported it.
        with contextlib.suppress(NbdagError):
            self.tick(now)

    def tick(self, now: datetime) -> datetime | None:
        """Take all steps that are due. Return the due time of the next tick; an event may require an earlier tick."""
        if self._presence.is_due(now):
            self._presence.record_heartbeat(now)
            for key in self._presence.find_hosts(self._submitted):
                if self._submitted[key] in self._runs:
                    self._runs[self._submitted[key]].idle = False  # the next step records the host
        self._results.receive()
        self._poll_store()
        self._submit_pending()
        wake = self._own_due_runs(now)
        again = True
        while again:
            again = self._step(now)
            if self._due_runs is not None and not again and self._forget_finished():
                before = set(self._runs)
                wake = self._own_due_runs(now)  # a run has ended, so a queued run may start
                again = not before.issuperset(self._runs)
        # Discard results of attempts that this scheduler did not submit, and duplicate results.
        self._results.keep(self._submitted)
        return min((at for at in (wake, *(run.wake for run in self._runs.values())) if at), default=None)

    def _own_due_runs(self, now: datetime) -> datetime | None:
        """Own the runs that are due; return the time of the next poll for due runs."""
        if self._due_runs is None or self._draining:
            return None
        due, wake = self._due_runs.poll(now, self.id, self._runs)
        states = load_states(self._store, [each.row for each in due])
        for each in due:
            if not self._is_ready(each.row):
                continue
            try:
                run = self._owned_run(each.row, *states[each.row.id])
            except NbdagError as error:
                from ..store.database import StoreError

                if self._on_error is None or isinstance(error, StoreError):
                    raise
                self._on_error(each.row, error)
                continue
            run.most = each.most
            self._runs[each.row.id] = run
        if due:
            self._seen = None  # read the claims again: tasks of these runs no longer count as tasks of other schedulers
            self._poll_store()
        return wake

    def _forget_finished(self) -> bool:
        finished = [
            number for number, run in self._runs.items() if run.finished and number not in self._submitted.values()
        ]
        for number in finished:
            del self._runs[number]
        return bool(finished)

    def _step(self, now: datetime) -> bool:
        """Do one step for every run that may change; return whether another step must follow immediately."""
        steps = {}
        results: dict[int | None, list[Result]] = {}
        for result in self._results.unsaved:
            results.setdefault(self._submitted.get(result.key), []).append(result)
        for number, run in self._runs.items():
            mine = results.get(number, [])
            asleep = run.idle and (run.wake is None or run.wake > now) and not self._stopping
            if (run.finished or asleep) and not mine:
                continue
            step = steps[number] = RunStep(run, now)
            step.record_results(mine)
            found = self._presence.new_hosts.items()
            step.hosts = {key: host for key, host in found if self._submitted.get(key) == number}
            past = previous_states(self._store, run.row) if run.depends_on_previous else None
            step.advance(cancelled=self._stopping or run.row.cancel_asked is not None, previous=past)
        self._assign_slots(steps.values())
        again = changed = False
        for number, step in steps.items():
            saved = self._save(step, results.get(number, ()))
            if saved is None:  # another process saved first, so the step must be repeated
                self._seen = None
                if step.run.most is not None and step.starts:
                    del self._runs[number]  # release the run: the next poll decides whether it may still start
                    continue
                if number not in self._runs:
                    continue
                self._runs[number] = self._load(self._store.run(number))
                self._poll_store()
            changed = changed or bool(saved)
            again = again or saved is None or bool(step.added) or step.used_cache
        return again or (changed and any(run.depends_on_previous and not run.finished for run in self._runs.values()))

    def _assign_slots(self, steps: Iterable[RunStep]) -> None:
        steps = list(steps)
        ready = [claim for step in steps for claim in step.ready_claims()]
        if not ready or self._draining:
            return
        seen = {step.row.id for step in steps}
        asleep = [
            RunStep(run, step.now) for number, run in self._runs.items() if number not in seen for step in steps[:1]
        ]
        active = [claim for step in (*steps, *asleep) for claim in step.active_claims()]
        busy = self.busy - sum(len(step.ended) for step in steps)
        taken = assign_slots(
            ready,
            [*active, *self._others],
            pools=self._pools,
            jobs=self._executor.slots,
            busy=busy,
            offers=self._executor.offers,
        )
        by_run = {(step.row.dag, step.row.name): step for step in steps}
        for claim in taken.start:
            step = by_run[claim.dag_id, claim.run_id]
            step.start(claim, *self._earlier(step, claim))

    def _earlier(self, step: RunStep, claim: Claim) -> tuple[str | None, CachedOutcome | None]:
        """Return (cache key, earlier outcome) of a new attempt; see `ResultCache.earlier`."""
        if not step.run.dag.tasks[claim.task].options.cache:
            return None, None
        instance = step.instances[claim.task, claim.map_index]
        job = self._job(step, replace(instance, tries=instance.tries + 1))
        # A task that was cleared must be executed again, so it reuses no earlier outcome.
        wanted = step.row.cache and not instance.tries_before_reset
        return self._cache.earlier(step.run.dag, job, wanted=wanted)

    def _save(self, step: RunStep, results: Sequence[Result]) -> bool | None:
        """Save a step, and return whether it changed anything.

        If another process saved first, keep the results for the next step and return None.
        """
        if step.ends:
            step.compare_files(self._store.files(step.row.id))
        offers = self._executor.offers
        limits = offers.hosts[0] if offers is not None and not offers.may_grow else {}
        change = step.change(self.id, self._pools, limits, self._executor.host)
        if change is None:
            step.mark_idle()
            self._mark_ended(results)
            return False
        events = step.events()
        to_come = self._to_come(step)
        jobs = [self._job(step, instance, to_come) for instance in step.starting]
        added = self._store.save(change)
        if added is None:
            return None
        step.commit(added)
        self._mark_ended(results)  # called before the callbacks, because a callback may raise
        self._presence.recorded(step.hosts)
        self._submitted.update(dict.fromkeys((job.key for job in jobs), step.row.id))
        self._pending += jobs
        self._submit_pending()
        for each in step.plan.cancel:
            self._cancel(step, each.task, each.map_index)
        for event in events:
            self._on_event(event)
        self._on_saved(step.run)
        return True

    def _mark_ended(self, results: Sequence[Result]) -> None:
        for result in results:
            self._submitted.pop(result.key, None)
        self._results.remove(results)

    def _submit_pending(self) -> None:
        while self._pending:
            self._executor.submit(self._pending.pop(0))

    def _cancel(self, step: RunStep, task: str, map_index: int) -> None:
        key = step.run.key(step.instances[task, map_index])
        if key in self._submitted:
            self._executor.cancel(key)

    def _to_come(self, step: RunStep) -> int | None:
        """Return how many attempts may follow those that start now, or None if the number is unknown."""
        if self._due_runs is not None:
            return None
        waiting = 0
        for run in self._runs.values():
            for each in (step.instances if run is step.run else run.instances).values():
                if each.map_index < 0 and each.state not in FINISHED and run.dag.tasks[each.task].options.map:
                    return None  # its number of instances is not known yet
                waiting += each.state in WAITING
        return waiting

    def _job(self, step: RunStep, instance: InstanceRow, to_come: int | None = None) -> Job:
        run, row = step.run, step.row
        key = run.key(instance)
        task = run.dag.tasks[instance.task]
        return assemble(
            run.dag,
            key,
            outputs_of=step.outputs_of,
            path=str(self._home.attempt(key)),
            mark=self._home.mark(key),
            values=str(self._home.values),
            storage=self._home.remote or "",
            home=str(self._home.root) if self._home.storage else "",
            cwd=row.cwd,
            kernel_name=run.dag.kernel_name or "python3",
            kernels=self._kernels,
            parameters=row.parameters,
            element=instance.element,
            expand=bool(task.options.map) and instance.map_index < 0,
            to_come=to_come,
            context=run.context(instance) | {"state_files": [str(path) for path in self._home.state_files(key)]},
        )

    def _load(self, row: RunRow) -> OwnedRun:
        return self._owned_run(row, *load_states(self._store, [row])[row.id])

    def _owned_run(
        self, row: RunRow, instances: list[InstanceRow], attempts: list[AttemptRow], borrowed: dict[str, int]
    ) -> OwnedRun:
        dag = self._read(row)
        notes = self._store.notes([row.id])[row.id] if layout(dag).has_deadlines else ()
        run = OwnedRun.of(row, dag, instances, attempts, borrowed_outputs(self._store, borrowed), notes)
        self._reconcile(run, attempts)
        return run

    def _reconcile(self, run: OwnedRun, attempts: Iterable[AttemptRow]) -> None:
        """Cancel attempts of tasks that a user has cleared or marked; submit attempts that are only recorded."""
        wanted = {run.key(each) for each in run.instances.values() if each.state in (QUEUED, RUNNING)}
        for key, number in self._submitted.items():
            if number == run.row.id and key not in wanted:
                self._executor.cancel(key)  # the executor has an attempt of a task that a user marked or cleared
        for attempt in attempts:
            if attempt.state is not RUNNING or attempt.scheduler != self.id:
                continue
            instance = run.instances.get((attempt.task, attempt.map_index))
            if instance is None or instance.tries != attempt.try_number:
                continue
            key = run.key(instance)
            if key in wanted and key not in self._submitted:
                # The attempt is recorded but was not submitted: the connection to the database broke before the store
                # confirmed the change.
                self._submitted[key] = run.row.id
                self._pending.append(self._job(RunStep(run, self._clock()), instance))

    def _poll_store(self) -> None:
        """Read the changes that other processes have made since the last poll."""
        count = self._store.changes()
        if count is not None and count == self._seen:
            return
        self._seen = count
        self._pools = {**implicit_pools(run.dag for run in self._runs.values()), **self._store.pools()}
        # Tasks of another scheduler use the same resources only if both schedulers execute tasks on this machine.
        offers = self._executor.offers
        here = this_process().host if offers is not None and not offers.may_grow else ""
        active = self._store.active_instances()
        self._others = tuple(claim_of(each, here) for each in active if each.number not in self._runs)
        revisions = self._store.revisions(list(self._runs))
        for number, run in list(self._runs.items()):
            if number not in revisions:
                del self._runs[number]  # another process deleted the run
            elif revisions[number] != run.row.revision:
                most = run.most
                self._runs[number] = self._load(self._store.run(number))
                self._runs[number].most = most
            # A task may be able to start: a pool may be larger now, or the previous run may have ended.
            run.idle = False

    def wait(self, wake: datetime | None) -> None:
        """Wait until the time `wake`, or until an attempt ends or another process changes the store."""
        # If the database has no count of changes, the next tick reads the database.
        until = time.monotonic() + (HEARTBEAT_INTERVAL if self._seen is not None else SLOW_POLL_INTERVAL)
        if wake is not None:
            until = min(until, time.monotonic() + max(0.0, (wake - self._clock()).total_seconds()))
        while True:
            if self._results.wait(min(self._poll_interval, max(0.0, until - time.monotonic()))):
                return
            if time.monotonic() >= until or self._store.changes() != self._seen:
                return


def _terminated(key: Key, now: float) -> Result:
    return Result(
        key=key, state=TaskState.FAILED, started=now, ended=now, error="the attempt was terminated", final=True
    )
