"""An attempt that the Dask executor has submitted: its Dask task, its claim, and the worker that executes it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Future, Queue

from ..core.model.job import CANCELLED, KERNEL_DIED, Job, Result
from ..core.model.states import TaskState
from ..writing import create_private_file, make_private_folder
from .job_files import state_of_lost


@dataclass(eq=False, slots=True)
class Submission:
    """An attempt that was submitted and has no result yet."""

    job: Job
    started: float  # time of the submission, in seconds since the epoch
    sent: Job | None = None  # the job as it is sent to workers; None until its folder has been copied
    expected: Mapping[str, str] = field(default_factory=dict)  # versions that a worker must have
    fitting: list[str] | None = None  # addresses of the workers to which the attempt was sent; None: all workers
    claim: Queue | None = None  # None: not sent to the Dask scheduler yet
    future: Future[Any] | None = None
    address: str = ""  # address of the Dask worker that executes the attempt; "" before it starts
    host: str = ""
    cancelled: bool = False
    has_log: bool = False  # whether the download of the complete log has begun
    missed: int = 0  # number of checks in a row in which the worker, or all workers in `fitting`, were missing

    def add_to_log(self, text: bytes) -> None:
        """Append a part of the log, which a host without shared folders has sent, to the log's file on this host."""
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


def new_name(job: Job) -> str:
    """Return a new name for the Dask task and the claim of an attempt."""
    return f"nbdag-{job.mark or '-'.join(map(str, (job.key.dag, job.key.run, job.key.task)))}-{time.time_ns():x}"


def release(future: Future[Any] | None, claim: Queue | None, *, give_up: bool) -> None:
    """Release the Dask task and the claim of an attempt; `give_up` cancels the task."""
    with contextlib.suppress(Exception):  # the connection may be closed
        if future is not None:
            if give_up:
                future.cancel(force=True)
            future.release()
        if claim is not None:
            claim.close()


def of_lost_worker(attempt: Submission) -> Result:
    """Return the result of an attempt whose worker was lost, with the changes that it had made to `nbdag.state`."""
    where = f" {attempt.address} on host {attempt.host}" if attempt.address else ""
    return with_state(attempt, attempt.failed(f"the Dask worker{where} was lost while it executed the task"))


def of_lost_task(attempt: Submission) -> Result:
    """Return the result of an attempt whose Dask task was lost, with the changes that it had made to `nbdag.state`."""
    where = f" on host {attempt.host}" if attempt.host else ""
    return with_state(attempt, attempt.failed(f"the Dask scheduler lost or cancelled the attempt{where}"))


def with_state(attempt: Submission, result: Result) -> Result:
    """Return the result with the changes of `nbdag.state` that the attempt has written to a shared folder."""
    return replace(result, state_changes=state_of_lost(attempt.job))
