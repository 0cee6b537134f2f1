"""Comments that ignore warnings: `# nbdag: ignore[NB303]`.

A comment at the end of a line of code applies to the statement on this line. A comment on a line of its own, or on the
line of the header, applies to the whole cell. Several codes are separated by commas.

Only warnings can be ignored, because an error prevents the notebook from running. A comment without an effect causes
the warning NB120. Comments with codes that only a run reports are an exception, because `check` cannot know what a run
will report.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..model.dag import Cell, CellKind, Dag, Problem
from ..model.problems import LATER, TABLE, hint_for_code, problem
from .source import Python, to_python

_COMMENT = re.compile(r"#\s*nbdag:\s*ignore\b[ \t]*(?P<codes>\[[^\]\n]*\]?)?")
_MARK = "nbdag:"  # every such comment contains this text, so most cells need no search


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreComment:
    """A comment that ignores warnings of its statement or cell."""

    cell: Cell
    line: int  # line of the comment, from 1
    codes: tuple[str, ...]
    lines: range | None  # lines of the statement; None stands for the whole cell

    def covers(self, found: Problem) -> bool:
        """Return whether the comment ignores this problem."""
        place = found.place
        if place is None or found.severity != "warning" or found.code not in self.codes or self.cell.made_at:
            return False
        return place.cell == self.cell.in_file and (self.lines is None or place.line in self.lines)


def ignore_comments(cells: Iterable[Cell]) -> Iterator[IgnoreComment]:
    """Yield the comments in these cells, in notebook order."""
    for cell in cells:
        if cell.kind is CellKind.PROSE or _MARK not in cell.source:
            continue
        for number, text in enumerate(cell.source.split("\n"), 1):
            found = _COMMENT.search(text)
            if found:
                before = text[: found.start()].strip()
                whole = not before or before.startswith(("%", "#"))
                words = (found["codes"] or "").strip("[]").split(",")
                yield IgnoreComment(
                    cell=cell,
                    line=number,
                    codes=tuple(word.strip().upper() for word in words if word.strip()),
                    lines=None if whole else _statement(cell, number),
                )


def drop_ignored(cells: Iterable[Cell], problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems that no comment ignores."""
    comments = list(ignore_comments(cells)) if problems else []
    return tuple(found for found in problems if not any(each.covers(found) for each in comments))


def ignored_in_run(dag: Dag, task: str) -> frozenset[str]:
    """Return the codes that the comments in a task's cell ignore."""
    cell = dag.cells[dag.tasks[task].cell] if task in dag.tasks else None
    return frozenset(code for each in ignore_comments([cell] if cell else []) for code in each.codes)


def without_ignored(dag: Dag) -> Dag:
    """Return the DAG without the warnings that comments ignore, and with a warning for each useless comment."""
    comments = list(ignore_comments(dag.cells))
    if not comments:
        return dag
    problems = list(drop_ignored(dag.cells, dag.problems))
    for comment in comments:
        if comment.cell.made_at is None:
            found = list(_useless(dag, comment))
            problems += [each for each in found if not any(other.covers(each) for other in comments)]
    return replace(dag, problems=tuple(problems))


def _useless(dag: Dag, comment: IgnoreComment) -> Iterator[Problem]:
    def useless(message: str, hint: str) -> Problem:
        return problem("NB120", message, hint=hint, task=comment.cell.task, place=comment.cell.at(comment.line))

    if not comment.codes:
        yield useless("the comment names no code to ignore", "write it as # nbdag: ignore[NB303]")
    for code in comment.codes:
        if code not in TABLE:
            yield useless(f"unknown code {code}", hint_for_code(code))
        elif TABLE[code].severity == "error":
            message = f"{code} is an error, which prevents a run, so a comment cannot ignore it"
            yield useless(message, f"remove the comment; `nbdag explain {code}` shows what to do instead")
        elif code not in LATER and code != "NB120" and not dag.errors:
            covered = replace(comment, codes=(code,))
            if not any(covered.covers(each) for each in dag.problems):
                where = "this cell" if comment.lines is None else "this statement"
                yield useless(f"{where} has no {code} to ignore", "remove the comment")


def _statement(cell: Cell, line: int) -> range:
    """Return the lines of the innermost statement on a line; for a block such as `if`, only the lines of its header."""
    python = to_python(cell.code)
    found = range(line, line + 1)
    if not isinstance(python, Python):
        return found
    for node in ast.walk(python.tree):
        if not isinstance(node, ast.stmt) or node.end_lineno is None:
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
        if node.lineno <= line <= max(end, node.lineno):
            found = range(node.lineno, max(end, node.lineno) + 1)
    return found
