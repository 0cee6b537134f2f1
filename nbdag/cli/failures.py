"""What a person needs to know of tasks that failed: where in their own code, and once for all that failed alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from .. import runs
from ..core.model.text import run_selector, task_label

_LAST_LINES = 12  # of a traceback that shows no cell
_FRAME = re.compile(
    r"Cell In\[(?P<number>\d+)\], line (?P<line>\d+)(?:, in (?P<within>.+))?$"
    r"|File <(?P<cell>(?:cell|task) [^>]+)>:(?P<at>\d+)(?:, in (?P<inside>.+))?$"
)
_POINTED = re.compile(r"^-+> \d+ ?(?P<code>.*)$", re.MULTILINE)


def say_failures(run: runs.Run, failed: Sequence[runs.TaskRun], say: Callable[[str, str], None]) -> None:
    """Each failure with its lines in cells, and the command that shows all of its traceback."""
    for _, group in groupby(failed, key=lambda task: (task.id, task.error, tuple(where(task)))):
        first, *others = group
        say("", "")
        say(f"{_name(first)} failed: {first.error or 'no reason is on record'}", "bold red")
        for line in where(first):
            say(f"  {line}", "")
        index = f" --index {first.map_index}" if first.map_index >= 0 else ""
        say(f"  (all of it: nbdag logs {run_selector(run.id, run.dag)} {first.id}{index})", "")
        if others:
            say(f"{row([_name(each) for each in others])} failed alike", "bold red")


def row(names: Sequence[str]) -> str:
    """Instances in a row: "fit[1] … fit[11]"."""
    return f"{names[0]} … {names[-1]}" if len(names) > 2 else " and ".join(names)


def where(task: runs.TaskRun) -> list[str]:
    """The lines of cells that a traceback goes through; where it shows none, its end."""
    trace = (task.traceback or "").rstrip()
    frames = list(_frames(task.id, trace))
    if frames:
        return frames
    lines = trace.splitlines()
    return lines[-_LAST_LINES:] if len(lines) > 1 else []  # one line says what has been said


def _frames(task: str, trace: str) -> Iterator[str]:
    own = ""  # the number of the task's cell: what runs first
    for block in trace.split("\n\n"):
        lines = block.split("\n")
        at = next((n for n, line in enumerate(lines) if _FRAME.match(line)), None)
        pointed = _POINTED.search(block)
        if at is None or pointed is None:
            continue
        found = _FRAME.match(lines[at])
        assert found is not None
        own = own or found["number"] or ""
        cell = found["cell"] or (task if found["number"] == own else "setup")
        within = found["within"] or found["inside"]
        place = f"line {found['line'] or found['at']} of {cell}{f', in {within}' if within else ''}"
        yield f"{place}: {pointed['code'].strip()}"


def _name(task: runs.TaskRun) -> str:
    return task_label(task.id, task.map_index)
