"""Retries of failed tasks: whether, and when.

A failed task is retried as long as its tries do not exceed its retries. Without a backoff factor, it waits for the
retry delay. With one, the wait grows by that factor per try, plus a jitter, so that a hundred tasks that failed
together do not retry together. The jitter is a hash of the attempt's name, not a random number: planning the same
attempt twice gives the same time, on every host.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta

from ..options.options import TaskOptions

LONGEST = 86_400.0  # seconds; no backoff waits for more than a day


def delay(options: TaskOptions, *, dag: str, task: str, logical_date: datetime | None, tries: int) -> float:
    """Return the seconds to wait after this try (counted from 1) before the next."""
    if options.retry_backoff is None:
        return options.retry_delay
    longest = min(LONGEST, options.max_retry_delay)
    try:
        grown = options.retry_delay * options.retry_backoff ** (tries - 1)
    except OverflowError:
        return longest
    if grown >= longest:  # also avoids hashing with an infinite number
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
    """Return the time of the next try of a failed task, or None if the failure is final.

    `tries` is the number of attempts so far; `final` marks a failure that must not be retried.
    """
    if final or tries > options.retries:
        return None
    wait = delay(options, dag=dag, task=task, logical_date=logical_date, tries=tries)
    return ended + timedelta(seconds=wait)


def _hash(dag: str, task: str, logical_date: datetime | None, tries: int) -> int:
    # Python's own hash() differs between processes
    when = "" if logical_date is None else logical_date.astimezone(UTC).isoformat()
    name = "\0".join((dag, task, when, str(tries)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
