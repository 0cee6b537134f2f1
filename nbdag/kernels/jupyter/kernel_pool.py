"""A pool of forked kernels, kept ready for the jobs of an executor.

The executor reports each job to the pool. The pool immediately starts the fork server for the job's kernel, so that the
server imports modules while papermill is imported. The pool keeps spare kernels, which are forked in advance, until no
job has come for some seconds.
The pool only saves time: without a pool, a job finds or starts its server itself, or uses an ordinary kernel.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from ...core.model.job import Job, Key
from ...environments import python_of, site_dirs_of
from ..forkserver.client import Server, ServerHold
from ..forkserver.preload import preloadable
from ..forkserver.server_spec import ServerSpec
from .connection import TARGET, arguments, environment_variables, kernel_server_spec

LINGER = 10.0  # seconds for which spare kernels are kept after the last job
# The arguments with which nbclient starts IPython's kernel: a spare can only replace a kernel with equal arguments.
ARGUMENTS = arguments(["--HistoryManager.hist_file=:memory:"])
_FIRST_SPARES = 2  # number of spare kernels that are requested before any kernel has started
_PYTHON = {"python3", "python"}  # names of kernels that can be forked; it is unknown whether others can
_Kind = tuple[tuple[str, ...], str, str]  # (imports, folder, packages), which determine the server of a job


@dataclass(slots=True)
class _Held:
    """A server that the pool keeps alive."""

    hold: ServerHold
    spares: int
    jobs: int = 0
    waiting: set[Key] = field(default_factory=set)  # attempts that have no kernel yet
    to_come: int | None = None  # `Job.to_come` of the latest job: number of attempts that may follow it
    release: threading.Timer | None = None

    def request(self) -> None:
        """Request the spare kernels, but no more than the jobs will use."""
        needed = None if self.to_come is None else len(self.waiting) + self.to_come
        self.hold.set_spares(self.spares, TARGET, ARGUMENTS, needed=needed)


class KernelPool:
    """Fork servers held for jobs, each with up to `max_spares` spare kernels. Thread-safe."""

    def __init__(self, max_spares: int) -> None:
        self._max_spares = max_spares
        self._held: dict[_Kind, _Held] = {}
        self._lock = threading.Lock()

    def job_submitted(self, job: Job) -> None:
        """Hold the server that will fork this job's kernel."""
        if job.kernels != "warm" or job.kernel_name not in _PYTHON:
            return
        # Errors are ignored here, because the same errors occur in the attempt, which reports them.
        with self._lock, contextlib.suppress(Exception):
            is_held = _kind(job) in self._held
            held = self._held[_kind(job)] if is_held else self._hold(job)
            held.jobs += 1
            held.waiting.add(job.key)
            if not is_held or (job.to_come, held.to_come) != (None, None):
                held.to_come = job.to_come
                held.request()
            if held.release is not None:
                held.release.cancel()
                held.release = None

    def kernel_started(self, job: Job) -> None:
        """Request one more spare kernel while this kernel runs, because the next jobs may need as many kernels as are
        running now.
        """
        with self._lock:
            held = self._held.get(_kind(job))
            if held is None:
                return
            held.waiting.discard(job.key)
            if held.spares < min(held.jobs, self._max_spares):
                held.spares += 1
                held.request()

    def job_ended(self, job: Job) -> None:
        """Release the job's server after `LINGER` seconds without another job."""
        kind = _kind(job)
        with self._lock:
            held = self._held.get(kind)
            if held is None:
                return
            held.jobs -= 1
            held.waiting.discard(job.key)
            if held.jobs <= 0 and held.release is None:
                held.release = threading.Timer(LINGER, self._release, [kind])
                held.release.daemon = True
                try:
                    held.release.start()
                except RuntimeError:  # the limit of threads is reached (ulimit -u)
                    self._drop(kind)

    def close(self) -> None:
        """Release all servers, so that each ends after its idle time."""
        with self._lock:
            for held in self._held.values():
                if held.release is not None:
                    held.release.cancel()
                held.hold.close()
            self._held.clear()

    def _hold(self, job: Job) -> _Held:
        hold = Server.connect(server_spec_of(job)).hold()
        held = self._held[_kind(job)] = _Held(hold, min(_FIRST_SPARES, self._max_spares))
        return held

    def _release(self, kind: _Kind) -> None:
        with self._lock:
            held = self._held.get(kind)
            if held is not None and held.jobs <= 0:
                self._drop(kind)

    def _drop(self, kind: _Kind) -> None:
        self._held.pop(kind).hold.close()


def server_spec_of(job: Job) -> ServerSpec:
    """Return the specification of the server that forks a job's kernel."""
    if not job.packages:
        return kernel_server_spec(preloadable(job.imports, Path(job.cwd)))
    python = str(python_of(job.packages))
    modules = preloadable(job.imports, Path(job.cwd), sites=site_dirs_of(job.packages))
    return kernel_server_spec(modules, {**os.environ, **environment_variables(python)}, python)


def _kind(job: Job) -> _Kind:
    return job.imports, job.cwd, job.packages
