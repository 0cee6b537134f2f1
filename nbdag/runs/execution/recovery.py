"""Runs whose process is gone: who finds one records its end, and tells whom it would have told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ... import scheduler
from ...home import Home
from .notify import Notifier

if TYPE_CHECKING:
    from ...store.store import Store


def bury(store: Store, home: Home) -> None:
    """Record the end of every run whose process is gone. Those who are to be told are waited for, within limits."""
    gone = scheduler.fail_dead_runs(store, time.time(), home)
    if gone:
        notifier = Notifier(store)
        for row in gone:
            notifier.has_ended(row, home)
        notifier.close()
