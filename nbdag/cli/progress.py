"""The progress of a run: a live table on a terminal, plain lines elsewhere.

The display only shows events. If the terminal or pipe is closed, the display ends, but the run continues.
"""

from __future__ import annotations

import contextlib
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
_WITHOUT_LINE = frozenset({TaskState.NONE, TaskState.SCHEDULED, TaskState.QUEUED})

Instance = tuple[str, int]  # task id and map index


class Progress(Protocol):
    """A display of events; as a context manager, it restores the terminal at the end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None: ...


def progress(console: Console, tasks: Sequence[str], *, show: bool = True) -> Progress:
    """Return the display for this console. `tasks` are the expected tasks, in notebook order."""
    if not show:
        return NoProgress()
    return Live(console, tasks) if console.is_terminal else Lines(console, tasks)


class NoProgress:
    """A display that shows nothing."""

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
    """The state of one task instance, as the events report it."""

    state: TaskState = TaskState.NONE
    tries: int = 0
    started: float | None = None  # start of the last attempt, in seconds since the epoch
    ended: float | None = None
    message: str = ""

    def update(self, event: Event) -> bool:
        """Apply an event, and return whether the state changed or an attempt started."""
        state = TaskState(event.state)
        changed = state is not self.state or event.try_number > self.tries
        self.tries = max(self.tries, event.try_number)
        self.message = event.message or ("" if changed else self.message)
        if changed and state is TaskState.RUNNING:
            self.started, self.ended = event.at, None
        elif changed and self.started is not None and self.ended is None:
            self.ended = event.at
        self.state = state
        return changed

    def duration(self, now: float) -> str:
        if self.started is None:
            return ""
        return duration(max(0.0, (self.ended or now) - self.started))


class _Rows:
    """The rows of all tasks, in notebook order. The rows of a mapped task's instances replace the row of the task."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.by_instance: dict[Instance, _Row] = {(task, -1): _Row() for task in tasks}

    def update(self, event: Event) -> bool:
        """Apply an event to its row, and return whether the row changed."""
        assert event.task is not None
        instance = (event.task, event.map_index)
        if instance not in self.by_instance:
            self._insert(instance)
        return self.by_instance[instance].update(event)

    @property
    def finished(self) -> int:
        return sum(row.state in FINISHED for row in self.by_instance.values())

    def _insert(self, instance: Instance) -> None:
        task, index = instance
        order = list(self.by_instance.items())
        siblings = [n for n, ((other, _), _) in enumerate(order) if other == task]
        order.insert(siblings[-1] + 1 if siblings else len(order), (instance, _Row()))
        self.by_instance = dict(order)
        if index >= 0:
            self.by_instance.pop((task, -1), None)


class Lines(NoProgress):
    """A display for logs, with one line per event."""

    def __init__(self, console: Console, tasks: Sequence[str]) -> None:
        self._console = console
        self._rows = _Rows(tasks)

    def show(self, event: Event) -> None:
        if event.kind == "run":
            if event.message and event.state not in RUN_FINISHED:  # the command reports the end of the run
                self._print(f"run {event.run_id}: {event.message}")
            return
        changed = self._rows.update(event)
        row = self._rows.by_instance[str(event.task), event.map_index]
        if row.state in _WITHOUT_LINE or not (changed or event.message):
            return
        length = row.duration(event.at) if changed and row.state is not TaskState.RUNNING else ""
        attempt = f" (try {row.tries})" if row.tries > 1 else ""
        line = f"{_count(self._rows)} {task_label(str(event.task), event.map_index)}: {row.state.value}{attempt}"
        if length:
            line += f" after {length}"
        self._print(line + (f": {_first_line(event.message)}" if event.message else ""))

    def _print(self, line: str) -> None:
        # OSError: the disk of a redirected output is full. The run goes on; printing its outcome reports the error.
        with contextlib.suppress(OSError):
            self._console.print(line, soft_wrap=True)


class Live(NoProgress):
    """A table that is updated in place; if it does not fit the screen, it shows the most important rows."""

    def __init__(self, console: Console, tasks: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        from rich.live import Live

        self._console = console
        self._rows = _Rows(tasks)
        self._clock = clock
        self._lock = Lock()  # a separate thread of rich draws the table
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8, transient=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        # The table appears at the first event: a run that is rejected before then shows no empty table.
        self._live.start()
        if event.kind == "run":
            if event.message and event.state not in RUN_FINISHED:
                self._live.console.print(event.message)
            return
        with self._lock:
            self._rows.update(event)

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
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)  # the message column uses the remaining width
        with self._lock:
            shown = _most_important(self._rows.by_instance, self._console.size.height - 4)
            for instance, row in shown:
                table.add_row(
                    Text(task_label(*instance)),
                    state_text(row.state.value, self._console),
                    str(row.tries) if row.tries > 1 else "",
                    row.duration(now),
                    Text(_first_line(row.message), style="dim"),
                )
            hidden = len(self._rows.by_instance) - len(shown)
            count = f"{_count(self._rows)} done"
        return Group(table, Text(f"{count}, {hidden} more not shown" if hidden else count, style="dim"))


def _most_important(rows: dict[Instance, _Row], room: int) -> list[tuple[Instance, _Row]]:
    """Return the most important rows that fit into `room` lines, but at least three, in notebook order.

    Failed tasks come first, then running tasks, then tasks that ended last, then tasks that have not started.
    """
    if len(rows) <= max(room, 3):
        return list(rows.items())

    def rank(row: _Row) -> tuple[int, float]:
        if row.state is TaskState.FAILED:
            return 0, 0.0
        if row.state in FINISHED:
            return 3 if row.state in _FAILED else 2, -(row.ended or 0.0)
        return (1 if row.started is not None and row.ended is None else 4), 0.0

    shown = set(sorted(rows, key=lambda instance: rank(rows[instance]))[: max(room, 3)])
    return [(instance, row) for instance, row in rows.items() if instance in shown]


def _count(rows: _Rows) -> str:
    total = len(rows.by_instance)
    return f"[{rows.finished:>{len(str(total))}}/{total}]"


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0]
