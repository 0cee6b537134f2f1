"""Tests of the progress display of a run, on a terminal and in a log."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

from nbdag.cli.console import PatientConsole
from nbdag.cli.output import state_text
from nbdag.cli.progress import Lines, Live, NoProgress, progress
from nbdag.core.model.states import RunState, TaskState
from nbdag.graphs.marks import state_style
from nbdag.runs import Event

R, S, F, Q = TaskState.RUNNING, TaskState.SUCCESS, TaskState.FAILED, TaskState.QUEUED


def event(task: str, state: TaskState, at: float, *, index: int = -1, attempt: int = 1, message: str = "") -> Event:
    return Event(
        kind="task",
        run_id="r",
        task=task,
        state=state,
        at=at,
        map_index=index,
        try_number=attempt,
        message=message,
    )


def lines(tasks: Iterable[str], *events: Event) -> list[str]:
    out = io.StringIO()
    with Lines(Console(file=out, width=10_000, markup=False, highlight=False), list(tasks)) as shown:
        for each in events:
            shown.show(each)
    return out.getvalue().splitlines()


def screen(tasks: Iterable[str], *events: Event, now: float = 100.0, height: int = 24, width: int = 100) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    live = Live(console, list(tasks), clock=lambda: now)
    for each in events:
        live._rows.update(each)
    with console.capture() as captured:
        console.print(live._draw())
    return captured.get()


def test_plain_progress_prints_one_line_per_change_of_state() -> None:
    assert lines(
        ["a", "b"],
        event("a", Q, 0),
        event("a", R, 1),
        event("a", S, 3.5),
        event("b", R, 4),
        event("b", F, 5, message="ValueError: no\nmore of it"),
    ) == [
        "[0/2] a: running",
        "[1/2] a: success after 2.5 s",
        "[1/2] b: running",
        "[2/2] b: failed after 1.0 s: ValueError: no",
    ]


def test_a_retry_is_shown_with_its_number_and_its_own_duration() -> None:
    told = lines(
        ["a"],
        event("a", R, 1),
        event("a", TaskState.UP_FOR_RETRY, 2, message="ValueError: no"),
        event("a", R, 32, attempt=2),
        event("a", S, 33, attempt=2),
    )
    assert told[1] == "[0/1] a: up_for_retry after 1.0 s: ValueError: no"
    assert told[2:] == ["[0/1] a: running (try 2)", "[1/1] a: success (try 2) after 1.0 s"]


def test_a_message_without_a_change_of_state_is_printed_once() -> None:
    told = lines(["a"], event("a", R, 1), event("a", R, 2), event("a", R, 3, message="a warning"))
    assert told == ["[0/1] a: running", "[0/1] a: running: a warning"]


def test_messages_of_the_run_are_printed_until_it_ends() -> None:
    told = lines(
        [],
        Event(kind="run", run_id="r7", state=RunState.RUNNING, at=1, message="no 'alhpa' is set"),
        Event(kind="run", run_id="r7", state=RunState.FAILED, at=2, message="it took too long"),
    )
    assert told == ["run r7: no 'alhpa' is set"], "the command itself reports the end of the run"


def test_a_closed_pipe_ends_the_progress_display_but_not_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as pipe:
        shown = Lines(PatientConsole(file=pipe), ["a"])
        for state in (R, S):
            shown.show(event("a", state, 1))


def test_the_live_table_shows_the_state_and_duration_of_each_task() -> None:
    told = screen(["extract", "train"], event("extract", R, 90), event("extract", S, 93), event("train", R, 95))
    extract, train = (
        next(line for line in told.splitlines() if line.startswith(task)) for task in ("extract", "train")
    )
    assert "success" in extract
    assert "3.0 s" in extract
    assert "running" in train
    assert "5.0 s" in train
    assert "[1/2] done" in told


def test_the_instances_of_a_mapped_task_replace_its_row() -> None:
    told = screen(
        ["a", "each", "z"], event("each", R, 1, index=0), event("each", R, 1, index=1), event("each", S, 2, index=0)
    )
    names = [line.split()[0] for line in told.splitlines()[1:-1]]
    assert names == ["a", "each[0]", "each[1]", "z"]
    assert "[1/4] done" in told


def test_a_small_screen_shows_failed_and_running_tasks() -> None:
    tasks = [f"t{n}" for n in range(100)]
    events = [event(task, S, 1) for task in tasks[:50]] + [event("t7", F, 2), event("t60", R, 3)]
    told = screen(tasks, *events, height=12)
    assert len(told.splitlines()) <= 12
    assert "t7 " in told
    assert "t60 " in told
    assert "not shown" in told


def test_a_long_message_is_truncated_and_the_other_columns_are_not() -> None:
    told = screen(["extract", "train_forest"], event("train_forest", F, 2, message="so long " * 40), width=60)
    line = next(line for line in told.splitlines() if line.startswith("train_forest"))
    assert "failed" in line
    assert "so long" in line
    assert line.rstrip().endswith("…")
    assert max(map(len, told.splitlines())) <= 60


def test_messages_are_not_interpreted_as_markup() -> None:
    told = screen(["a"], event("a", F, 1, message="[bold]KeyError[/bold]: '[x]'"))
    assert "[bold]KeyError[/bold]: '[x]'" in told


@pytest.mark.parametrize(
    ("terminal", "show", "kind"), [(True, True, Live), (False, True, Lines), (True, False, NoProgress)]
)
def test_the_kind_of_display_depends_on_the_terminal_and_the_option(
    terminal: bool, show: bool, kind: type[Any]
) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal)
    assert type(progress(console, ["a"], show=show)) is kind


def test_a_run_without_events_prints_nothing() -> None:
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=80), ["a"]):
        pass
    assert out.getvalue() == ""


def test_the_live_table_remains_on_the_screen_after_the_run() -> None:
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=80, height=24), ["a"]) as shown:
        shown.show(event("a", R, 1))
        shown.show(event("a", S, 2))
    assert "success" in out.getvalue()
    assert out.getvalue().endswith("\n\x1b[?25h") or "\x1b[?25h" in out.getvalue()


@pytest.mark.parametrize("state", ["cancelled", "skipped", "success"])
def test_a_state_has_its_own_sign_and_colour(state: str) -> None:
    style = state_style(state)
    text = state_text(state, Console(file=io.StringIO()))
    assert (text.plain, text.style) == (f"{style.sign} {state}", style.colour)
