"""Attempts on this machine: for each a process that drives papermill, and a kernel."""

from __future__ import annotations

from collections.abc import Callable

from ..core.job import Job, Key, Result


class LocalExecutor:
    """Makes up to `slots` attempts at once. It begins to import papermill, in the background, as soon as it is made."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def start(self, on_result: Callable[[Result], None]) -> None:
        raise NotImplementedError

    def submit(self, job: Job) -> None:
        raise NotImplementedError

    def cancel(self, key: Key) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError
