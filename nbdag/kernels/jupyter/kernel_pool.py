"""Kernels kept warm for the jobs at hand.

An executor says which jobs it has; the fork server that their kernels will come from is started at once, so that it
imports while papermill does, and keeps spare kernels ready until there has been no job for a while. All of this
only saves time: where it fails, a job finds or starts its server, or does without, by itself.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path

from ...core.model.job import Job
from ..forkserver.client import Hold, Server
from ..forkserver.preload import ahead
from ..forkserver.server_spec import Recipe
from .connection import TARGET, arguments

LINGER = 10.0  # seconds that spares stay when there is no job
# What nbclient starts IPython's kernel with: a spare can only stand in for a kernel with the same arguments.
ARGUMENTS = arguments(["--HistoryManager.hist_file=:memory:"])
_FIRST = 2  # spares, before anything runs
_PYTHON = {"python3", "python"}  # another name may stand for a kernel that is not forked
_Kind = tuple[tuple[str, ...], str]  # imports and folder


@dataclass(slots=True)
class _Kept:
    hold: Hold
    spares: int
    jobs: int = 0
    leaving: threading.Timer | None = None


class Warmth:
    """Which servers are held, and for how many jobs. For use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most  # spares
        self._kept: dict[_Kind, _Kept] = {}
        self._lock = threading.Lock()

    def expect(self, job: Job) -> None:
        """A job is about to begin."""
        if job.kernels != "warm" or job.kernel_name not in _PYTHON:
            return
        with self._lock, contextlib.suppress(Exception):  # the attempt says what is wrong, if it is in its way
            kept = self._kept.get(_kind(job)) or self._keep(job)
            kept.jobs += 1
            if kept.leaving is not None:
                kept.leaving.cancel()
                kept.leaving = None

    def under_way(self, job: Job) -> None:
        """It has its kernel. As many as run now may be needed next, and there is time to prepare them."""
        with self._lock:
            kept = self._kept.get(_kind(job))
            if kept is not None and kept.spares < min(kept.jobs, self._most):
                kept.spares += 1
                kept.hold.want(kept.spares, TARGET, ARGUMENTS)

    def settled(self, job: Job) -> None:
        """It has ended."""
        kind = _kind(job)
        with self._lock:
            kept = self._kept.get(kind)
            if kept is None:
                return
            kept.jobs -= 1
            if kept.jobs <= 0 and kept.leaving is None:
                kept.leaving = threading.Timer(LINGER, self._leave, [kind])
                kept.leaving.daemon = True
                kept.leaving.start()

    def close(self) -> None:
        """Hold nothing any more; the servers stay for their idle time."""
        with self._lock:
            for kept in self._kept.values():
                if kept.leaving is not None:
                    kept.leaving.cancel()
                kept.hold.close()
            self._kept.clear()

    def _keep(self, job: Job) -> _Kept:
        hold = Server.connect(kernel_recipe_of(job)).hold()
        kept = self._kept[_kind(job)] = _Kept(hold, min(_FIRST, self._most))
        hold.want(kept.spares, TARGET, ARGUMENTS)
        return kept

    def _leave(self, kind: _Kind) -> None:
        with self._lock:
            kept = self._kept.get(kind)
            if kept is not None and kept.jobs <= 0:
                kept.hold.close()
                del self._kept[kind]


def kernel_recipe_of(job: Job) -> Recipe:
    """What the kernel of a job is forked from."""
    return Recipe.of(ahead(job.imports, Path(job.cwd)), targets=[TARGET])


def _kind(job: Job) -> _Kind:
    return job.imports, job.cwd
