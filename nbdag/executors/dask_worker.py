"""The part of the Dask executor that runs on a host of the cluster: it executes one attempt for each Dask task."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import distributed
from distributed import Queue, Worker
from distributed.core import Status

from ..core.model.job import CANCELLED, Job, Key, Result
from ..core.model.states import TaskState
from ..errors import NbdagError
from ..processes.leftovers import terminate_leftovers
from ..storage.host_cache import cached_paths
from .host_resources import cores, declared, load_average, memory
from .host_versions import differences, versions
from .job_files import delete_copies, on_this_host
from .local import LocalExecutor

POLL = 1.0  # seconds between two checks of the list of workers, and of whether a task is still wanted
CLAIM_TIMEOUT = 0.2  # seconds to wait for room in the queue of a claim
LOG_PART = 65_536  # maximum number of bytes of a log that one Dask event carries
HOST_METRIC = "nbdag"  # key of the host's name and load in the heartbeats of Dask workers
DASK = "distributed"  # the package with Dask's scheduler, workers and client
TOPIC = "nbdag-attempts"  # the Dask events by which hosts report attempts


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A worker that has other versions than an attempt expects."""

    address: str
    host: str  # name of the worker's host
    differences: str  # such as "numpy 1.26.4 instead of 2.1.0"

    def __str__(self) -> str:
        return f"host {self.host} has {self.differences}"


class _UniqueKeys:
    """A local executor whose attempts have different keys."""

    def __init__(self, slots: int) -> None:
        self.executor = LocalExecutor(slots)
        self.executor.offers = None  # Dask has checked the resources of the worker
        self.executor.start(self._on_result)
        self.results: dict[Key, queue.SimpleQueue[Result]] = {}

    def _on_result(self, result: Result) -> None:
        self.results.pop(result.key).put(result)


class _HostExecutor:
    """The local executors of one Dask worker, shared by the Dask tasks of the worker.

    If attempts of two projects have the same key, the second attempt uses another local executor.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._lock = threading.Lock()
        self._executors: list[_UniqueKeys] = []
        self._attempts: dict[str, tuple[_UniqueKeys, Key] | None] = {}  # key: name of a claim; None: not started yet
        self._cancelled: set[str] = set()  # names of attempts that must not start

    def expect(self, name: str) -> None:
        """Register an attempt before its files are downloaded, so that it can be cancelled."""
        with self._lock:
            self._attempts[name] = None

    def submit(self, job: Job, name: str) -> queue.SimpleQueue[Result]:
        """Start an attempt, unless it was cancelled, and return the queue that receives its result."""
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        with self._lock:
            if name in self._cancelled:
                results.put(replace(failed_result(job, CANCELLED), final=False))
                return results
            free = [each for each in self._executors if job.key not in each.results]
            if not free:
                free = [_UniqueKeys(self._slots)]
                self._executors += free
            chosen = free[0]
            chosen.results[job.key] = results
            chosen.executor.submit(job)
            self._attempts[name] = (chosen, job.key)
        return results

    def cancel(self, name: str) -> None:
        """Terminate an attempt, or prevent it from starting."""
        with self._lock:
            if name not in self._attempts:
                return
            started = self._attempts[name]
            if started is None:
                self._cancelled.add(name)
        if started is not None:
            chosen, key = started
            chosen.executor.cancel(key)

    def forget(self, name: str) -> None:
        """Remove an attempt that has ended."""
        with self._lock:
            self._attempts.pop(name, None)
            self._cancelled.discard(name)


_hosts: WeakKeyDictionary[Worker, _HostExecutor] = WeakKeyDictionary()
_hosts_lock = threading.Lock()


def _host_of(worker: Worker) -> _HostExecutor:
    with _hosts_lock:
        if worker not in _hosts:
            _hosts[worker] = _HostExecutor(worker.state.nthreads)
        return _hosts[worker]


def terminate_on_host(notebook: Path, mark: str) -> None:
    """Kill the remaining processes of an attempt on this host."""
    for path in (notebook, *cached_paths(notebook)):
        terminate_leftovers(path, mark)


def run_attempt(job: Job, name: str, expected: Mapping[str, str]) -> Result | Mismatch | None:
    """Execute an attempt on this Dask worker, and return the result. If the attempt was started before, return None.

    If this worker differs from the expected versions, the attempt does not start, and the differences are returned.
    """
    worker = distributed.get_worker()
    if (mismatch := mismatch_of_worker(expected, worker)) is not None:
        return mismatch
    claim = Queue(name, client=distributed.get_client(), maxsize=1)
    try:
        try:
            claim.put(worker.address, timeout=CLAIM_TIMEOUT)
        except TimeoutError:
            return None
        if why := _unusable_folder(job):
            return failed_result(job, why)
        host = _host_of(worker)
        host.expect(name)
        try:
            worker.log_event(TOPIC, {"claim": name, "address": worker.address, "host": socket.gethostname()})
            try:
                job = on_this_host(job)
            except (NbdagError, OSError) as failure:
                return failed_result(job, str(failure))
            results = host.submit(job, name)
            log = _LogReader(job)
            while True:
                with contextlib.suppress(queue.Empty):
                    result = results.get(timeout=POLL)
                    delete_copies(job)
                    return with_advice(result)
                if text := log.new():
                    worker.log_event(TOPIC, {"claim": name, "log": text})
                if not _is_wanted(worker, name):
                    host.cancel(name)
        finally:
            host.forget(name)
    finally:
        claim.close()


def with_advice(result: Result) -> Result:
    """Return the result. If the attempt failed because a module is missing, add the host and a remedy to the error."""
    if not (result.error or "").startswith("ModuleNotFoundError: "):
        return result
    advice = "install it there, put the module beside the notebook, or name its file in %dag --with"
    return replace(result, error=f"{result.error} on host {socket.gethostname()}; {advice}")


class _LogReader:
    """Reads what an attempt adds to its log, for hosts that cannot read the log's file."""

    def __init__(self, job: Job) -> None:
        self._path = Path(job.path).with_suffix(".log") if job.storage else None
        self._read = 0  # bytes

    def new(self) -> bytes:
        """Return the next part of the log; b"" if there is none."""
        if self._path is None:
            return b""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                found = file.read(LOG_PART)
        except OSError:  # the log does not exist yet
            return b""
        self._read += len(found)
        return found


def mismatch_of_worker(expected: Mapping[str, str], dask_worker: Worker) -> Mismatch | None:
    """Return how a worker of this host differs from the expected versions, or None if it does not."""
    found = differences(expected)
    return Mismatch(dask_worker.address, socket.gethostname(), found) if found else None


def _unusable_folder(job: Job) -> str:
    """Return why the attempt's files cannot be exchanged with this host; "" if they can."""
    folder = Path(job.values).parent
    if job.storage or folder.is_dir():
        return ""
    return (
        f"host {socket.gethostname()} does not have the folder {folder}; set NBDAG_STORAGE to a folder that all hosts "
        "share, or to a URL such as s3://bucket/nbdag"
    )


def failed_result(job: Job, why: str) -> Result:
    now, host = time.time(), socket.gethostname()
    return Result(key=job.key, state=TaskState.FAILED, started=now, ended=now, error=why, final=True, host=host)


def cancel_attempt(name: str, dask_worker: Worker) -> None:
    """Request the termination of an attempt that this Dask worker executes."""
    _host_of(dask_worker).cancel(name)


async def declare_resources(dask_worker: Worker, of_host: bool) -> dict[str, float]:
    """Declare the resources of this worker for tasks with --resources, and return all its resources by name.

    A Dask worker offers what was declared when it was started (`dask worker --resources "gpu=2"`). Its number of
    threads counts as `cpu`, and its memory limit as `memory`. With `of_host`, the worker also offers what
    NBDAG_RESOURCES declares. Names are in lower case, so a worker that declares GPU offers gpu too. After this call,
    the heartbeats of the worker contain the name and the load of its host.
    """
    dask_worker.metrics[HOST_METRIC] = _host_metric
    given = {name: float(amount) for name, amount in dask_worker.state.total_resources.items()}
    limit = dask_worker.memory_manager.memory_limit or memory()
    own = {"cpu": float(dask_worker.state.nthreads), "memory": float(limit)}
    if of_host:
        with contextlib.suppress(NbdagError):
            own |= declared()
    own |= {name.lower(): amount for name, amount in given.items()}
    new = {name: amount for name, amount in own.items() if name not in given}
    if new:
        await dask_worker.set_resources(**new)
    return own


def _host_metric(worker: Worker) -> dict[str, Any]:
    return {"name": socket.gethostname(), "load": load_average(), "cores": cores()}


def _is_wanted(worker: Worker, key: str) -> bool:
    """Return whether the Dask scheduler still waits for a task.

    A worker that has lost the scheduler is closing, and then no task is wanted.
    """
    if worker.status in (Status.closing, Status.closed, Status.failed):
        return False
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


def describe_host() -> dict[str, str]:
    """Return the name of this host, and the versions of this process that must be the same on every host."""
    return {**versions(), DASK: version(DASK), "host": socket.gethostname()}
