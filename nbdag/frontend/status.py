"""Compute task statuses for the front end, from the live session and from the task instances of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.model.states import FINISHED, RUN_FINISHED, STATE_PRECEDENCE, TaskState
from ..graphs.marks import CANCELLED, STALE, Mark
from ..runs import Run, TaskRun
from .messages import DisplayState, RunSummary, TaskStatus

_MAX_REASON = 300  # maximum number of characters to show of a reason


def _display_precedence() -> tuple[DisplayState, ...]:
    found: list[DisplayState] = list(STATE_PRECEDENCE)
    found.insert(found.index(TaskState.FAILED) + 1, CANCELLED)
    found.insert(found.index(TaskState.NONE), STALE)
    return tuple(found)


# A box that stands for several tasks or instances shows one of their states: the one that comes first in this list.
DISPLAY_PRECEDENCE = _display_precedence()
_ENDED: frozenset[DisplayState] = frozenset({*FINISHED, CANCELLED})


def session_statuses(marks: Mapping[str, Mark]) -> dict[str, TaskStatus]:
    """Return the status of each task of the live session that has run."""
    return {task: _mark_status(mark) for task, mark in marks.items() if mark.state != TaskState.NONE}


def run_statuses(run: Run) -> dict[str, TaskStatus]:
    """Return the status of each task, except tasks in state `none`. All instances of a mapped task share one status."""
    instances: dict[str, list[TaskRun]] = {}
    for each in run.tasks:
        instances.setdefault(each.id, []).append(each)
    statuses = {
        task: _single_status(run, found[0])
        if len(found) == 1 and found[0].map_index < 0
        else _combined_status(run, found)
        for task, found in instances.items()
    }
    return {task: status for task, status in statuses.items() if status["state"] != TaskState.NONE}


def run_summary(run: Run) -> RunSummary:
    """Return the summary of a run, without its tasks."""
    return {
        "id": run.id,
        "state": run.state,
        "created": run.created,
        "started": run.started,
        "ended": run.ended if run.state in RUN_FINISHED else None,
        "partial": run.only is not None,
        "error": _shorten(run.error or run.orphaned or ""),
    }


def changed_statuses(before: Mapping[str, TaskStatus], now: Mapping[str, TaskStatus]) -> dict[str, TaskStatus]:
    """Return the statuses that differ from `before`. A task that no longer has a status gets the state `none`."""
    changed = {task: status for task, status in now.items() if before.get(task) != status}
    removed: dict[str, TaskStatus] = {task: {"state": TaskState.NONE} for task in before if task not in now}
    return changed | removed


def task_state(run: Run, each: TaskRun) -> DisplayState:
    """Return the state to draw for a task: that of its last attempt, or the state that a user has set."""
    return each.state if each.by_hand else attempt_state(run, each.state, each.ended)


def attempt_state(run: Run, state: TaskState, ended: float | None) -> DisplayState:
    """Return the state to draw for an attempt.

    This is `cancelled` if the cancellation of the run ended the attempt. If the attempt had failed before, it is
    `failed`.
    """
    return CANCELLED if run.has_cancelled(state, ended) else state


def _mark_status(mark: Mark) -> TaskStatus:
    status: TaskStatus = {"state": STALE if mark.state == STALE else TaskState(mark.state)}
    if mark.duration is not None:
        status["duration"] = round(mark.duration, 3)
    if mark.count is not None:
        status["count"] = mark.count
    if mark.reason:
        status["reason"] = _shorten(mark.reason)
    return status


def _single_status(run: Run, each: TaskRun) -> TaskStatus:
    """Return the status of a task that is not mapped. The result is that of `_combined_status`, computed faster."""
    state = task_state(run, each)
    status: TaskStatus = {"state": state}
    if each.started is not None:
        status["started"] = round(each.started, 3)
        if each.ended is not None and state in _ENDED:
            status["duration"] = round(each.ended - each.started, 3)
    if each.tries > 1:
        status["tries"] = each.tries
    reason = each.error or (f"cached: result of run {each.cached}" if each.cached else None)
    if reason:
        status["reason"] = _shorten(reason)
    return status


def _combined_status(run: Run, found: Sequence[TaskRun]) -> TaskStatus:
    drawn = [task_state(run, each) for each in found]
    states = Counter(drawn)
    state = next(state for state in DISPLAY_PRECEDENCE if states[state])
    status: TaskStatus = {"state": state}
    started = [each.started for each in found if each.started is not None]
    ended = [each.ended for each in found if each.ended is not None]
    if started:
        status["started"] = round(min(started), 3)
        if ended and state in _ENDED:
            status["duration"] = round(max(ended) - min(started), 3)
    tries = max(each.tries for each in found)
    if tries > 1:
        status["tries"] = tries
    if any(each.map_index >= 0 for each in found):
        status["count"] = len(found)
        status["ended"] = sum(states[each] for each in _ENDED)
        if states[TaskState.FAILED]:
            status["failed"] = states[TaskState.FAILED]
    reason = next((each.error for each, own in zip(found, drawn, strict=True) if each.error and own == state), None)
    if reason is None and all(each.cached for each in found):
        reason = f"cached: result of run {found[0].cached}"
    if reason:
        status["reason"] = _shorten(reason)
    return status


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"
