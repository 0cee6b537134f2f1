"""Attempts on this machine: for each a process that drives papermill, and a kernel.

The process, a worker, is forked by a server that has papermill imported, which takes seconds; it is asked for as soon
as the executor is made, so that it imports while the run is being planned. Where nothing can be forked, an ordinary
process does the same. A worker that has made an attempt, and whose kernel is gone, makes another: it runs no code of
the user's. One whose attempt was ended by force is ended, and so is one that says nothing: a worker tells every few
seconds that it is alive, whatever its kernel does, and what has stopped it will not let its attempt end.

Whatever happens to a process, its job has one result; and when the executor lets go of an attempt, by its result, a
timeout, `cancel` or `stop`, every process of it is gone. When this process itself is killed, workers notice and end.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..core.model.job import CANCELLED, Job, Key, Result
from ..core.model.states import TaskState
from ..kernels.forkserver import framing
from ..kernels.forkserver.client import ForkServerError, Hold, Server
from ..kernels.forkserver.server_spec import Recipe
from ..kernels.jupyter.kernel_pool import Warmth
from ..processes.process_tree import end_all

WORKER = "nbdag.kernels.worker.worker"
TARGET = f"{WORKER}:Worker"
GRACE = 30.0  # seconds that a worker has to end by itself, once it was told to; more than the worker's own
HUNG_UP = 60.0  # seconds until a worker that has hung up has ended, and its exit code is known
SPARES = 2  # workers forked ahead
MOST_SPARES = 8  # kernels forked ahead: each takes some 15 MB
LINGER = 10.0  # seconds that workers stay when there is nothing to do
BEAT = 5.0  # seconds between two signs of life of a worker
SILENT = 60  # of these may be missed: 300 s


class _Process(Protocol):
    """A worker, however it was started."""

    pid: int

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code, negative for a signal; None when it still runs."""

    def close(self) -> None:
        """End it, with its process group."""


@dataclass(frozen=True, eq=False, slots=True)
class _Worker:
    """A process that makes one attempt at a time."""

    process: _Process
    connection: socket.socket

    def dismiss(self) -> None:
        """It has nothing to do any more."""
        self.connection.close()
        self.process.wait(GRACE)
        self.process.close()


@dataclass(eq=False, slots=True)
class _Running:
    """An attempt under way."""

    job: Job
    started: float = 0.0  # seconds since the epoch
    connection: socket.socket | None = None
    cancelled: bool = False
    kernel: int | None = None  # pid
    mark: str = ""
    lost: str = ""  # why nobody waits for its worker any more
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cancel(self) -> None:
        """Ask the worker, if there is one, to end."""
        with self.lock:
            self.cancelled = True
            if self.connection is not None:
                with contextlib.suppress(OSError):
                    framing.send(self.connection, {"end": CANCELLED})

    def begin(self, connection: socket.socket, beat: float) -> None:
        """Hand over the job, and how often to say that it is alive."""
        with self.lock:
            framing.send(connection, {"job": True, "beat": beat}, pickle.dumps(self.job))
            self.connection = connection
            if self.cancelled:
                framing.send(connection, {"end": CANCELLED})

    def ended(self, told: bool) -> None:
        """It takes no orders any more; the worker, if it has told the result, may take the next job."""
        with self.lock:
            if told and not self.cancelled and self.connection is not None:
                with contextlib.suppress(OSError):
                    framing.send(self.connection, {"next": True})
            self.connection = None

    def failed(self, error: str) -> Result:
        """Its result, where the worker has none."""
        now = time.time()
        state = TaskState.FAILED
        return Result(key=self.job.key, state=state, started=self.started or now, ended=now, error=error)


class LocalExecutor:
    """Makes up to `slots` attempts at once. `beat` is how often, in seconds, a worker says that it is alive."""

    def __init__(self, slots: int, *, beat: float = BEAT) -> None:
        self.slots = slots
        self._beat = beat
        self._on_result: Callable[[Result], None] = lambda result: None
        self._running: dict[Key, _Running] = {}
        self._threads: set[threading.Thread] = set()
        self._free = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._stopping = False
        self._hold: Hold | None = None
        self._server: Server | None = None
        self._idle: list[_Worker] = []
        self._leaving: threading.Timer | None = None
        self._warmth = Warmth(min(MOST_SPARES, slots))
        self._preparing = threading.Thread(target=self._prepare, name="nbdag-prepare", daemon=True)
        self._preparing.start()

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Results go to `on_result`, from threads of the executor."""
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        """Begin an attempt; it waits where all slots are taken."""
        running = _Running(job)
        thread = threading.Thread(target=self._make, args=(running,), name=f"nbdag-{job.key.task}", daemon=True)
        with self._lock:
            self._running[job.key] = running
            self._threads.add(thread)
        thread.start()

    def cancel(self, key: Key) -> None:
        """End an attempt; returns at once."""
        with self._lock:
            running = self._running.get(key)
        if running is not None:
            running.cancel()

    def stop(self) -> None:
        """End all attempts, and wait until every process of them is gone."""
        with self._lock:
            self._stopping = True
            keys, threads = list(self._running), list(self._threads)
        for key in keys:
            self.cancel(key)
        for thread in (*threads, self._preparing):
            thread.join()
        if self._leaving is not None:
            self._leaving.cancel()
        self._dismiss()
        self._warmth.close()
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    @property
    def workers(self) -> tuple[int, ...]:
        """The pids of workers that have made an attempt, and wait for another."""
        with self._lock:
            return tuple(worker.process.pid for worker in self._idle)

    def _prepare(self) -> None:
        try:
            server = Server.connect(Recipe.of(targets=[TARGET]))
            self._hold = server.hold()
        except (ForkServerError, OSError) as error:
            if sys.platform == "linux":  # elsewhere it is nothing new, and `doctor` says it
                logging.getLogger(__name__).warning("%s", error)
            return
        self._hold.want(min(SPARES, self.slots), TARGET)
        self._server = server

    def _make(self, running: _Running) -> None:
        try:
            with contextlib.ExitStack() as open_ones:
                try:
                    self._warmth.expect(running.job)
                    with self._free:
                        result = self._attempt(running, open_ones)
                except OSError as error:
                    result = running.failed(f"the attempt could not be started: {_told(error)}")
                except Exception as error:
                    result = running.failed(f"the attempt could not be made: {type(error).__name__}: {error}")
                with self._lock:
                    self._running.pop(running.job.key, None)
                self._on_result(result)
        finally:
            self._warmth.settled(running.job)
            with self._lock:
                self._threads.discard(threading.current_thread())
                if not self._threads and not self._stopping:
                    self._leaving = threading.Timer(LINGER, self._dismiss)
                    self._leaving.daemon = True
                    self._leaving.start()

    def _attempt(self, running: _Running, open_ones: contextlib.ExitStack) -> Result:
        job = running.job
        running.started = time.time()
        if running.cancelled or self._stopping:
            return running.failed(CANCELLED)
        if not Path(job.cwd).is_dir():
            return running.failed(f"the folder {job.cwd}, where the task is to run, does not exist; make it")
        Path(job.path).parent.mkdir(parents=True, exist_ok=True)
        worker = self._worker(job)
        open_ones.callback(self._release, running, worker)
        result = None
        try:
            running.begin(worker.connection, self._beat)
            result = self._listen(running, worker.connection)
        finally:
            running.ended(result is not None)
        if result is None:
            # Nobody may begin anew while the kernel still runs, so it ends before the result is told.
            code = worker.process.wait(1 if running.cancelled or running.lost else HUNG_UP)
            end_all(running.kernel, running.mark)
            return running.failed(_death(running, code))
        return result

    def _release(self, running: _Running, worker: _Worker) -> None:
        """After the result: the worker shuts the kernel down. If it does not, it is ended, with all else."""
        if not (running.cancelled or running.lost) and _is_free(worker.connection):
            with self._lock:
                self._idle.append(worker)
            return
        code = worker.process.wait(0 if running.cancelled or running.lost else 1)
        worker.connection.close()
        worker.process.close()
        if code != 0:
            end_all(running.kernel, running.mark)

    def _dismiss(self) -> None:
        """End the workers that have nothing to do."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.dismiss()

    def _listen(self, running: _Running, connection: socket.socket) -> Result | None:
        """What the worker says, until its result; None when it is gone, is silent, or does not end in time."""
        timeout = running.job.task.options.timeout
        deadline = float("inf") if timeout is None else time.monotonic() + timeout + GRACE
        told_to_end = False
        missed = 0  # signs of life: counted by our own waits, as this machine may have slept meanwhile
        connection.settimeout(self._beat * SILENT)  # for one who falls silent in the middle of a word
        while missed < SILENT:
            if running.cancelled and not told_to_end:
                told_to_end, deadline = True, min(deadline, time.monotonic() + GRACE)
            left = deadline - time.monotonic()
            if not framing.speaks(connection, within=max(0.0, min(self._beat, left))):
                if left <= self._beat:
                    running.lost = f"timed out after {timeout or GRACE:g} s, and its process did not end by itself"
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
                running.kernel, running.mark = frame.data["kernel"], frame.data["mark"]
                self._warmth.under_way(running.job)
            elif "alive" not in frame.data:
                result: Result = pickle.loads(frame.blob)
                return result
        running.lost = f"its process gave no sign of life for {self._beat * SILENT:g} s, so it was ended"
        return None

    def _worker(self, job: Job) -> _Worker:
        """One that is free, or a new one."""
        with self._lock:
            if self._leaving is not None:
                self._leaving.cancel()
            while self._idle:
                worker = self._idle.pop()
                # One that has nothing to do says nothing: news is its end, of which its server may tell us later.
                if worker.process.wait(0) is None and not framing.speaks(worker.connection, within=0):
                    return worker
                worker.dismiss()
        self._preparing.join()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return _Worker(self._start(job, theirs), ours)
            except BaseException:
                ours.close()
                raise

    def _start(self, job: Job, connection: socket.socket) -> _Process:
        with Path(job.path).with_suffix(".log").open("ab") as log:
            handles = (connection.fileno(), log.fileno(), log.fileno())
            if self._server is not None:
                with contextlib.suppress(ForkServerError):
                    return self._server.fork(TARGET, cwd=job.cwd, stdio=handles)
            return _Started(job.cwd, handles)


def _is_free(connection: socket.socket) -> bool:
    """Whether the worker says, in time, that it could make another attempt."""
    connection.settimeout(GRACE)
    try:
        frame = framing.receive(connection)
    except OSError:
        return False
    return frame is not None and "free" in frame.data


class _Started:
    """A worker that was started, and not forked."""

    def __init__(self, cwd: str, handles: tuple[int, int, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            cwd=cwd,
            stdin=handles[0],
            stdout=handles[1],
            stderr=handles[2],
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


def _death(running: _Running, code: int | None) -> str:
    if running.cancelled:
        return CANCELLED
    if code is None:
        return running.lost or "its process hung up without a result, and did not end by itself"
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}, perhaps because memory ran out"
    return f"its process ended with exit code {code}, without a result"


def _told(error: OSError) -> str:
    place = f": {error.filename}" if error.filename else ""
    return f"{(error.strerror or str(error)).lower()}{place}"
