"""Events of a run in progress, which the terminal, the widget and the web page show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .states import RunState, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change of a run or of one of its tasks. Events arrive in the order in which they occurred."""

    kind: Literal["run", "task"]
    run_id: str
    state: RunState | TaskState
    at: float  # time of the event, in seconds since the epoch
    task: str | None = None  # id of the task; None for an event of the whole run
    map_index: int = -1  # index of a mapped task's instance, from 0; -1 for any other task
    try_number: int = 0  # number of the current try, from 1; 0 before the first try
    message: str = ""  # one sentence: an error, a warning, or the reason why a task does not run
    dag: str = ""  # id of the run's DAG
