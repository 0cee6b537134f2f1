"""What is told of a run while it goes on: the same words to a terminal, a widget and a web page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .states import RunState, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened to a run. Events come in the order in which they happened."""

    kind: Literal["run", "task"]
    run_id: str
    state: RunState | TaskState
    at: float  # seconds since the epoch
    task: str | None = None  # of kind "task"
    map_index: int = -1  # from 0 for an instance of a mapped task
    try_number: int = 0  # from 1; 0 before the first try
    message: str = ""  # one sentence: an error, a warning, why a task does not run
    dag: str = ""  # of the run
