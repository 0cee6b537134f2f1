"""States of tasks in a picture, with durations and reasons, and the style of each state.

Every state has a colour, a sign and a word, so readers who cannot distinguish red from green can recognise states. The
states are those of `core.model.states.TaskState`, and in addition `stale` (live notebook) and `cancelled` (runs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..core.model.states import TaskState

CANCELLED: Final = "cancelled"  # the task's attempt was terminated because the run was cancelled
STALE: Final = "stale"  # the task succeeded, but the task's code or inputs have changed since then


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The state of one task in a picture."""

    state: str = TaskState.NONE  # a TaskState, "stale" or "cancelled"
    duration: float | None = None  # duration of the last attempt, in seconds
    count: int | None = None  # number of instances of a mapped task; None if it is not known
    tries: int | None = None  # number of attempts; None if there was at most one
    reason: str = ""  # why the task is stale, skipped or failed, in one sentence
    selected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StateStyle:
    """The word, sign and colour with which a state is shown."""

    word: str
    sign: str  # one character, used in text
    colour: str  # colour of the outline and the sign; at least 3:1 contrast with white, and also with black
    path: str  # SVG path of the sign in a box of 12 by 12, drawn with strokes only
    filled: str = ""  # SVG path of the filled part of the sign


_RING = "M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9"
_GREY, _BLUE, _GREEN, _RED, _AMBER, _ORANGE, _VIOLET = (
    "#768390", "#2f7ae5", "#2c9149", "#dc3f43", "#a97a00", "#c96620", "#8a63d2",
)  # fmt: skip

STATE_STYLES: dict[str, StateStyle] = {
    TaskState.NONE: StateStyle(word="not run", sign="○", colour=_GREY, path=_RING),
    TaskState.SCHEDULED: StateStyle(word="scheduled", sign="◔", colour=_VIOLET, path=_RING + "M6 3.5V6h2.2"),
    TaskState.QUEUED: StateStyle(word="queued", sign="…", colour=_VIOLET, path="M2 6h.01M6 6h.01M10 6h.01"),
    TaskState.RUNNING: StateStyle(
        word="running", sign="◐", colour=_BLUE, path=_RING, filled="M6 1.5a4.5 4.5 0 0 1 0 9z"
    ),
    TaskState.SUCCESS: StateStyle(word="done", sign="✓", colour=_GREEN, path="M1.8 6.6l2.8 2.8L10.2 3"),
    TaskState.FAILED: StateStyle(word="failed", sign="✗", colour=_RED, path="M2.5 2.5l7 7M9.5 2.5l-7 7"),
    TaskState.SKIPPED: StateStyle(
        word="skipped", sign="»", colour=_GREY, path="M2 2.5L5.5 6L2 9.5M6.5 2.5L10 6L6.5 9.5"
    ),
    TaskState.UPSTREAM_FAILED: StateStyle(
        word="upstream failed", sign="⊘", colour=_ORANGE, path=_RING + "M2.9 9.1L9.1 2.9"
    ),
    TaskState.UP_FOR_RETRY: StateStyle(
        word="up for retry",
        sign="↻",
        colour=_AMBER,
        path="M9.8 4.2A4.3 4.3 0 1 0 10.3 6.6M10.2 1.6V4.4H7.4",
    ),
    TaskState.UP_FOR_RESCHEDULE: StateStyle(
        word="up for reschedule", sign="◷", colour=_VIOLET, path=_RING + "M6 3.5V6H4"
    ),
    TaskState.RESTARTING: StateStyle(
        word="restarting", sign="↺", colour=_AMBER, path="M2.2 4.2A4.3 4.3 0 1 1 1.7 6.6M1.8 1.6V4.4H4.6"
    ),
    TaskState.REMOVED: StateStyle(word="removed", sign="−", colour=_GREY, path="M2 6h8"),
    CANCELLED: StateStyle(word="cancelled", sign="■", colour=_GREY, path="M3 3h6v6H3z", filled="M3 3h6v6H3z"),
    STALE: StateStyle(word="stale", sign="△", colour=_AMBER, path="M6 1.6L11 10.4H1zM6 4.9v2.4M6 8.9h.01"),
}


def state_style(state: str) -> StateStyle:
    """Return the style of a state. A state from a newer version is shown with its name and a question mark."""
    found = STATE_STYLES.get(state)
    return found if found is not None else StateStyle(word=state, sign="?", colour=_GREY, path=_RING)


def duration_text(duration: float) -> str:
    """Return a duration as text: 12 ms, 0.3 s, 12 s, 3 min 5 s, 2 h 4 min."""
    if duration < 0.0995:
        return f"{round(duration * 1000)} ms"
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
