"""The local executor: each attempt on this machine has a worker process, which runs papermill, and a kernel.

Workers are forked by a server that has already imported papermill, because that import takes seconds. The executor
starts the server early, when the executor is created, so that the server imports papermill while the run is being
planned. If forking is impossible, a worker is an ordinary process. A worker can execute several attempts in a row,
because user code runs only in the kernel. A worker is killed if its attempt was terminated, or if it stops sending
heartbeats. A worker sends a heartbeat every few seconds, even while its kernel is busy.

Every job has exactly one result, even if a process is killed. An attempt ends when its worker sends the result or dies,
at a timeout, or through `cancel` or `stop`. When an attempt has ended, no process of the attempt is left. If the
executor's process is killed, its workers exit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from .. import secrets
from ..core.model.job import CANCELLED, KERNEL_DIED, Job, Key, Result
from ..core.model.states import TaskState
from ..core.planning.resources import Offers
from ..environments import ensure
from ..errors import NbdagError
from ..kernels.forkserver import framing, server_registry
from ..kernels.forkserver.client import ForkServerError, Server, ServerHold
from ..kernels.forkserver.server_spec import ServerSpec
from ..kernels.jupyter.kernel_pool import KernelPool
from ..processes.leftovers import terminate_leftovers
from ..processes.process_tree import is_running, kill_tree
from ..writing import create_private_file, make_private_folder
from . import Executor, HostState
from .host_resources import ADVICE, cores, load_average, offered_here
from .job_files import get_inputs, store_results

WORKER_MODULE = "nbdag.kernels.worker.worker"
TARGET = f"{WORKER_MODULE}:Worker"
GRACE = 30.0  # seconds after which a worker that was asked to exit is killed; longer than the worker's own grace period
HANG_UP_TIMEOUT = 60.0  # maximum wait in seconds for the exit code of a worker that has closed its connection
WORKER_SPARES = 2  # number of workers that are forked in advance
MAX_KERNEL_SPARES = 8  # maximum number of kernels that are forked in advance; each takes about 15 MB
LINGER = 10.0  # seconds after which an idle worker is ended
HEARTBEAT = 5.0  # seconds between two heartbeats of a worker
MAX_MISSED = 60  # number of missed heartbeats in a row after which a worker is killed (300 s)


class _WorkerProcess(Protocol):
    """The process of a worker, whether the fork server forked it or this process started it."""

    pid: int

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code (negative for a signal), or None if the process is still running."""

    def close(self) -> None:
        """Kill the worker's process group."""


@dataclass(frozen=True, eq=False, slots=True)
class _WorkerHandle:
    """A process that executes one attempt at a time."""

    process: _WorkerProcess
    connection: socket.socket

    def dismiss(self) -> None:
        """End an idle worker."""
        self.connection.close()
        self.process.wait(GRACE)
        self.process.close()


@dataclass(eq=False, slots=True)
class _Submission:
    """An attempt that was submitted and has no result yet."""

    job: Job
    started: float = 0.0  # start of the attempt, in seconds since the epoch
    connection: socket.socket | None = None
    cancelled: bool = False
    kernel: int | None = None  # pid of the kernel
    mark: str = ""
    state: dict[Path, str] = field(default_factory=dict)  # digests of the files of `nbdag.state` before the attempt
    lost: str = ""  # why the executor no longer waits for the worker; "" while it waits
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self) -> None:
        """Ask the worker to terminate the attempt. If the attempt has no worker yet, prevent it from starting."""
        with self.lock:
            self.cancelled = True
            if self.connection is not None:
                with contextlib.suppress(OSError):
                    framing.send(self.connection, {"terminate": CANCELLED})

    def assign(self, connection: socket.socket, heartbeat: float) -> None:
        """Send the job to a worker, with the interval of its heartbeats in seconds."""
        with self.lock:
            framing.send(connection, {"job": True, "heartbeat": heartbeat}, pickle.dumps(self.job))
            self.connection = connection
            if self.cancelled:
                framing.send(connection, {"terminate": CANCELLED})

    def finish(self, has_result: bool) -> None:
        """Detach the worker from the attempt. If the worker has sent a result, confirm the result, so that the worker
        takes the next job.
        """
        with self.lock:
            if has_result and not self.cancelled and self.connection is not None:
                with contextlib.suppress(OSError):
                    framing.send(self.connection, {"next": True})
            self.connection = None

    def failed(self, error: str) -> Result:
        """Return a failed result for an attempt whose worker sent no result."""
        now = time.time()
        started = self.started or now
        return Result(
            key=self.job.key, state=TaskState.FAILED, started=started, ended=now, error=error, kinds=KERNEL_DIED
        )


class LocalExecutor(Executor):
    """Executes up to `slots` attempts at once (default: the number of cores).

    A worker sends a heartbeat every `heartbeat` seconds. `resources` declares resources of this host for --resources,
    in addition to cores, memory and NBDAG_RESOURCES.
    """

    slots: int = 0
    offers: Offers | None = None

    def __init__(self, slots: int | None = None, *, heartbeat: float = HEARTBEAT, resources: str | None = None) -> None:
        server_registry.idle_time(), server_registry.max_servers()  # an invalid setting is reported before any attempt
        self.offers = Offers((offered_here(resources),))
        self.slots = slots = cores() if slots is None else slots
        self._heartbeat = heartbeat
        self.host = socket.gethostname()
        self._on_result: Callable[[Result], None] = lambda result: None
        self._attempts: dict[Key, _Submission] = {}
        self._threads: set[threading.Thread] = set()
        self._free_slots = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._stopping = False
        self._hold: ServerHold | None = None
        self._server: Server | None = None
        self._idle: list[_WorkerHandle] = []
        self._dismissal: threading.Timer | None = None
        self._kernel_pool = KernelPool(min(MAX_KERNEL_SPARES, slots))
        self._connecting = threading.Thread(target=self._connect, name="nbdag-connect", daemon=True)
        self._connecting.start()

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Send results to `on_result`, from threads of the executor."""
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        """Queue an attempt without waiting; it starts when a slot is free."""
        attempt = _Submission(job)
        thread = threading.Thread(target=self._run, args=(attempt,), name=f"nbdag-{job.key.task}", daemon=True)
        with self._lock:
            try:
                thread.start()
            except RuntimeError as error:  # the limit of threads is reached (ulimit -u)
                refused = attempt.failed(f"the attempt did not start: {error}; end other programs or raise ulimit -u")
            else:
                self._attempts[job.key] = attempt
                self._threads.add(thread)
                return
        self._on_result(replace(refused, host=self.host))

    def cancel(self, key: Key) -> None:
        """Request the termination of an attempt, without waiting."""
        with self._lock:
            attempt = self._attempts.get(key)
        if attempt is not None:
            attempt.cancel()

    def stop(self) -> None:
        """Terminate all attempts, and wait until all their processes have ended."""
        with self._lock:
            self._stopping = True
            keys, threads = list(self._attempts), list(self._threads)
        for key in keys:
            self.cancel(key)
        for thread in (*threads, self._connecting):
            thread.join()
        if self._dismissal is not None:
            self._dismissal.cancel()
        self._dismiss()
        self._kernel_pool.close()
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        """Kill the processes of an attempt whose executor was killed, and wait until they have ended."""
        terminate_leftovers(notebook, mark)

    def hosts(self) -> list[HostState]:
        """Return this host."""
        with self._lock:
            running = sum(attempt.connection is not None for attempt in self._attempts.values())
        load = load_average()
        return [
            HostState(
                name=self.host, address="", slots=self.slots, running=running, load=load, cores=cores(), versions={}
            )
        ]

    @property
    def workers(self) -> tuple[int, ...]:
        """The pids of idle workers."""
        with self._lock:
            return tuple(worker.process.pid for worker in self._idle)

    def _connect(self) -> None:
        try:
            server = Server.connect(ServerSpec.of(targets=[TARGET]))
            self._hold = server.hold()
        except (ForkServerError, OSError) as error:
            if sys.platform == "linux":  # other systems have no fork server, as `nbdag doctor` reports
                logging.getLogger(__name__).warning("%s", error)
            return
        self._hold.set_spares(min(WORKER_SPARES, self.slots), TARGET)
        self._server = server

    def _run(self, attempt: _Submission) -> None:
        try:
            with contextlib.ExitStack() as cleanup:
                try:
                    self._kernel_pool.job_submitted(attempt.job)
                    with self._free_slots:
                        result = self._execute(attempt, cleanup)
                    result = _with_stored_results(attempt, result)
                except NbdagError as error:
                    result = attempt.failed(str(error))
                except OSError as error:
                    result = attempt.failed(f"the attempt did not start: {_describe(error)}")
                except Exception as error:
                    result = attempt.failed(f"the attempt did not start: {type(error).__name__}: {error}")
                with self._lock:
                    self._attempts.pop(attempt.job.key, None)
                self._on_result(replace(result, host=self.host))
        finally:
            self._kernel_pool.job_ended(attempt.job)
            with self._lock:
                self._threads.discard(threading.current_thread())
                if not self._threads and not self._stopping:
                    self._dismissal = threading.Timer(LINGER, self._dismiss)
                    self._dismissal.daemon = True
                    with contextlib.suppress(RuntimeError):  # no thread can start; `stop` ends the workers
                        self._dismissal.start()

    def _execute(self, attempt: _Submission, cleanup: contextlib.ExitStack) -> Result:
        job = attempt.job
        attempt.started = time.time()
        if attempt.cancelled or self._stopping:
            return attempt.failed(CANCELLED)
        lacks = self.offers.why_never(job.task.options.resources) if self.offers is not None else ""
        if lacks:
            return replace(attempt.failed(f"the task {lacks}; {ADVICE}"), final=True, kinds=())
        if not Path(job.cwd).is_dir():
            return attempt.failed(f"the working directory {job.cwd} does not exist; create it")
        make_private_folder(Path(job.path).parent)
        create_private_file(_log(job))
        if job.packages:
            _make_environment(job)
        attempt.state = get_inputs(job)
        worker = self._worker(job)
        cleanup.callback(self._release, attempt, worker)
        result = None
        try:
            attempt.assign(worker.connection, self._heartbeat)
            result = self._await_result(attempt, worker.connection)
        finally:
            attempt.finish(result is not None)
        if result is None:
            # The next attempt may start as soon as this result is sent, so the kernel must have ended before.
            code = worker.process.wait(1 if attempt.cancelled or attempt.lost else HANG_UP_TIMEOUT)
            kill_tree(attempt.kernel, attempt.mark)
            return attempt.failed(_describe_death(attempt, code))
        return result

    def _release(self, attempt: _Submission, worker: _WorkerHandle) -> None:
        """Keep the worker for the next job if it has sent its result and shut down its kernel; else kill the worker."""
        if not (attempt.cancelled or attempt.lost) and _is_free(worker.connection):
            with self._lock:
                self._idle.append(worker)
            return
        code = worker.process.wait(0 if attempt.cancelled or attempt.lost else 1)
        worker.connection.close()
        worker.process.close()
        if code != 0:
            kill_tree(attempt.kernel, attempt.mark)

    def _dismiss(self) -> None:
        """End the idle workers."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.dismiss()

    def _await_result(self, attempt: _Submission, connection: socket.socket) -> Result | None:
        """Receive the worker's messages up to the result; return None if the worker exits, hangs or times out."""
        timeout = attempt.job.task.options.timeout
        deadline = float("inf") if timeout is None else time.monotonic() + timeout + GRACE
        is_terminating = False
        # Number of missed heartbeats in a row. Seconds are not counted, because the machine may have been suspended.
        missed = 0
        # The timeout limits the wait for a worker that stops in the middle of a message.
        connection.settimeout(self._heartbeat * MAX_MISSED)
        while missed < MAX_MISSED:
            if attempt.cancelled and not is_terminating:
                is_terminating, deadline = True, min(deadline, time.monotonic() + GRACE)
            left = deadline - time.monotonic()
            if not framing.wait_readable(connection, within=max(0.0, min(self._heartbeat, left))):
                if left <= self._heartbeat:
                    attempt.lost = (
                        f"timed out after {timeout or GRACE:g} s, and the attempt's worker did not end by itself"
                    )
                    return None
                missed += 1
                continue
            missed = 0
            try:
                frame = framing.receive(connection)
            except TimeoutError:
                break
            if frame is None:
                return None
            if "kernel" in frame.data:
                attempt.kernel, attempt.mark = frame.data["kernel"], frame.data["mark"]
                self._kernel_pool.kernel_started(attempt.job)
            elif "alive" not in frame.data:
                result: Result = pickle.loads(frame.blob)
                return result
        attempt.lost = f"the attempt's worker sent no heartbeat for {self._heartbeat * MAX_MISSED:g} s and was killed"
        return None

    def _worker(self, job: Job) -> _WorkerHandle:
        """Return an idle worker or a new one."""
        with self._lock:
            if self._dismissal is not None:
                self._dismissal.cancel()
            while self._idle:
                worker = self._idle.pop()
                # An idle worker sends nothing, so a readable connection means that the worker has exited. The process
                # itself is checked too, because the connection and the fork server may report its death late.
                closed = framing.wait_readable(worker.connection, within=0)
                if not closed and worker.process.wait(0) is None and is_running(worker.process.pid):
                    return worker
                worker.dismiss()
        self._connecting.join()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return _WorkerHandle(self._start_worker(job, theirs), ours)
            except BaseException:
                ours.close()
                raise

    def _start_worker(self, job: Job, connection: socket.socket) -> _WorkerProcess:
        with _log(job).open("ab") as log:
            stdio = (connection.fileno(), log.fileno(), log.fileno())
            if self._server is not None:
                with contextlib.suppress(ForkServerError):
                    return self._server.fork(TARGET, cwd=job.cwd, env=secrets.environment(), stdio=stdio)
            return _StartedProcess(job.cwd, stdio)


def _log(job: Job) -> Path:
    """Return the path of the attempt's log."""
    return Path(job.path).with_suffix(".log")


def _make_environment(job: Job) -> None:
    """Make the environment of the attempt's kernel if this host lacks it; the attempt's log shows the progress."""
    with _log(job).open("a", encoding="utf-8", buffering=1) as log:
        ensure(job.packages, lambda line: log.write(f"{line}\n"))


def _with_stored_results(attempt: _Submission, result: Result) -> Result:
    """Upload the results of an attempt; return a failed result if its values cannot be stored."""
    try:
        return store_results(attempt.job, result, attempt.state)
    except (NbdagError, OSError) as error:
        reason = f"the results were not stored: {_describe(error)}" if isinstance(error, OSError) else str(error)
        if result.state is TaskState.SUCCESS:
            return attempt.failed(reason)
        logging.getLogger(__name__).warning("%s", reason)
    return result


def _is_free(connection: socket.socket) -> bool:
    """Return whether the worker reports within the time limit that it can take another job."""
    connection.settimeout(GRACE)
    try:
        frame = framing.receive(connection)
    except OSError:
        return False
    return frame is not None and "free" in frame.data


class _StartedProcess:
    """A worker process that was started without the fork server."""

    def __init__(self, cwd: str, stdio: tuple[int, int, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER_MODULE],
            cwd=cwd,
            env=secrets.environment(),
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            start_new_session=True,
        )
        self.pid = self._process.pid

    def wait(self, timeout: float | None = None) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _describe_death(attempt: _Submission, code: int | None) -> str:
    if attempt.cancelled:
        return CANCELLED
    if code is None:
        return attempt.lost or "the attempt's worker closed the connection without a result, and did not end by itself"
    if code < 0:
        killer = signal.Signals(-code).name
        return f"the attempt's worker was killed by {killer}, perhaps because the system ran out of memory"
    return f"the attempt's worker ended with exit code {code} and without a result"


def _describe(error: OSError) -> str:
    place = f": {error.filename}" if error.filename else ""
    return f"{(error.strerror or str(error)).lower()}{place}"
