"""The record of a scheduler in the store: its registration, its heartbeats, and the hosts of its attempts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..core.model.job import Key
from ..executors import Choice, Executor
from ..processes.identity import this_process
from ..store.rows import SchedulerRow

if TYPE_CHECKING:
    from ..store.store import Store

HEARTBEAT_INTERVAL = 5.0  # seconds between two heartbeats


class Presence:
    """Records that a scheduler is alive, what its hosts offer, and which host executes which attempt."""

    def __init__(self, id: str, store: Store, executor: Executor, choice: Choice) -> None:
        self._id = id
        self._store = store
        self._executor = executor
        self._choice = choice
        self._last: datetime | None = None  # time of the last heartbeat
        self._located: set[Key] = set()  # submitted attempts whose host is in the store
        self.new_hosts: dict[Key, str] = {}  # hosts that are not in the store yet, by attempt

    def register(
        self, now: datetime, kind: str, alive: Callable[[SchedulerRow], bool] | None = None
    ) -> SchedulerRow | None:
        """Register this process as a scheduler and return None.

        If `alive` is given and returns true for another scheduler, do not register, and return that scheduler.
        """
        process, at, offers = this_process(), now.timestamp(), self._executor.offers
        row = SchedulerRow(
            id=self._id,
            host=process.host,
            pid=process.pid,
            birth=process.start_time,
            started=at,
            heartbeat=at,
            kind=kind,
            jobs=self._executor.slots,
            executor=self._choice.to_dict(),
            hosts=self._hosts(),
            offers={} if offers is None else offers.to_dict(),
        )
        other = self._store.schedulers.register(row, alive)
        if other is None:
            self._last = now
        return other

    def is_due(self, now: datetime) -> bool:
        """Return whether the next heartbeat is due. A heartbeat is also due if the clock was set back."""
        return self._last is None or not self._last <= now < self._last + timedelta(seconds=HEARTBEAT_INTERVAL)

    def record_heartbeat(self, now: datetime) -> None:
        """Record a heartbeat of this process, with its hosts."""
        self._store.schedulers.record_heartbeat(self._id, now.timestamp(), self._hosts(), self._executor.slots)
        self._last = now

    def find_hosts(self, submitted: Collection[Key]) -> Iterable[Key]:
        """Find the hosts of submitted attempts that have started, and return the attempts whose host is new."""
        self._located.intersection_update(submitted)
        found = self._executor.running_on().items()
        self.new_hosts = {key: host for key, host in found if key in submitted and key not in self._located}
        return self.new_hosts

    def recorded(self, keys: Iterable[Key]) -> None:
        """Note that the hosts of these attempts are in the store."""
        for key in keys:
            self.new_hosts.pop(key, None)
            self._located.add(key)

    def _hosts(self) -> tuple[Mapping[str, Any], ...] | None:
        hosts = self._executor.hosts()
        return None if hosts is None else tuple(each.to_dict() for each in hosts)
