"""Every problem that `check` or a run can say: one table from code to severity and title.

NB1xx: structure and headers. NB2xx: what depends on what. NB3xx: what analysis cannot be sure of. NB4xx: said by a
run of a task that succeeded. A code is stable: it keeps its meaning for ever, and is not used again once retired.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .dag import Place, Problem

Severity = Literal["error", "warning"]


class ProblemKind(NamedTuple):
    """What a code stands for."""

    severity: Severity
    title: str


TABLE: dict[str, ProblemKind] = {
    "NB101": ProblemKind("error", "a header that cannot be read"),
    "NB102": ProblemKind("error", "two tasks of one name"),
    "NB103": ProblemKind("error", "a cell magic that is not its cell's first line"),
    "NB104": ProblemKind("error", "a magic that is nearly one of nbdag's"),
    "NB105": ProblemKind("error", "two %dag lines that say something"),
    "NB107": ProblemKind("error", "no task"),
    "NB108": ProblemKind("error", "an unknown operator"),
    "NB109": ProblemKind("error", "an operator that cannot make code of its cell"),
    "NB110": ProblemKind("error", "a notebook that is not Python"),
    "NB111": ProblemKind("warning", "several parameters cells"),
    "NB112": ProblemKind("error", "a cell that is parameters and something else"),
    "NB113": ProblemKind("warning", "a file's name that makes no id"),
    "NB114": ProblemKind("error", "code of %%dag that cannot build its tasks"),
    "NB115": ProblemKind("warning", "a %%dag cell that has not run here"),
    "NB201": ProblemKind("error", "a name that nothing above sets"),
    "NB202": ProblemKind("error", "tasks form a cycle"),
    "NB203": ProblemKind("error", "an unknown task in --after or %edges"),
    "NB204": ProblemKind("error", "a setup cell needs what only a task makes"),
    "NB205": ProblemKind("error", "a deleted name is read"),
    "NB206": ProblemKind("error", "a name is read from a task that is not an ancestor, with inference off"),
    "NB207": ProblemKind("error", "a task comes after itself"),
    "NB208": ProblemKind("error", "a syntax error"),
    "NB301": ProblemKind("warning", "import * hides which names it sets"),
    "NB302": ProblemKind("warning", "code that analysis cannot see through"),
    "NB303": ProblemKind("warning", "setup seeds a global random generator"),
    "NB304": ProblemKind("warning", "a task changes the environment or the working directory"),
    "NB305": ProblemKind("warning", "a task needs a setup cell that stands below it"),
    "NB306": ProblemKind("warning", "a function reads a name that nothing sets"),
    "NB116": ProblemKind("warning", "a script's {name} that no cell sets"),
    "NB307": ProblemKind("warning", "a task that cannot be cached"),
    "NB401": ProblemKind("warning", "a task changed an input in place, and its code does not show it"),
    "NB402": ProblemKind("warning", "a task changed in place what each task makes anew, in setup or by a definition"),
    "NB403": ProblemKind("warning", "two stored values share an object that a later task changes"),
    "NB411": ProblemKind("warning", "a parameter that the notebook does not have"),
    "NB412": ProblemKind("warning", "a value of an earlier run, whose code has changed since"),
    "NB413": ProblemKind("warning", "a value of an earlier run, which had other parameters"),
    "NB414": ProblemKind("warning", "a pool that nobody has made"),
    "NB415": ProblemKind("warning", "a notification that could not be sent"),
    "NB416": ProblemKind("warning", "a text for a parameter that is a number"),
}


def problem(code: str, message: str, *, hint: str = "", task: str | None = None, place: Place | None = None) -> Problem:
    """A problem with the severity that the table gives its code."""
    return Problem(code=code, severity=TABLE[code].severity, message=message, hint=hint, task=task, place=place)
