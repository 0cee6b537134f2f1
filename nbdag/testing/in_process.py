"""An executor that runs attempts as threads of the calling process, so that a run takes milliseconds.

An attempt executes the same steps as in a kernel, in the same order (parameters, setup, definitions, inputs, `--when`,
the cell, `--check`, outputs), and uses the real store of values.

    executor = InProcessExecutor(slots=2)
    executor.start(results.put)
    executor.submit(job)
"""

from __future__ import annotations

import ast
import ctypes
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ..core.cells.kernel_values import KernelCode
from ..core.model.job import CANCELLED, KERNEL_DIED, PUSHED, TIMED_OUT, Job, Key, Outcome, Result
from ..core.model.metrics import metrics_of
from ..core.model.states import TaskState
from ..errors import Fail, NbdagError, Skip
from ..executors import Executor
from ..kernels.runtime.expressions import check, choice, elements, error_kinds, is_true, when_holds
from ..secrets.parameters import resolved
from ..task_api.context import DagRun, PulledValues, set_current
from ..task_api.waiting import Postponed
from ..values import Origins, ValueStore


class _Terminated(BaseException):
    """Raised in the code of an attempt that was cancelled or has timed out."""


_SLOTS = 2  # default number of attempts that run at once


@dataclass(eq=False, slots=True)
class _Submission:
    """A submitted attempt that has no result yet."""

    job: Job
    reason: str | None = None  # why the attempt was terminated; None if the attempt was not terminated
    thread: int | None = None  # id of the thread that executes the attempt's code; None if the code is not running


class InProcessExecutor(Executor):
    """Executes up to `slots` attempts at once, in threads of this process.

    Like every executor, it reports one result per job, and supports `cancel`, `stop`, slots, timeouts, `--when`,
    `--check`, `--map`, `nbdag.Skip` and `nbdag.Fail`. It does not support:

    - isolation: attempts share this process's modules, environment, working directory and standard streams
    - pinned files: attempts use the files of the working directory as they are
    - interruption of a single call, such as a long `time.sleep`: an attempt is terminated when the call returns
    - termination of subprocesses: they outlive their attempt, and `terminate_leftovers` does nothing
    - features that need IPython: magics, sensors, and the line numbers of definitions
    - the attempt's notebook: only a text log with one line is written
    - warnings about undeclared changes
    """

    slots: int = _SLOTS

    def __init__(self, slots: int | None = None) -> None:
        self.slots = _SLOTS if slots is None else slots
        self._on_result: Callable[[Result], None] = lambda result: None
        self._lock = threading.Lock()
        self._waiting: deque[_Submission] = deque()
        self._attempts: dict[Key, _Submission] = {}  # attempts without a result, including those that wait for a slot
        self._threads: set[threading.Thread] = set()
        self._stopping = False

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Set the callback for results; threads of the executor call it."""
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        """Queue an attempt without waiting; it starts when a slot is free."""
        attempt = _Submission(job)
        with self._lock:
            if self._stopping:
                attempt.reason = CANCELLED
            self._attempts[job.key] = attempt
            self._waiting.append(attempt)
            if len(self._threads) < self.slots:
                thread = threading.Thread(target=self._work, name="nbdag-in-process", daemon=True)
                self._threads.add(thread)
                thread.start()

    def cancel(self, key: Key) -> None:
        """Terminate an attempt; its result is `failed` with the error `cancelled`."""
        with self._lock:
            attempt = self._attempts.get(key)
            if attempt is not None:
                self._terminate(attempt, CANCELLED)

    def stop(self) -> None:
        """Terminate all attempts, and wait until each has a result."""
        with self._lock:
            self._stopping = True
            for attempt in self._attempts.values():
                self._terminate(attempt, CANCELLED)
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        """Do nothing, because attempts of this executor have no processes."""

    def _work(self) -> None:
        """Execute waiting attempts, one after another, until no attempt waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.discard(threading.current_thread())
                    return
                attempt = self._waiting.popleft()
            self._on_result(self._execute(attempt))

    def _execute(self, attempt: _Submission) -> Result:
        started, trace = time.time(), None
        job = attempt.job
        try:
            with self._timeout(attempt):
                outcome = self._outcome(attempt)
        except _Terminated:
            kinds = TIMED_OUT if (attempt.reason or "").startswith("timed out") else KERNEL_DIED
            outcome = Outcome(state=TaskState.FAILED, error=attempt.reason, kinds=kinds)
        except Postponed as later:
            outcome = Outcome(state=TaskState.UP_FOR_RESCHEDULE, wake=later.wake, question=later.question)
        except Skip as skip:
            outcome = Outcome(state=TaskState.SKIPPED, error=str(skip))
        except BaseException as error:
            message = str(error) if isinstance(error, NbdagError) else f"{type(error).__name__}: {error}"
            asked = job.task.options.retry_on or job.task.options.soft_fail
            kinds = error_kinds(error, job.task.options.retry_on) if asked else ()
            retry = _wants_retry(job, error)
            outcome = Outcome(
                state=TaskState.FAILED, error=message, final=isinstance(error, Fail), kinds=kinds, retry=retry
            )
            trace = traceback.format_exc()
        with self._lock:
            self._attempts.pop(job.key, None)
        observed = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
        return Result(key=job.key, started=started, ended=time.time(), traceback=trace, **observed)

    def _outcome(self, attempt: _Submission) -> Outcome:
        job, options = attempt.job, attempt.job.task.options
        values = ValueStore(job.values)
        params = resolved(job.context.get("params", {}))
        run = DagRun.of(
            job.context,
            params=params,
            found=_pulls(job, values),
            tasks=job.pull_tasks,
            home=str(Path(job.values).parent),
        )
        set_current(run, in_thread=True)
        names: dict[str, Any] = {"__name__": "__main__", "dag_run": run}
        Path(job.path).parent.mkdir(parents=True, exist_ok=True)
        Path(job.path).with_suffix(".log").write_text(f"{job.key.task} begins\n")
        with self._interruptible(attempt):
            for code in job.parameter_cells:
                exec(code, names)
            names |= resolved(job.parameters)
            names |= {
                name: eval(value.code, names) for name, value in job.parameters.items() if isinstance(value, KernelCode)
            }
            for code in (*job.setup_cells, *(definition.source for definition in job.task.definitions)):
                exec(code, names)
        params.update((name, names[name]) for name in job.context.get("parameter_names", ()) if name in names)
        origins = Origins()
        origins.add_setup(names)
        _load_inputs(job, values, names, origins)
        if job.expand:
            columns, rows = elements(options.map, names, in_step=options.paired, limit=options.max_map_length)
            digests = {
                name: [
                    values.save({name: value}, namespace=names, origins=origins).outputs[0].digest for value in column
                ]
                for name, column in columns.items()
            }
            given = tuple({name: digests[name][at] for name, at in zip(columns, row, strict=True)} for row in rows)
            return Outcome(state=TaskState.SUCCESS, length=len(given), elements=given)
        if options.when is not None and not when_holds(options.when, names):
            error = f"--when {options.when} is false"
            return Outcome(state=TaskState.SKIPPED, error=error, short_circuit=options.short_circuit)
        with self._interruptible(attempt):
            value = _run_cell(job.task.code, f"<{job.key.task}>", names)
            for expression in options.check:
                check(expression, names)
            chosen = choice(value, job.choices, job.key.task) if options.branch else None
            decides = options.short_circuit and options.when is None
            short = decides and not is_true(value, job.key.task)
        groups = [[name for name in group if name in names] for group in job.task.exports]
        pushed = {f"{PUSHED}{key}": value for key, value in run.ti.pushed.items()}
        saved = values.save(
            {name: names[name] for group in groups for name in group} | pushed,
            [*(group for group in groups if group), *([name] for name in pushed)],
            readers=job.readers,
            namespace=names,
            origins=origins,
        )
        metrics, _ = metrics_of(names | pushed, options.metric, [each.name for each in saved.outputs])
        return Outcome(
            state=TaskState.SUCCESS, outputs=saved.outputs, metrics=metrics, chosen=chosen, short_circuit=short
        )

    @contextmanager
    def _interruptible(self, attempt: _Submission) -> Iterator[None]:
        """If the attempt is terminated, raise `_Terminated` inside the `with` block or at its end, but never later."""
        with self._lock:
            if attempt.reason is not None:
                raise _Terminated
            attempt.thread = threading.get_ident()
        try:
            yield
        finally:
            with self._lock:
                attempt.thread = None
                if attempt.reason is not None:
                    _end_pending(_Terminated)
        if attempt.reason is not None:
            raise _Terminated

    @contextmanager
    def _timeout(self, attempt: _Submission) -> Iterator[None]:
        """Terminate the attempt if the block takes longer than the task's `--timeout`."""
        seconds = attempt.job.task.options.timeout
        if seconds is None:
            yield
            return

        def time_out() -> None:
            with self._lock:
                self._terminate(attempt, f"timed out after {seconds:g} s")

        timer = threading.Timer(seconds, time_out)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _terminate(self, attempt: _Submission, reason: str) -> None:
        """Interrupt the attempt's code, or prevent its start. The caller holds the lock."""
        if attempt.reason is not None:
            return
        attempt.reason = reason
        if attempt.thread is not None:
            _raise_in(attempt.thread, _Terminated)


def _raise_in(thread: int, exception: type[BaseException]) -> None:
    """Raise an exception in a thread when the thread next executes Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(exception))


def _end_pending(exception: type[BaseException]) -> None:
    """Raise and catch an exception that `_raise_in` may have left pending in this thread.

    Withdrawing the exception instead would leave the interpreter's flag for pending exceptions set. With this flag set,
    Python 3.11 hangs in the first call after a debugger, a profiler or coverage has begun to trace.
    """
    with suppress(exception):
        _raise_in(threading.get_ident(), exception)
        while True:  # the pending exception ends this loop
            pass


def _run_cell(code: str, name: str, names: dict[str, Any]) -> Any:
    """Execute a cell and return the value of its last expression, or None."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names) if isinstance(last, ast.Expr) else None


def _wants_retry(job: Job, error: BaseException) -> bool | None:
    condition = job.task.options.retry_if
    return None if condition is None else bool(eval(condition, {"error": error}))


def _pulls(job: Job, values: ValueStore) -> Callable[[str, str], PulledValues | None]:
    def found(task: str, key: str) -> PulledValues | None:
        for each in job.pulled:
            if (each.task, each.key) == (task, key):
                parts = tuple(partial(_value, values, digest, each.name) for digest in each.digests)
                return PulledValues(parts, each.is_list)
        return None

    return found


def _value(values: ValueStore, digest: str, name: str) -> Any:
    return values.load(digest)[name]


def _load_inputs(job: Job, values: ValueStore, names: dict[str, Any], origins: Origins) -> None:
    for given in job.inputs:
        parts = [values.load(digest, namespace=names, origins=origins)[given.name] for digest in given.digests]
        names[given.name] = parts if given.is_list else parts[0]
    for name, digest in job.element.items():
        names[name] = values.load(digest, namespace=names, origins=origins)[name]
