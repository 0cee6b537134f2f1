"""Read the tasks of a run: details, attempts and logs. `run_actions` clears and marks tasks."""

from __future__ import annotations

import re

from ... import runs
from ...frontend.history import History
from ...frontend.messages import AttemptMessage, TaskDetails
from ..requests import Id, LogQuery, MapIndex, TryNumber
from .base import ROUTES, Call, Content, RangeError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@ROUTES.get("dags/{dag}/runs/{run}/tasks/{task}")
def get_task(call: Call, dag: Id, run: Id, task: Id) -> TaskDetails:
    """Return a task of a run: its code, options, neighbours, values, attempts, and durations in earlier runs."""
    return History(call.home, dag).task(run, task)


@ROUTES.get("dags/{dag}/runs/{run}/tasks/{task}/attempts/{map_index}/{try_number}")
def get_attempt(call: Call, dag: Id, run: Id, task: Id, map_index: MapIndex, try_number: TryNumber) -> AttemptMessage:
    """Return the outputs of an attempt and the end of its log."""
    return History(call.home, dag).attempt(run, task, map_index, try_number)


@ROUTES.get(
    "dags/{dag}/runs/{run}/tasks/{task}/attempts/{map_index}/{try_number}/log",
    mime="text/plain; charset=utf-8",
    statuses=(200, 206),
)
def get_log(
    call: Call, dag: Id, run: Id, task: Id, map_index: MapIndex, try_number: TryNumber, query: LogQuery
) -> Content:
    """Return a part of an attempt's log as text. A part may begin or end within a character of UTF-8.

    The headers of the answer are `Log-Offset` (first byte of the part), `Log-Size` (bytes of the whole log so far) and
    `Log-Complete` (`true` if the log does not grow). To follow a log, request it again; the new `offset` is
    `Log-Offset` plus the length of this part.
    """
    log = runs.find_log(run, dag, task, try_number, map_index, home=call.home)
    span = _range(call.headers.get("Range"), log.size)
    if span is not None:
        start, length = span
    elif query.download:
        start, length = 0, log.size
    else:
        start = max(0, log.size + query.offset) if query.offset < 0 else min(query.offset, log.size)
        length = min(query.limit, log.size - start)
    headers = {
        "Log-Offset": str(start),
        "Log-Size": str(log.size),
        "Log-Complete": str(log.complete).lower(),
        "Accept-Ranges": "bytes",
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{log.size}"
    if query.download:
        name = f"{dag}-{run}-{task}{'' if map_index < 0 else f'-{map_index}'}-{try_number}.log"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Content(
        file=log.path,
        start=start,
        length=length,
        mime="text/plain; charset=utf-8",
        status=200 if span is None else 206,
        headers=headers,
    )


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the length of the only range in a header `Range`, or None for any other header."""
    found = _RANGE.fullmatch(header or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    start = max(0, size - int(last)) if not first else int(first)
    end = size if not first or not last else min(size, int(last) + 1)
    if start >= size or end <= start:
        raise RangeError(size)
    return start, end - start
