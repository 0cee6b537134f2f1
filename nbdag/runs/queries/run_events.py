"""The events of a run in the order of time, from the records of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.model.states import RunState, TaskState
from ...home import Home, the_home
from ...store.rows import AttemptRow, RunRow
from .runs import UnknownRunError, error_of, find_row, open_store

EventKind = Literal["created", "started", "ended", "cancel", "attempt", "outcome", "question", "answer", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One event of a run or of one of its tasks."""

    at: float
    # Events of the run: created, started, ended, cancel (somebody has asked to cancel the run).
    # Events of a task: attempt (an attempt has started), outcome (an attempt has ended), warning,
    # question (--approve asks a person), answer (a person has answered).
    kind: EventKind
    state: RunState | TaskState | None = None
    task: str = ""  # "" if the event is about the whole run
    map_index: int = -1
    try_number: int = 0  # 0 if the event does not concern an attempt
    text: str = ""  # an error, a warning, a question, or how the run was created


def run_events(run: str, dag: str, *, home: Home | None = None) -> list[RunEvent]:
    """Return the events of a run, oldest first."""
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        row = find_row(store, here, run, dag)
        found = _of_run(row)
        found += [
            RunEvent(at=row.started or row.created, kind="warning", text=note.message)
            for note in store.notes([row.id])[row.id]
        ]
        for attempt in store.attempts([row.id], with_outputs=False)[row.id]:
            found += _of_attempt(row, attempt)
        for each in store.instances([row.id])[row.id]:
            asked, answered = each.answer.get("asked"), each.answer.get("at")
            if asked is not None:
                text = str(each.answer.get("question", ""))
                found.append(RunEvent(at=asked, kind="question", task=each.task, map_index=each.map_index, text=text))
            if answered is not None:
                who, why = each.answer.get("by"), each.answer.get("why")
                said = f"{'yes' if each.answer.get('approved') else 'no'}, by {who}{f': {why}' if why else ''}"
                found.append(RunEvent(at=answered, kind="answer", task=each.task, map_index=each.map_index, text=said))
    return sorted(found, key=lambda each: each.at)


def _of_run(row: RunRow) -> list[RunEvent]:
    found = [RunEvent(at=row.created, kind="created", state=RunState.QUEUED, text=row.kind)]
    for each in row.earlier or ():
        found += _of_part(each["started"], each["ended"], each["cancel_asked"], RunState(each["state"]), each["error"])
    return found + _of_part(row.started, row.ended, row.cancel_asked, row.state, row.error)


def _of_part(
    started: float | None, ended: float | None, cancel_asked: float | None, state: RunState, error: str | None
) -> list[RunEvent]:
    """Return the events of one part of a run: from the time at which the run was queued or continued, to its end."""
    found = []
    if started is not None:
        found.append(RunEvent(at=started, kind="started", state=RunState.RUNNING))
    if cancel_asked is not None:
        found.append(RunEvent(at=cancel_asked, kind="cancel"))
    if ended is not None:
        found.append(RunEvent(at=ended, kind="ended", state=state, text=error or ""))
    return found


def _of_attempt(row: RunRow, attempt: AttemptRow) -> list[RunEvent]:
    which = {"task": attempt.task, "map_index": attempt.map_index, "try_number": attempt.try_number}
    started = f"result of run {attempt.cached}" if attempt.cached else ""
    found = [RunEvent(at=attempt.started, kind="attempt", state=TaskState.RUNNING, text=started, **which)]  # type: ignore[arg-type]
    if attempt.ended is not None:
        text = error_of(row, attempt) or ""
        found.append(RunEvent(at=attempt.ended, kind="outcome", state=attempt.state, text=text, **which))  # type: ignore[arg-type]
        found += [
            RunEvent(at=attempt.ended, kind="warning", text=note.message, **which)  # type: ignore[arg-type]
            for note in attempt.notes
        ]
    return found
