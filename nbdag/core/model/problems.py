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
    "NB101": Entry("error", "a header that cannot be read"),
    "NB102": Entry("error", "two tasks of one name"),
    "NB103": Entry("error", "a cell magic that is not its cell's first line"),
    "NB104": Entry("error", "a magic that is nearly one of nbdag's"),
    "NB105": Entry("error", "two %dag lines that say something"),
    "NB107": Entry("error", "no task"),
    "NB108": Entry("error", "an unknown operator"),
    "NB109": Entry("error", "an operator that cannot make code of its cell"),
    "NB110": Entry("error", "a notebook that is not Python"),
    "NB111": Entry("warning", "several parameters cells"),
    "NB112": Entry("error", "a cell that is parameters and something else"),
    "NB113": Entry("warning", "a file's name that makes no id"),
    "NB114": Entry("error", "code of %%dag that cannot build its tasks"),
    "NB115": Entry("warning", "a %%dag cell that has not run here"),
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
    "NB116": Entry("warning", "a script's {name} that no cell sets"),
    "NB307": Entry("warning", "a task that cannot be cached"),
    "NB401": Entry("warning", "a task changed an input in place, and its code does not show it"),
    "NB402": Entry("warning", "a task changed in place what each task makes anew, in setup or by a definition"),
    "NB403": Entry("warning", "two stored values share an object that a later task changes"),
    "NB411": Entry("warning", "a parameter that the notebook does not have"),
    "NB412": Entry("warning", "a value of an earlier run, whose code has changed since"),
    "NB413": Entry("warning", "a value of an earlier run, which had other parameters"),
    "NB414": Entry("warning", "a pool that nobody has made"),
    "NB415": Entry("warning", "a notification that could not be sent"),
    "NB416": Entry("warning", "a text for a parameter that is a number"),
}


def problem(code: str, message: str, *, hint: str = "", task: str | None = None, place: Place | None = None) -> Problem:
    """A problem with the severity that the table gives its code."""
    return Problem(code=code, severity=TABLE[code].severity, message=message, hint=hint, task=task, place=place)
