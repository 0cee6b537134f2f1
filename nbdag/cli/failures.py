"""Print failed tasks with the failing lines of user code. Instances that fail in the same way are printed once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from .. import runs
from ..core.model.text import run_selector, task_label
from .output import short_path

_LAST_LINES = 12  # number of lines to print if a traceback contains no notebook cell
_FRAME = re.compile(
    r"Cell In\[(?P<number>\d+)\], line (?P<line>\d+)(?:, in (?P<within>.+))?$"
    r"|File <(?P<cell>(?:cell|task) [^>]+)>:(?P<at>\d+)(?:, in (?P<inside>.+))?$"
)
_CELL = re.compile(r"cell (\d+)")
_POINTED = re.compile(r"^-+> \d+ ?(?P<code>.*)$", re.MULTILINE)


def print_failures(run: runs.Run, failed: Sequence[runs.TaskRun], print_line: Callable[[str, str], None]) -> None:
    """Print each failure with the failing lines of cells, and the command that prints the whole traceback.

    `print_line` is called with each line and its style.
    """
    locate = _places(run) if failed else lambda cell, line: ""
    for _, group in groupby(failed, key=lambda task: (task.id, task.error, tuple(cell_lines(task, locate)))):
        first, *others = group
        print_line("", "")
        print_line(f"{_name(first)} failed: {first.error or 'no reason was recorded'}", "bold red")
        for line in cell_lines(first, locate):
            print_line(f"  {line}", "")
        index = f" --index {first.map_index}" if first.map_index >= 0 else ""
        print_line(f"  (full log: nbdag logs {run_selector(run.id, run.dag)} {first.id}{index})", "")
        if others:
            print_line(f"{name_range([_name(each) for each in others])} failed in the same way", "bold red")


def name_range(names: Sequence[str]) -> str:
    """Return the names of consecutive instances in short form: "fit[1] … fit[11]"."""
    return f"{names[0]} … {names[-1]}" if len(names) > 2 else " and ".join(names)


def cell_lines(task: runs.TaskRun, locate: Callable[[str, int], str] = lambda cell, line: "") -> list[str]:
    """Return the failing lines of cells from a task's traceback, or the last lines of a traceback without cells.

    `locate(cell, line)` returns the line's place in the user's file, or "" if cell and line suffice to find the line.
    """
    trace = (task.traceback or "").rstrip()
    frames = list(_frames(task.id, trace, locate))
    if frames:
        return frames
    lines = trace.splitlines()
    return lines[-_LAST_LINES:] if len(lines) > 1 else []  # a traceback of one line only repeats the error message


def _frames(task: str, trace: str, locate: Callable[[str, int], str]) -> Iterator[str]:
    own = ""  # number of the task's cell: the first cell in the traceback
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
        line = int(found["line"] or found["at"])
        place = locate(cell, line) or f"line {line} of {cell}"
        yield f"{place}{f', in {within}' if within else ''}: {pointed['code'].strip()}"


def _places(run: runs.Run) -> Callable[[str, int], str]:
    """Return the argument `locate` of `cell_lines`: a function that finds the place of a line in the user's file."""
    dag = run.pinned_dag()

    def locate(cell: str, line: int) -> str:
        if dag is None:
            return ""
        number = _CELL.fullmatch(cell)
        task = dag.tasks.get(cell.removeprefix("task "))
        found = dag.cell_in_file(int(number[1]) - 1) if number else None if task is None else dag.cells[task.cell]
        if found is None or (found.text_line is None and not found.origin):
            return ""
        place = found.at(line)
        return str(place) if place.text_line is None else f"{short_path(run.source or run.dag)}:{place.text_line}"

    return locate


def _name(task: runs.TaskRun) -> str:
    return task_label(task.id, task.map_index)
