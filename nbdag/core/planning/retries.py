"""Decide whether and when a failed task is retried, or skipped instead.

A task with N retries runs at most N + 1 times. Without a backoff factor, the wait before each retry is the retry delay.
With a factor, the wait is multiplied by the factor after each try. A jitter is added, so that a hundred tasks that
failed together do not retry together. The jitter is a hash of the attempt, not a random number, so every plan on every
host computes the same time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ..model.job import CANCELLED, TIMED_OUT, Outcome
from ..model.states import TaskState
from ..options.options import TaskOptions

AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)
LONGEST = 86_400.0  # the longest wait with a backoff factor, in seconds
_FAIL = "nbdag.errors.Fail"


def delay(options: TaskOptions, *, dag: str, task: str, logical_date: datetime | None, tries: int) -> float:
    """Return the seconds between the end of this try and the next try. `tries` is the number of this try, from 1."""
    if options.retry_backoff is None:
        return options.retry_delay
    longest = min(LONGEST, options.max_retry_delay)
    try:
        grown = options.retry_delay * options.retry_backoff ** (tries - 1)
    except OverflowError:
        return longest
    if grown >= longest:  # tested before rounding, because `grown` may be infinite
        return longest
    least = max(1, math.ceil(grown))
    return min(longest, least + _hash(dag, task, logical_date, tries) % least)


def judged(options: TaskOptions, outcome: AnyOutcome) -> AnyOutcome:
    """Return an attempt's outcome; a failure is first changed according to --soft-fail, --retry-on and --retry-if."""
    if outcome.state is not TaskState.FAILED or outcome.error == CANCELLED:
        return outcome
    error, kinds = outcome.error, outcome.kinds
    # A TimeoutError that the cell raises is an ordinary error: its kinds are full names, unlike `TIMED_OUT`.
    if options.soft_fail and (tuple(kinds) == TIMED_OUT or _FAIL in kinds):
        return replace(outcome, state=TaskState.SKIPPED, error=f"{error} (skipped because of --soft-fail)")
    refused = "" if outcome.final else why_not_retried(options, kinds, outcome.retry)
    if not refused:
        return outcome
    return replace(outcome, final=True, error=f"{error} (not retried: {refused})" if options.retries else error)


def why_not_retried(options: TaskOptions, kinds: Sequence[str], wanted: bool | None) -> str:
    """Explain why a failed try is never retried, or return "" if it may be retried.

    `kinds` are the names of the error's classes, such as `ConnectionError` or `requests.exceptions.ConnectionError`.
    `wanted` is the value of `--retry-if`, or None if the kernel died before it could evaluate the option.
    """
    if options.retry_on and not any(_is_named(kind, name) for kind in kinds for name in options.retry_on):
        return f"--retry-on {' '.join(options.retry_on)} does not name this error"
    if options.retry_if and wanted is False:
        return f"--retry-if {options.retry_if} is false"
    return ""


def _is_named(kind: str, name: str) -> bool:
    return kind == name or kind.endswith(f".{name}")


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
    # Not `hash()`, because Python's hash of a text differs between processes.
    when = "" if logical_date is None else logical_date.astimezone(UTC).isoformat()
    name = "\0".join((dag, task, when, str(tries)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
