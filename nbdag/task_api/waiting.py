"""`nbdag.wait_for`: if a condition does not hold yet, end the attempt, and run the task again later.

    nbdag.wait_for("incoming/orders.csv")                 # a file or folder exists
    nbdag.wait_for("https://example.com/ready")           # a GET is answered with a status below 400
    nbdag.wait_for(dag_run.logical_date + timedelta(hours=2))
    nbdag.wait_for(dag="churn")                           # a run of churn since this run's date has succeeded
    nbdag.wait_for(lambda: count_rows() > 100, poll="5m")

If the condition holds, `wait_for` returns. Otherwise the attempt ends, so no process waits. At the next poll the cell
runs again from its beginning, in the same try. So call `wait_for` before anything that must not run twice. In a live
notebook, `wait_for` waits in the cell until the condition holds or the kernel is interrupted.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.options.option_types import read_duration
from ..errors import NbdagError, error

URL_TIMEOUT = 30.0  # seconds for an answer

Condition = str | Path | datetime | Callable[[], Any]


class Postponed(NbdagError):
    """The attempt ends now, and the task continues later.

    `wake` is the time of the next poll, in seconds since the epoch; None: the task waits for an answer to `question`.
    """

    def __init__(self, message: str, wake: float | None, question: str | None = None) -> None:
        super().__init__(message)
        self.wake = wake
        self.question = question


@error
class WaitError(NbdagError):
    """A condition cannot be waited for."""

    problem: str
    template = "wait_for {problem}"


class Waiter:
    """How this process waits: a task's kernel postpones the attempt, and a live notebook sleeps."""

    def __init__(self) -> None:
        self.logical_date: datetime | None = None  # logical date of the run of this attempt; None: live notebook

    def wait(self, name: str, seconds: float, wake: float | None) -> None:
        """Wait for `seconds`, or until `wake` if that is earlier. In a task's kernel, raise `Postponed`."""
        at = time.time() + seconds if wake is None else wake
        if self.logical_date is not None:
            raise Postponed(f"waits for {name}", at)
        time.sleep(max(0.0, min(seconds, at - time.time())))


the_waiter = Waiter()


def wait_for(condition: Condition | None = None, *, dag: str | None = None, poll: str | float = "60s") -> None:
    """Return if the condition holds; otherwise run this task again at the next poll. Raise `WaitError`.

    `condition` is the path of a file, a URL, an aware date, or a function that returns whether it holds. `dag` names a
    pipeline instead: one of its runs, created since the logical date of this run, must have succeeded. `poll` is the
    time between two polls, such as "30s".
    """
    if (condition is None) == (dag is None):
        raise WaitError("needs one condition: a path, a URL, a date, a function, or dag='churn'")
    try:
        seconds = read_duration(str(poll))
    except ValueError as invalid:
        raise WaitError(f"got poll={poll!r}, which {invalid}") from None
    if seconds < 1:
        raise WaitError(f"got poll={poll!r}, which is shorter than a second")
    name, holds, wake = _parsed(condition, dag)
    while not holds():
        the_waiter.wait(name, seconds, wake)


def _parsed(condition: Condition | None, dag: str | None) -> tuple[str, Callable[[], Any], float | None]:
    """Return a condition's name, a function that checks the condition, and the time from which it holds, if known."""
    if dag is not None:
        return f"a successful run of {dag}", lambda: _has_succeeded(dag), None
    if isinstance(condition, datetime):
        if condition.tzinfo is None:
            raise WaitError(f"got the date {condition}, which has no time zone; write one, such as tzinfo=UTC")
        moment = condition
        return f"{moment:%Y-%m-%d %H:%M:%S %Z}", lambda: datetime.now(UTC) >= moment, moment.timestamp()
    if isinstance(condition, str) and condition.startswith(("http://", "https://")):
        url = condition
        return url, lambda: _answers(url), None
    if isinstance(condition, str | Path):
        path = Path(condition)
        return str(condition), path.exists, None
    if callable(condition):
        return getattr(condition, "__name__", "a condition"), condition, None
    raise WaitError(f"got {condition!r:.80}; pass a path, a URL, a date, a function, or dag='churn'")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=URL_TIMEOUT) as answer:
            return int(answer.status) < 400
    except (urllib.error.URLError, TimeoutError, OSError):
        return False


def _has_succeeded(dag: str) -> bool:
    runs = import_module("nbdag.runs")  # a kernel that waits for no pipeline does not import the database
    since = 0.0 if the_waiter.logical_date is None else the_waiter.logical_date.timestamp()
    return bool(runs.has_succeeded(dag, since))
