"""Every problem that `check` or a run can say: one table from code to severity and title.

NB1xx: structure and headers. NB2xx: what depends on what. NB3xx: what analysis cannot be sure of. NB4xx: said by a
run of a task that succeeded. A code is stable: it keeps its meaning for ever, and is not used again once retired.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .dag import Place, Problem

Severity = Literal["error", "warning"]


class Entry(NamedTuple):
    """What a code stands for."""

    severity: Severity
    title: str


TABLE: dict[str, Entry] = {
    "NB201": Entry("error", "a name that nothing above sets"),
    "NB202": Entry("error", "tasks form a cycle"),
    "NB203": Entry("error", "an unknown task in --after or %edges"),
    "NB204": Entry("error", "a setup cell needs what only a task makes"),
    "NB205": Entry("error", "a deleted name is read"),
    "NB206": Entry("error", "a name is read from a task that is not an ancestor, with inference off"),
    "NB207": Entry("error", "a task comes after itself"),
    "NB208": Entry("error", "a syntax error"),
    "NB301": Entry("warning", "import * hides which names it sets"),
    "NB302": Entry("warning", "code that analysis cannot see through"),
    "NB303": Entry("warning", "setup seeds a global random generator"),
    "NB304": Entry("warning", "a task changes the environment or the working directory"),
    "NB305": Entry("warning", "a task needs a setup cell that stands below it"),
    "NB306": Entry("warning", "a function reads a name that nothing sets"),
}


def problem(code: str, message: str, *, hint: str = "", task: str | None = None, place: Place | None = None) -> Problem:
    """A problem with the severity that the table gives its code."""
    return Problem(code=code, severity=TABLE[code].severity, message=message, hint=hint, task=task, place=place)
