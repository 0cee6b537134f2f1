"""The part of the Dask executor that runs on a host of the cluster: it executes one attempt for each Dask task."""

from __future__ import annotations

import contextlib
import platform
import queue
import socket
import threading
import time
from pathlib import Path
from weakref import WeakKeyDictionary

import distributed
from distributed import Queue, Worker
from distributed.core import Status

from ..core.model.job import Job, Key, Result
from ..core.model.states import TaskState
from ..errors import NbdagError
from ..processes.leftovers import terminate_leftovers
from ..storage.host import cached_paths
from .job_files import on_this_host
from .local import LocalExecutor

POLL = 1.0  # seconds between two checks of whether a task is still wanted, and of the list of workers
CLAIM_TIMEOUT = 0.2  # seconds; the Dask scheduler answers earlier unless the queue is full
LOG_PART = 65_536  # maximum number of bytes of a log that one Dask event carries
TOPIC = "nbdag-attempts"  # the Dask events by which hosts report attempts


class _HostExecutor:
    """The local executor of one Dask worker, shared by the Dask tasks of the worker."""

    def __init__(self, slots: int) -> None:
        self.executor = LocalExecutor(slots)
        self.executor.start(self._on_result)
        self._lock = threading.Lock()
        self._results: dict[Key, queue.SimpleQueue[Result]] = {}
        self._keys: dict[str, Key] = {}  # key: name of a claim

    def submit(self, job: Job, name: str) -> queue.SimpleQueue[Result]:
        """Start an attempt, and return the queue that receives its result."""
        results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        with self._lock:
            self._results[job.key] = results
            self._keys[name] = job.key
        self.executor.submit(job)
        return results

    def cancel(self, name: str) -> None:
        with self._lock:
            key = self._keys.get(name)
        if key is not None:
            self.executor.cancel(key)

    def forget(self, name: str) -> None:
        with self._lock:
            self._keys.pop(name, None)

    def _on_result(self, result: Result) -> None:
        with self._lock:
            results = self._results.pop(result.key)
        results.put(result)


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


def run_attempt(job: Job, name: str) -> Result | None:
    """Execute an attempt on this Dask worker, and return its result, or None if it was started before."""
    worker = distributed.get_worker()
    claim = Queue(name, client=distributed.get_client(), maxsize=1)
    try:
        try:
            claim.put(worker.address, timeout=CLAIM_TIMEOUT)
        except TimeoutError:
            return None
        worker.log_event(TOPIC, {"claim": name, "address": worker.address, "host": socket.gethostname()})
        if why := _unusable_folder(job):
            return failed_result(job, why)
        try:
            job = on_this_host(job)
        except (NbdagError, OSError) as failure:
            return failed_result(job, str(failure))
        host = _host_of(worker)
        results = host.submit(job, name)
        log = _LogReader(job)
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    return results.get(timeout=POLL)
                if text := log.new():
                    worker.log_event(TOPIC, {"claim": name, "log": text})
                if not _is_wanted(worker, name):
                    host.cancel(name)
        finally:
            host.forget(name)
    finally:
        claim.close()


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


def _is_wanted(worker: Worker, key: str) -> bool:
    """Return whether the Dask scheduler still waits for a task; a worker that has lost its scheduler is closing."""
    if worker.status in (Status.closing, Status.closed, Status.failed):
        return False
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


def describe_host() -> dict[str, str]:
    """Return the name of this host, and the versions of this process that must be the same on every host."""
    from importlib.metadata import version

    return {"Python": platform.python_version(), "nbdag": version("nbdag"), "host": socket.gethostname()}
