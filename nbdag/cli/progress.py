"""A run as it happens: a live table on a terminal, plain lines elsewhere.

It is fed with events and decides nothing. A terminal that goes away, or a pipe that is closed, ends the showing and
not the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..core.model.states import FINISHED, RUN_FINISHED, TaskState
from ..core.model.text import task_label
from ..runs import Event
from .output import duration, state_text

if TYPE_CHECKING:
    from rich.console import Console, Group

_FAILED = frozenset({TaskState.FAILED, TaskState.UPSTREAM_FAILED})
_NOT_WORTH_A_LINE = frozenset({TaskState.NONE, TaskState.SCHEDULED, TaskState.QUEUED})

Instance = tuple[str, int]  # task, map index


class Progress(Protocol):
    """Shows events; a context manager, so that a terminal is left as it was found."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None: ...


def progress(console: Console, tasks: Sequence[str], *, show: bool = True) -> Progress:
    """What suits this console. `tasks` are those expected, in notebook order."""
    if not show:
        return Silence()
    return Live(console, tasks) if console.is_terminal else Lines(console, tasks)


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, event: Event) -> None:
        pass


@dataclass(slots=True)
class _Row:
    """Where one task stands."""

    state: TaskState = TaskState.NONE
    tries: int = 0
    started: float | None = None  # seconds since the epoch, of the last try
    ended: float | None = None
    message: str = ""

    def take(self, event: Event) -> bool:
        """Whether the state is another one now."""
        state = TaskState(event.state)
        moved = state is not self.state or event.try_number > self.tries
        self.tries = max(self.tries, event.try_number)
        self.message = event.message or ("" if moved else self.message)
        if moved and state is TaskState.RUNNING:
            self.started, self.ended = event.at, None
        elif moved and self.started is not None and self.ended is None:
            self.ended = event.at
        self.state = state
        return moved

    def duration(self, now: float) -> str:
        if self.started is None:
            return ""
        return duration(max(0.0, (self.ended or now) - self.started))


class _Rows:
    """All tasks, in notebook order; instances of a mapped task take its place once they are known."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.of: dict[Instance, _Row] = {(task, -1): _Row() for task in tasks}

    def take(self, event: Event) -> bool:
        assert event.task is not None
        which = (event.task, event.map_index)
        if which not in self.of:
            self._insert(which)
        return self.of[which].take(event)

    @property
    def over(self) -> int:
        return sum(row.state in FINISHED for row in self.of.values())

    def _insert(self, which: Instance) -> None:
        task, index = which
        order = list(self.of.items())
        siblings = [n for n, ((other, _), _) in enumerate(order) if other == task]
        order.insert(siblings[-1] + 1 if siblings else len(order), (which, _Row()))
        self.of = dict(order)
        if index >= 0:
            self.of.pop((task, -1), None)


class Lines(Silence):
    """One line for each thing that happens, as a log wants it."""

    def __init__(self, console: Console, tasks: Sequence[str]) -> None:
        self._console = console
        self._rows = _Rows(tasks)

    def show(self, event: Event) -> None:
        if event.kind == "run":
            if event.message and event.state not in RUN_FINISHED:  # how it ended is told when it has
                self._print(f"run {event.run_id}: {event.message}")
            return
        moved = self._rows.take(event)
        row = self._rows.of[str(event.task), event.map_index]
        if row.state in _NOT_WORTH_A_LINE or not (moved or event.message):
            return
        length = row.duration(event.at) if moved and row.state is not TaskState.RUNNING else ""
        attempt = f" (try {row.tries})" if row.tries > 1 else ""
        line = f"{_count(self._rows)} {task_label(str(event.task), event.map_index)}: {row.state.value}{attempt}"
        if length:
            line += f" after {length}"
        self._print(line + (f": {_first_line(event.message)}" if event.message else ""))

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


class Live(Silence):
    """A table that is drawn again while it changes; as many rows as fit, those that matter most."""

    def __init__(self, console: Console, tasks: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        from rich.live import Live

        self._console = console
        self._rows = _Rows(tasks)
        self._clock = clock
        self._lock = Lock()  # rich draws from a thread of its own
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8, transient=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        self._live.start()  # not before there is something to show: what is refused at once leaves no table
        if event.kind == "run":
            if event.message and event.state not in RUN_FINISHED:
                self._live.console.print(event.message)
            return
        with self._lock:
            self._rows.take(event)

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now = self._clock()
        table = Table(box=None, pad_edge=False, show_header=True, header_style="dim", expand=True)
        table.add_column("task", no_wrap=True, max_width=40)
        table.add_column("state", no_wrap=True)
        table.add_column("try", justify="right")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)  # what is left of the width
        with self._lock:
            shown = _most_telling(self._rows.of, self._console.size.height - 4)
            for which, row in shown:
                table.add_row(
                    Text(task_label(*which)),
                    state_text(row.state.value, self._console),
                    str(row.tries) if row.tries > 1 else "",
                    row.duration(now),
                    Text(_first_line(row.message), style="dim"),
                )
            left = len(self._rows.of) - len(shown)
            count = f"{_count(self._rows)} done"
        return Group(table, Text(f"{count}, {left} more not shown" if left else count, style="dim"))


def _most_telling(rows: dict[Instance, _Row], room: int) -> list[tuple[Instance, _Row]]:
    """What fits: failed and running first, then the latest that ended, then what comes next; in notebook order."""
    if len(rows) <= max(room, 3):
        return list(rows.items())

    def rank(row: _Row) -> tuple[int, float]:
        if row.state is TaskState.FAILED:
            return 0, 0.0
        if row.state in FINISHED:
            return 3 if row.state in _FAILED else 2, -(row.ended or 0.0)
        return (1 if row.started is not None and row.ended is None else 4), 0.0

    kept = set(sorted(rows, key=lambda which: rank(rows[which]))[: max(room, 3)])
    return [(which, row) for which, row in rows.items() if which in kept]


def _count(rows: _Rows) -> str:
    total = len(rows.of)
    return f"[{rows.over:>{len(str(total))}}/{total}]"


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]
