"""The Dask executor: each attempt is one task of a Dask cluster, and a host executes it as the local executor does.

    nbdag run churn.ipynb --executor dask --address tcp://scheduler:8786

Each Dask worker has a local executor (fork server, worker processes, kernels), which its Dask tasks share; see
`dask_worker`. Without an address, a cluster on this machine is started, and stopped at the end.

Dask repeats the tasks of a lost worker, but each attempt starts at most once. Before an attempt starts, its worker puts
the worker's address into a `distributed.Queue` that holds one element. The queue rejects a second address. If a worker
is lost, its attempts fail, and the options of their tasks decide whether they are retried.

If the process that has submitted an attempt dies, Dask cancels the Dask task. The worker notices this, and terminates
the processes of the attempt.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client, Future, LocalCluster, Queue
from distributed.comm.addressing import parse_address, parse_host_port

from ..core.model.job import CANCELLED, KERNEL_DIED, Job, Key, Result
from ..core.model.states import TaskState
from ..errors import NbdagError, error
from ..storage import files_at
from ..writing import create_private_file, make_private_folder
from . import HostState
from .dask_worker import (
    CLAIM_TIMEOUT,
    POLL,
    TOPIC,
    cancel_attempt,
    describe_host,
    run_attempt,
    terminate_on_host,
)
from .job_files import copy_folder, get_results
from .local import cores

MAX_COPIES = 1000  # number of runs whose copied folder is remembered
_T = TypeVar("_T")
CONNECT_TIMEOUT = 15.0  # seconds to wait for the Dask scheduler
EVENT_TIMEOUT = 30.0  # seconds to wait for the name of the worker that has started an attempt
MISSED = 2  # number of checks in a row in which a worker must be missing before its attempts count as lost


@error
class NoClusterError(NbdagError):
    """No Dask scheduler answers at the address."""

    address: str
    reason: str
    template = (
        "no Dask scheduler answers at {address} ({reason}); start one with `dask scheduler`, or omit --address to "
        "start a cluster on this machine"
    )


@error
class HostsDifferError(NbdagError):
    """A worker of the cluster has other versions than this process."""

    differences: tuple[str, ...]  # one sentence per worker
    template = (
        "the workers of the Dask cluster differ from this environment: {joined}; install the same versions there, or "
        "pass --allow-mismatch"
    )

    @property
    def joined(self) -> str:
        """Return the differences in one line."""
        return "; ".join(self.differences)


@dataclass(eq=False, slots=True)
class _Submission:
    """An attempt that was submitted and has no result yet."""

    job: Job
    started: float  # time of the submission, in seconds since the epoch
    claim: Queue
    future: Future[Any] | None = None
    address: str = ""  # address of the Dask worker that executes the attempt; "" before it starts
    host: str = ""
    cancelled: bool = False
    has_log: bool = False  # whether the complete log is or was being downloaded
    missed: int = 0  # number of checks in a row in which the worker was missing

    def add_to_log(self, text: bytes) -> None:
        """Add a part of the log, which comes from a host without common folders, to the log's file on this host."""
        if not self.has_log:
            with contextlib.suppress(OSError):  # the complete log comes from the storage at the end
                path = Path(self.job.path).with_suffix(".log")
                make_private_folder(path.parent)
                create_private_file(path)
                with path.open("ab") as file:
                    file.write(text)

    def delete_partial_log(self) -> None:
        """Delete a log that may be incomplete, so that a later query downloads the complete log."""
        with contextlib.suppress(OSError):
            Path(self.job.path).with_suffix(".log").unlink(missing_ok=True)

    def failed(self, why: str) -> Result:
        """Return a failed result for an attempt that has reported no result."""
        return Result(
            key=self.job.key,
            state=TaskState.FAILED,
            started=self.started,
            ended=time.time(),
            error=why,
            host=self.host or None,
            kinds=() if why == CANCELLED else KERNEL_DIED,
        )


class DaskExecutor:
    """Executes attempts on a Dask cluster.

    `slots` is the number of attempts at once; None means one per thread of the cluster's workers, including workers
    that join later. With `address=None`, a cluster of as many workers as `slots` (default: the number of cores) is
    started.
    """

    def __init__(self, slots: int | None = None, *, address: str | None = None, allow_mismatch: bool = False) -> None:
        self._slots = slots
        self._on_result: Callable[[Result], None] = lambda result: None
        self._attempts: dict[Key, _Submission] = {}
        self._claims: dict[str, _Submission] = {}  # key: name of a claim
        # Key: DAG and run; value: the digest of the notebook's folder in the storage.
        self._folders: dict[tuple[str, str], concurrent.futures.Future[str]] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # an attempt has started or ended
        self._stopping = threading.Event()
        self._calls = ThreadPoolExecutor(8, thread_name_prefix="nbdag-dask")  # calls of the cluster that may take long
        self._cluster: LocalCluster | None = None
        if address is None:
            self._cluster = LocalCluster(
                n_workers=slots, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR
            )
        self._client = _connect(self._cluster.scheduler_address if self._cluster is not None else str(address))
        try:
            if not allow_mismatch:
                _check_versions(self._client)
            self._threads = _number_of_threads(self._workers())
        except BaseException:
            self._close()
            raise
        self._client.subscribe_topic(TOPIC, self._on_event)
        self._watch = threading.Thread(target=self._watch_workers, name="nbdag-dask-watch", daemon=True)
        self._watch.start()

    @property
    def slots(self) -> int:
        """Return the maximum number of attempts at once, according to the latest check of the workers."""
        return self._slots or max(1, self._threads)

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Send results to `on_result`, from threads of the executor."""
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        """Send an attempt to the cluster without waiting; a worker starts it when a thread is free."""
        name = f"nbdag-{job.mark or '-'.join(map(str, (job.key.dag, job.key.run, job.key.task)))}-{time.time_ns():x}"
        attempt = _Submission(job, time.time(), Queue(name, client=self._client, maxsize=1))
        with self._lock:
            self._attempts[job.key] = attempt
            self._claims[name] = attempt
        if job.storage:
            self._folder_of(job).add_done_callback(lambda copied: self._send_with_folder(name, attempt, copied))
        else:
            self._send(name, attempt, job)

    def _folder_of(self, job: Job) -> concurrent.futures.Future[str]:
        """Return the digest of the folder that all attempts of a run get, which is copied to the storage first."""
        run = (job.key.dag, job.key.run)
        with self._lock:
            if run not in self._folders:
                for old in list(self._folders)[:-MAX_COPIES]:
                    del self._folders[old]
                self._folders[run] = self._calls.submit(copy_folder, job)
            return self._folders[run]

    def _send_with_folder(self, name: str, attempt: _Submission, copied: concurrent.futures.Future[str]) -> None:
        try:
            job = replace(attempt.job, folder=copied.result())
        except Exception as failure:
            with self._lock:  # the next attempt tries it again
                self._folders.pop((attempt.job.key.dag, attempt.job.key.run), None)
            self._finish(name, attempt.failed(f"the notebook's folder could not be copied: {failure}"))
        else:
            self._send(name, attempt, job)

    def _send(self, name: str, attempt: _Submission, job: Job) -> None:
        with self._lock:
            if name not in self._claims:  # cancelled
                return
        attempt.future = self._client.submit(
            run_attempt, job, name, key=name, pure=False, retries=0, priority=job.task.options.priority
        )
        attempt.future.add_done_callback(lambda future: self._on_done(name, future))

    def cancel(self, key: Key) -> None:
        """Request the termination of an attempt, without waiting."""
        with self._lock:
            attempt = self._attempts.get(key)
        if attempt is not None and not attempt.cancelled:
            attempt.cancelled = True
            self._calls.submit(self._cancel, attempt)

    def stop(self) -> None:
        """Terminate all attempts, and wait until all their processes have ended."""
        with self._lock:
            attempts = list(self._attempts.values())
        for attempt in attempts:
            self.cancel(attempt.job.key)
        with self._changed:
            self._changed.wait_for(lambda: not self._attempts)
        self._stopping.set()
        self._watch.join()
        self._calls.shutdown()
        self._close()

    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        """Kill the processes of an attempt whose executor was killed, on every host, and wait until they have ended.

        A worker that does not answer is skipped: it terminates its attempts itself when it loses the Dask scheduler.
        """
        try:
            self._client.run(terminate_on_host, notebook, mark, on_error="ignore")
        except Exception as failure:
            logging.getLogger(__name__).warning("processes of an earlier attempt may still run: %s", failure)

    # -- results ------------------------------------------------------------------------------------------------

    def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Record which worker executes an attempt, and write the log that comes from a host without common folders."""
        _, said = event
        with self._changed:
            attempt = self._claims.get(said["claim"])
            if attempt is None:
                return
            if "log" in said:
                attempt.add_to_log(said["log"])
            else:
                attempt.address, attempt.host = said["address"], said["host"]
                self._changed.notify_all()

    def _on_done(self, name: str, future: Future[Any]) -> None:
        with self._lock:
            attempt = self._claims.get(name)
        if attempt is None:
            return
        if future.status == "finished":
            result = future.result()
            if result is None:  # Dask repeated the task of a lost worker
                self._finish(name, _lost(attempt))
            elif attempt.job.storage:
                self._calls.submit(self._finish_with_files, name, attempt, result)
            else:
                self._finish(name, result)
        elif future.status == "error":
            reason = future.exception()
            self._finish(name, attempt.failed(f"the attempt did not start: {type(reason).__name__}: {reason}"))
        elif attempt.cancelled:
            self._finish(name, attempt.failed(CANCELLED))
        else:
            self._finish(name, attempt.failed(f"the Dask scheduler lost or cancelled the attempt{_on(attempt)}"))

    def _finish_with_files(self, name: str, attempt: _Submission, result: Result) -> None:
        """Download the attempt's notebook and log, and report the result. A later query downloads what is missing."""
        with self._lock:
            attempt.has_log = True
        try:
            get_results(attempt.job)
        except Exception as failure:
            attempt.delete_partial_log()
            logging.getLogger(__name__).warning("%s", failure)
        self._finish(name, result)

    def _finish(self, name: str, result: Result, *, give_up: bool = False) -> None:
        """Report the result of an attempt, unless it has one already; `give_up` cancels the attempt's Dask task."""
        with self._changed:
            attempt = self._claims.pop(name, None)
            if attempt is None:
                return
            self._attempts.pop(attempt.job.key, None)
            self._changed.notify_all()
        with contextlib.suppress(Exception):  # the connection may be closed
            if attempt.future is not None:
                if give_up:
                    attempt.future.cancel(force=True)
                attempt.future.release()
            attempt.claim.close()
        self._on_result(result)

    def _cancel(self, attempt: _Submission) -> None:
        """Prevent an attempt from starting, or terminate it on its host."""
        name = attempt.claim.name
        try:
            attempt.claim.put("cancelled", timeout=CLAIM_TIMEOUT)
        except TimeoutError:
            pass  # the attempt has started
        except Exception:  # the Dask scheduler does not answer, so its workers end by themselves
            self._finish(name, attempt.failed(CANCELLED))
            return
        else:
            self._finish(name, attempt.failed(CANCELLED), give_up=True)
            return
        with self._changed:  # the worker's event is under way
            self._changed.wait_for(lambda: attempt.address or name not in self._claims, EVENT_TIMEOUT)
            if name not in self._claims:
                return
        try:
            if attempt.address:
                self._client.run(cancel_attempt, name, workers=[attempt.address])
            else:  # the event was lost, so the worker is unknown
                self._client.run(cancel_attempt, name, on_error="ignore")
        except Exception as failure:
            self._finish(name, attempt.failed(CANCELLED))
            logging.getLogger(__name__).warning("an attempt was not cancelled on %s: %s", attempt.host, failure)

    # -- the cluster --------------------------------------------------------------------------------------------

    def _workers(self) -> Mapping[str, Any]:
        workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _watch_workers(self) -> None:
        """Fail the attempts of workers that have left the cluster."""
        while not self._stopping.wait(POLL):
            with contextlib.suppress(Exception):
                workers = self._workers()
                self._threads = _number_of_threads(workers)
                self._fail_lost(workers)

    def _fail_lost(self, workers: Mapping[str, Any]) -> None:
        with self._lock:
            started = [(name, each) for name, each in self._claims.items() if each.address]
        for name, attempt in started:
            attempt.missed = 0 if attempt.address in workers else attempt.missed + 1
            if attempt.missed >= MISSED:
                self._finish(name, _lost(attempt), give_up=True)

    def _close(self) -> None:
        for each in (self._client, self._cluster):
            if each is not None:
                with contextlib.suppress(Exception):
                    each.close()


def _connect(to: str) -> Client:
    try:
        parse_host_port(parse_address(to)[1])
    except ValueError:
        raise NoClusterError(to, "expected a form such as tcp://host:8786") from None
    try:
        return Client(to, timeout=CONNECT_TIMEOUT, set_as_default=False, name="nbdag")
    except (OSError, TimeoutError) as failure:
        reason = "no answer" if isinstance(failure, TimeoutError) or not str(failure) else str(failure)
        raise NoClusterError(to, reason) from failure


def _number_of_threads(workers: Mapping[str, Any]) -> int:
    return sum(each["nthreads"] for each in workers.values())


def _lost(attempt: _Submission) -> Result:
    return attempt.failed(f"the Dask worker{_on(attempt)} was lost while it executed the task")


def _on(attempt: _Submission) -> str:
    return f" {attempt.address} on host {attempt.host}" if attempt.address else ""


# -- on the host of a worker ------------------------------------------------------------------------------------


own_versions = describe_host


def _differences(seen: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Return how the versions of a host differ from those of this process; "" if they do not."""
    return " and ".join(
        f"{what} {seen[what]} instead of {own[what]}" for what in ("Python", "nbdag") if seen[what] != own[what]
    )


def _answers(client: Client, question: Callable[..., _T], *arguments: Any) -> dict[str, _T]:
    """Call a function on every worker, and return the results by the workers' addresses.

    Workers that do not answer are left out. Raises the first error of the function.
    """
    found = client.run(question, *arguments, on_error="return")
    answered = {worker: answer for worker, answer in found.items() if not isinstance(answer, OSError)}
    for answer in answered.values():
        if isinstance(answer, BaseException):
            raise answer
    return answered


def _check_versions(client: Client) -> None:
    own = own_versions()
    seen = _answers(client, describe_host).values()
    found = [f"{each['host']} has {differences}" for each in seen if (differences := _differences(each, own))]
    if found:
        raise HostsDifferError(tuple(found))


def _load_of_host(storage: str) -> tuple[float, int, str]:
    """Return the load average and the number of cores of this host, and why it cannot write to the storage."""
    reason = ""
    try:
        if storage:
            files_at(storage).check()
    except NbdagError as failure:
        reason = str(failure)
    return os.getloadavg()[0], cores(), reason


def hosts(address: str, storage: str = "") -> list[HostState]:
    """Return the state of all workers of a cluster, by host name. Raises `NoClusterError`.

    With the URL of a storage, every worker checks that it can write there.
    """
    client = _connect(address)
    try:
        own, workers = own_versions(), client.scheduler_info(n_workers=-1)["workers"]
        seen, loads = _answers(client, describe_host), _answers(client, _load_of_host, storage)
        found = [
            HostState(
                name=seen[worker]["host"],
                address=worker,
                slots=about["nthreads"],
                running=int(about["metrics"].get("executing", 0)),
                load=loads[worker][0],
                cores=loads[worker][1],
                versions={what: seen[worker][what] for what in ("Python", "nbdag")},
                problem=_differences(seen[worker], own) or loads[worker][2],
            )
            for worker, about in workers.items()
            if worker in seen and worker in loads
        ]
        found += [
            HostState(
                name=str(about["host"]),
                address=worker,
                slots=about["nthreads"],
                running=0,
                load=0.0,
                cores=0,
                versions={},
                problem="the worker does not answer",
            )
            for worker, about in workers.items()
            if worker not in seen or worker not in loads
        ]
    finally:
        client.close()
    return sorted(found, key=lambda each: (each.name, each.address))
