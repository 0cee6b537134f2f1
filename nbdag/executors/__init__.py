"""Where attempts are made: one protocol, several ways.

An executor is given jobs and gives back results. It neither decides what runs next nor records anything. It does see
to it that what it makes is alive: an attempt whose process is gone or gives no sign of life has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

from ..core.model.job import Job, Key, Result
from ..errors import NbdagError, error

GROUP = "nbdag.executors"
# The default is found without a search through all installed packages, which takes longer than starting it.
BUILT_IN = {"local": "nbdag.executors.local:LocalExecutor"}


@error
class UnknownExecutorError(NbdagError):
    """No executor has this name."""

    exit_code = 2

    name: str
    known: tuple[str, ...]
    template = "unknown executor {name!r}; expected one of {expected}"

    @property
    def expected(self) -> str:
        return ", ".join(self.known)


class Executor(Protocol):
    """Makes attempts. `on_result` may be called from any thread, once per submitted job, whatever happens."""

    slots: int  # how many jobs it can make at once

    def start(self, on_result: Callable[[Result], None]) -> None:
        """Get ready; results go to `on_result`."""

    def submit(self, job: Job) -> None:
        """Begin an attempt, without waiting for it."""

    def cancel(self, key: Key) -> None:
        """End an attempt and every process of it; its result is `failed` with the error `cancelled`."""

    def stop(self) -> None:
        """End all attempts and every process of them, and wait until they are gone."""


def create(name: str, slots: int, **options: Any) -> Executor:
    """Create an executor by its name in the entry points `nbdag.executors`; `slots` jobs run at once."""
    if name in BUILT_IN:
        module, _, kind = BUILT_IN[name].partition(":")
        return cast(Executor, getattr(import_module(module), kind)(slots, **options))
    from importlib.metadata import entry_points  # slow to import, and the default needs none

    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        raise UnknownExecutorError(name, tuple(sorted({*BUILT_IN, *found})))
    return cast(Executor, found[name].load()(slots, **options))
