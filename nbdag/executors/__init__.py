"""Where attempts are made: one protocol, several ways.

An executor is given jobs and gives back results. It neither decides what runs next nor records anything. It does see
to it that what it makes is alive: an attempt whose process is gone or gives no sign of life has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..core.model.job import Job, Key, Result


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
