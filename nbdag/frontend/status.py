"""How tasks stand, in the words of `messages`: of the live session's marks, and of a run's task instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.model.states import FINISHED, RUN_FINISHED, TaskState, combined_state
from ..graphs.marks import Mark
from ..runs import Run, TaskRun
from .messages import RunBrief, Standing

_LONGEST = 300  # characters of a reason


def of_session(marks: Mapping[str, Mark]) -> dict[str, Standing]:
    """How the tasks of the live notebook stand."""
    return {task: _of_mark(mark) for task, mark in marks.items() if mark.state != TaskState.NONE}


def of_run(run: Run) -> dict[str, Standing]:
    """How the tasks of a run stand; instances of a mapped task are one."""
    instances: dict[str, list[TaskRun]] = {}
    for each in run.tasks:
        instances.setdefault(each.id, []).append(each)
    told = {task: _of_instances(found) for task, found in instances.items()}
    return {task: standing for task, standing in told.items() if standing["state"] != TaskState.NONE}


def brief(run: Run) -> RunBrief:
    """A run, in a line."""
    return {
        "id": run.id,
        "state": run.state.value,
        "created": run.created,
        "started": run.started,
        "ended": run.ended if run.state in RUN_FINISHED else None,
        "partial": run.only is not None,
        "error": _short(run.error or run.orphaned or ""),
    }


def changes(before: Mapping[str, Standing], now: Mapping[str, Standing]) -> dict[str, Standing]:
    """What is no longer as it was."""
    moved = {task: standing for task, standing in now.items() if before.get(task) != standing}
    gone: dict[str, Standing] = {task: {"state": TaskState.NONE.value} for task in before if task not in now}
    return moved | gone


def _of_mark(mark: Mark) -> Standing:
    told: Standing = {"state": str(mark.state)}
    if mark.duration is not None:
        told["duration"] = round(mark.duration, 3)
    if mark.count is not None:
        told["count"] = mark.count
    if mark.reason:
        told["reason"] = _short(mark.reason)
    return told


def _of_instances(found: Sequence[TaskRun]) -> Standing:
    states = Counter(each.state for each in found)
    state = combined_state(states)
    told: Standing = {"state": state.value}
    started = [each.started for each in found if each.started is not None]
    ended = [each.ended for each in found if each.ended is not None]
    if started:
        told["started"] = round(min(started), 3)
        if ended and state in FINISHED:
            told["duration"] = round(max(ended) - min(started), 3)
    tries = max(each.tries for each in found)
    if tries > 1:
        told["tries"] = tries
    if any(each.map_index >= 0 for each in found):
        told["count"] = len(found)
        told["ended"] = sum(states[state] for state in FINISHED)
        if states[TaskState.FAILED]:
            told["failed"] = states[TaskState.FAILED]
    reason = next((each.error for each in found if each.error and each.state is state), None)
    if reason is None and all(each.cached for each in found):
        reason = f"cached: as in run {found[0].cached}"
    if reason:
        told["reason"] = _short(reason)
    return told


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
