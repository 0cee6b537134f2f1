"""Whether a failed task is tried again, and when.

A task is tried again while its tries do not exceed its retries. Without a backoff factor it waits for the delay
itself. With one, the wait grows by that factor per try, plus a part that differs from task to task, so that a hundred
tasks that failed together do not come back together. That part is made from the attempt's name, not drawn: planning
the same attempt twice gives the same moment, on every host.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta

from ..options.options import TaskOptions

LONGEST = 86_400.0  # seconds; no backoff waits for more than a day


def delay(options: TaskOptions, *, dag: str, task: str, logical_date: datetime | None, tries: int) -> float:
    """Seconds to wait after this try, counted from 1, before the next."""
    if options.retry_backoff is None:
        return options.retry_delay
    longest = min(LONGEST, options.max_retry_delay)
    try:
        grown = options.retry_delay * options.retry_backoff ** (tries - 1)
    except OverflowError:
        return longest
    if grown >= longest:  # also spares the hash a number that has no end
        return longest
    least = max(1, math.ceil(grown))
    return min(longest, least + _hash(dag, task, logical_date, tries) % least)


def retry_at(
    options: TaskOptions,
    *,
    dag: str,
    task: str,
    logical_date: datetime | None,
    tries: int,
    ended: datetime,
    final: bool = False,
) -> datetime | None:
    """When a task that failed is tried again; None: never, the failure stands.

    `tries` is how many attempts were made, `final` says that this failure must not be retried.
    """
    if final or tries > options.retries:
        return None
    wait = delay(options, dag=dag, task=task, logical_date=logical_date, tries=tries)
    return ended + timedelta(seconds=wait)


def _hash(dag: str, task: str, logical_date: datetime | None, tries: int) -> int:
    # Python's own hash() differs from process to process
    when = "" if logical_date is None else logical_date.astimezone(UTC).isoformat()
    name = "\0".join((dag, task, when, str(tries)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
