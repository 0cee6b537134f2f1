"""The Dask executor: each attempt is one task of a Dask cluster, and a host executes the task with a local executor.

    nbdag run churn.ipynb --executor dask --address tcp://scheduler:8786

Each Dask worker has a local executor (fork server, worker processes, kernels), which its Dask tasks share; see
`dask_worker`. Without an address, a cluster on this machine is started, and stopped at the end.

Dask repeats the tasks of a lost worker, but each attempt starts at most once. Each attempt has a *claim*: a
`distributed.Queue` that holds one element. Before an attempt starts, its worker puts the worker's address into the
claim, which rejects a second address. If a worker is lost, its attempts fail, and the options of each task decide
whether the task is retried.

If the process that has submitted an attempt dies, Dask cancels the Dask task. The worker notices the cancellation, and
terminates the processes of the attempt.

A worker with other versions rejects an attempt before it starts, and the attempt is sent to another worker; see
`dask_hosts`. If no worker fits, attempts fail.

If the Dask scheduler ends, its workers end too, and all attempts that were sent to it fail. Later attempts wait until a
Dask scheduler answers at the address again.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, Future, LocalCluster, Queue

from ..core.model.job import CANCELLED, Job, Key, Result
from ..core.planning.resources import Offers
from . import Executor, HostState
from .dask_cluster import HostsDifferError, connect, expected_versions, hosts
from .dask_hosts import DaskHosts
from .dask_submission import Submission, new_name, of_lost_task, of_lost_worker, release
from .dask_worker import CLAIM_TIMEOUT, POLL, TOPIC, Mismatch, cancel_attempt, run_attempt, terminate_on_host
from .job_files import accept_state, copy_folder, get_results

MAX_COPIES = 1000  # number of runs whose copied folder is remembered
EVENT_TIMEOUT = 30.0  # seconds to wait for the name of the worker that has started an attempt
LOSS_DELAY = 5 * POLL  # seconds after which the host of a lost attempt has terminated the attempt's processes
SEND_TRIES = 10  # number of tries, one per POLL, to send an attempt to a Dask scheduler that answers
MISSED = 2  # number of checks in a row in which a worker must be missing before its attempts count as lost


class DaskExecutor(Executor):
    """Executes attempts on a Dask cluster.

    `slots` is the number of attempts at once; None means one per thread of the cluster's workers, including workers
    that join later. With `address=None`, a cluster of as many workers as `slots` (default: the number of cores) is
    started.
    """

    def __init__(self, slots: int | None = None, *, address: str | None = None, allow_mismatch: bool = False) -> None:
        self._slots = slots
        self._allow_mismatch = allow_mismatch
        self._on_result: Callable[[Result], None] = lambda result: None
        self._attempts: dict[Key, Submission] = {}
        self._claims: dict[str, Submission] = {}  # key: name of a claim
        # Key: DAG and run; value: the digest of the notebook's folder in the storage.
        self._folders: dict[tuple[str, str], concurrent.futures.Future[str]] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # notified when an attempt has started or ended
        self._stopping = threading.Event()
        self._calls = ThreadPoolExecutor(8, thread_name_prefix="nbdag-dask")  # for calls to the cluster that take long
        # Sends attempts in the order of their submission; while the Dask scheduler does not answer, they wait here.
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="nbdag-dask-send")
        self._hosts = DaskHosts()
        self._declaring: concurrent.futures.Future[None] | None = None  # the latest call of `DaskHosts.declare`
        self._lost = False  # whether the Dask scheduler did not answer at the last check
        self._cluster: LocalCluster | None = None
        if address is None:
            self._cluster = LocalCluster(
                n_workers=slots, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.ERROR
            )
        self._address = self._cluster.scheduler_address if self._cluster is not None else str(address)
        self._client = connect(self._address)
        try:
            self._hosts.update(self._workers())
            self.check_hosts()
            self._hosts.declare(self._client, self._hosts.undeclared())
        except BaseException:
            self._close()
            raise
        self._client.subscribe_topic(TOPIC, self._on_event)
        self._watch = threading.Thread(target=self._watch_workers, name="nbdag-dask-watch", daemon=True)
        self._watch.start()

    @classmethod
    def hosts_at(cls, address: str, storage: str = "") -> list[HostState]:
        """Return the state of each worker of a cluster, as `dask_cluster.hosts` does, with the same errors."""
        return hosts(address, storage)

    def check_hosts(self, imports: Iterable[str] = ()) -> None:
        """Raise `HostsDifferError` if no worker has this process's versions of Python, nbdag, Dask and the packages of
        these modules.
        """
        if not self._allow_mismatch:
            self._hosts.check(self._client, expected_versions(imports))

    @property
    def offers(self) -> Offers:
        """Return the resources of the workers, according to the latest check of the workers."""
        return self._hosts.offers

    @property
    def may_grow(self) -> bool:
        """Return whether other workers may join the cluster.

        If this executor has started the cluster, none can join, because nobody else knows the cluster's address.
        """
        return self._cluster is None

    @property
    def slots(self) -> int:
        """Return the maximum number of attempts at once, according to the latest check of the workers."""
        return self._slots or max(1, self._hosts.threads)

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Send results to `on_result`, from threads of the executor."""
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        """Send an attempt to the cluster without waiting; a worker starts it when a thread is free."""
        name, attempt = new_name(job), Submission(job, time.time())
        with self._lock:
            self._attempts[job.key] = attempt
            self._claims[name] = attempt
        if job.storage:
            self._folder_of(job).add_done_callback(lambda copied: self._send_with_folder(name, attempt, copied))
        else:
            attempt.sent = replace(job, returns_state=True)
            self._sender.submit(self._send, name, attempt)

    def _folder_of(self, job: Job) -> concurrent.futures.Future[str]:
        """Copy the folder of a run to the storage, once per run. Return a future with the digest of the folder."""
        run = (job.key.dag, job.key.run)
        with self._lock:
            if run not in self._folders:
                for old in list(self._folders)[:-MAX_COPIES]:
                    del self._folders[old]
                self._folders[run] = self._calls.submit(copy_folder, job)
            return self._folders[run]

    def _send_with_folder(self, name: str, attempt: Submission, copied: concurrent.futures.Future[str]) -> None:
        try:
            attempt.sent = replace(attempt.job, folder=copied.result(), returns_state=True)
        except Exception as failure:
            with self._lock:  # the next attempt of the run copies the folder again
                self._folders.pop((attempt.job.key.dag, attempt.job.key.run), None)
            self._finish(name, attempt.failed(f"the notebook's folder could not be copied: {failure}"))
        else:
            self._sender.submit(self._send, name, attempt)

    def _send_again(self, name: str, attempt: Submission) -> None:
        """Send an attempt once more, to the workers that fit now. The attempt must not have started."""
        new = new_name(attempt.job)
        with self._lock:
            if self._claims.pop(name, None) is None:
                return
            self._claims[new] = attempt
            future, claim = attempt.future, attempt.claim
            attempt.future = attempt.claim = None
            attempt.missed = 0
        release(future, claim, give_up=True)
        if attempt.cancelled:
            self._finish(new, attempt.failed(CANCELLED))
        else:
            self._sender.submit(self._send, new, attempt)

    def _send(self, name: str, attempt: Submission) -> None:
        """Wait until the Dask scheduler answers, then send it an attempt. Stop waiting if the attempt is cancelled.

        If the Dask scheduler answers but the attempt cannot be sent, the attempt fails: further waiting would delay all
        later attempts.
        """
        tries = 0
        while True:
            with self._lock:
                if name not in self._claims:  # cancelled
                    return
            client = self._client
            try:
                self._submit(client, name, attempt)
            except HostsDifferError as failure:
                self._finish(name, replace(attempt.failed(str(failure)), final=True, kinds=()))
                return
            except Exception as failure:
                with self._lock:
                    attempt.claim = None
                tries += client.status == "running" and not self._lost
                if tries == SEND_TRIES:
                    self._finish(
                        name, attempt.failed(f"the attempt could not be sent to the Dask scheduler: {failure}")
                    )
                self._stopping.wait(POLL)
            else:
                return

    def _submit(self, client: Client, name: str, attempt: Submission) -> None:
        """Send an attempt to the Dask scheduler. The caller handles all exceptions."""
        job = attempt.sent or attempt.job
        if not self._allow_mismatch:
            attempt.expected = expected_versions(() if job.packages else job.imports)
            attempt.fitting = self._hosts.fitting(attempt.expected)
        claim = Queue(name, client=client, maxsize=1)
        with self._lock:
            if name not in self._claims:
                claim.close()
                return
            attempt.claim = claim
        future = attempt.future = client.submit(
            run_attempt,
            job,
            name,
            attempt.expected,
            key=name,
            workers=attempt.fitting,
            pure=False,
            retries=0,
            priority=job.task.options.priority,
            resources=dict(job.task.options.resources) or None,
        )
        with self._lock:
            is_wanted = name in self._claims
        if is_wanted:
            future.add_done_callback(lambda future: self._on_done(name, future))
        else:  # the attempt was cancelled meanwhile, and its claim was closed
            future.cancel(force=True)

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
        self._sender.shutdown()
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

    def hosts(self) -> list[HostState]:
        """Return the state of all workers, as of the last check."""
        return self._hosts.states

    def running_on(self) -> dict[Key, str]:
        """Return the host of each attempt that has started."""
        with self._lock:
            return {attempt.job.key: attempt.host for attempt in self._claims.values() if attempt.host}

    # -- results ------------------------------------------------------------------------------------------------

    def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Record which worker executes an attempt, or append to its log the part that a host has sent."""
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
                self._finish(name, of_lost_worker(attempt))
            elif isinstance(result, Mismatch):
                self._hosts.reject(attempt.expected, result)
                self._send_again(name, attempt)
            else:
                self._finish(name, result, has_files=bool(attempt.job.storage))
        elif future.status == "error":
            reason = future.exception()
            self._finish(name, attempt.failed(f"the attempt did not start: {type(reason).__name__}: {reason}"))
        elif attempt.cancelled:
            self._finish(name, attempt.failed(CANCELLED))
        elif self._take(name) is not None:
            self._calls.submit(self._report_later, attempt)

    def _finish_with_files(self, attempt: Submission, result: Result) -> None:
        """Download the notebook and the log of an attempt from the storage, then report the attempt's result.

        If a download fails, a later query repeats the download.
        """
        with self._lock:
            attempt.has_log = True
        try:
            get_results(attempt.job)
        except Exception as failure:
            attempt.delete_partial_log()
            logging.getLogger(__name__).warning("%s", failure)
        self._report(attempt, result)

    def _report_later(self, attempt: Submission) -> None:
        """Report a lost attempt after LOSS_DELAY: meanwhile, the worker notices the loss and terminates the attempt."""
        self._stopping.wait(LOSS_DELAY)
        self._report(attempt, of_lost_task(attempt))

    def _finish(self, name: str, result: Result, *, give_up: bool = False, has_files: bool = False) -> None:
        """Report the result of an attempt, unless the attempt has one already.

        `give_up` cancels the attempt's Dask task. `has_files` is whether the attempt has stored files for this host.
        """
        attempt = self._take(name)
        if attempt is None:
            return
        if give_up:
            release(attempt.future, None, give_up=True)
        if has_files:
            self._calls.submit(self._finish_with_files, attempt, result)
        else:
            self._report(attempt, result)

    def _take(self, name: str) -> Submission | None:
        """Return an attempt whose result the caller must report, or None if another call reports the result."""
        with self._lock:
            return self._claims.pop(name, None)

    def _report(self, attempt: Submission, result: Result) -> None:
        """Store the changes that an attempt made to `nbdag.state`, then report the attempt's result."""
        try:
            result = accept_state(attempt.job, result)
        except Exception as failure:
            result = replace(attempt.failed(f"nbdag.state was not stored: {failure}"), traceback=result.traceback)
        release(attempt.future, attempt.claim, give_up=False)
        self._on_result(result)
        with self._changed:
            if self._attempts.get(attempt.job.key) is attempt:
                del self._attempts[attempt.job.key]
            self._changed.notify_all()

    def _cancel(self, attempt: Submission) -> None:
        """Prevent an attempt from starting, or terminate it on its host."""
        with self._lock:
            name = next((name for name, each in self._claims.items() if each is attempt), "")
            claim = attempt.claim
        if not name:
            return
        if claim is None:
            self._finish(name, attempt.failed(CANCELLED))
            return
        try:
            claim.put("cancelled", timeout=CLAIM_TIMEOUT)
        except TimeoutError:
            pass  # the attempt has started
        except Exception:  # the Dask scheduler does not answer, so its workers end by themselves
            self._finish(name, attempt.failed(CANCELLED))
            return
        else:
            self._finish(name, attempt.failed(CANCELLED), give_up=True)
            return
        with self._changed:  # wait for the event with the worker's address, which may not have arrived yet
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
        """Fail the attempts of workers that have left the cluster. If the connection is closed, connect again."""
        log = logging.getLogger(__name__)
        while not self._stopping.wait(POLL):
            try:
                if self._client.status == "closed":
                    self._client = connect(self._address)
                # Subscribe again, because a restarted Dask scheduler does not know the topic.
                self._client.subscribe_topic(TOPIC, self._on_event)
                workers = self._workers()
            except Exception as failure:
                if not self._lost:
                    log.warning("the Dask scheduler at %s does not answer; attempts wait for it", self._address)
                    log.debug("%s", failure)
                self._lost = True
                continue
            if self._lost:
                log.warning("the Dask scheduler at %s answers again", self._address)
            self._lost = False
            self._hosts.update(workers)
            new = self._hosts.undeclared()
            # One call at a time, because a call waits for a worker that does not answer.
            if new and (self._declaring is None or self._declaring.done()):
                self._declaring = self._calls.submit(self._hosts.declare, self._client, new)
            self._check_lost(workers)

    def _check_lost(self, workers: Mapping[str, Any]) -> None:
        """Fail attempts that a lost worker had started; send attempts that no worker had started to other workers."""
        with self._lock:
            sent = [(name, each) for name, each in self._claims.items() if each.address or each.fitting]
        for name, attempt in sent:
            of_attempt = [attempt.address] if attempt.address else attempt.fitting or []
            attempt.missed = 0 if any(each in workers for each in of_attempt) else attempt.missed + 1
            if attempt.missed < MISSED:
                continue
            if attempt.address:
                self._finish(name, of_lost_worker(attempt), give_up=True)
            elif attempt.claim is not None and self._can_send(attempt, workers):
                waited_for, attempt.fitting = attempt.fitting, None  # so that the attempt is sent again only once
                self._calls.submit(self._send_unless_started, name, attempt, attempt.claim, waited_for)

    def _can_send(self, attempt: Submission, workers: Mapping[str, Any]) -> bool:
        """Return whether to send an attempt again: a worker fits, or all workers differ and the attempt must fail."""
        try:
            fitting = self._hosts.fitting(attempt.expected)
        except HostsDifferError:
            return True
        return fitting is None or any(each in workers for each in fitting)

    def _send_unless_started(self, name: str, attempt: Submission, claim: Queue, waited_for: list[str] | None) -> None:
        """If a lost worker had started an attempt, fail the attempt; else send it to other workers."""
        try:
            claim.put("sent again", timeout=CLAIM_TIMEOUT)
        except TimeoutError:
            self._finish(name, of_lost_worker(attempt), give_up=True)
        except Exception:  # the Dask scheduler does not answer; the next check sends the attempt again
            attempt.fitting = waited_for
        else:
            self._send_again(name, attempt)

    def _close(self) -> None:
        for each in (self._client, self._cluster):
            if each is not None:
                with contextlib.suppress(Exception):
                    each.close()
