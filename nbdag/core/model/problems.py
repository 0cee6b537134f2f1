"""All problems that `check` or a run can report: a table of codes, each with its severity and title.

NB1xx: structure and headers. NB2xx: dependencies. NB3xx: limits of the analysis. NB4xx: reported by a run, about tasks
that succeeded. Codes are stable: the meaning of a code never changes, and a retired code is not used again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal, NamedTuple

from .dag import Place, Problem, Repair

_SAFE = 0.75  # similarity, from 0 to 1, above which a word counts as a misspelling of another

Severity = Literal["error", "warning"]


class ProblemKind(NamedTuple):
    """The severity and title of a code."""

    severity: Severity
    title: str


TABLE: dict[str, ProblemKind] = {
    "NB101": ProblemKind("error", "a header that cannot be read"),
    "NB102": ProblemKind("error", "two tasks with the same name"),
    "NB103": ProblemKind("error", "a cell magic that is not the beginning of its cell"),
    "NB104": ProblemKind("error", "a misspelt magic of nbdag"),
    "NB105": ProblemKind("error", "two %dag lines with a name or options"),
    "NB107": ProblemKind("error", "no task"),
    "NB108": ProblemKind("error", "an unknown operator"),
    "NB109": ProblemKind("error", "a cell that its operator cannot translate"),
    "NB110": ProblemKind("error", "a notebook that is not Python"),
    "NB111": ProblemKind("warning", "several parameters cells"),
    "NB112": ProblemKind("error", "a parameters cell with the header of another kind of cell"),
    "NB113": ProblemKind("warning", "a file name that is not a valid id"),
    "NB114": ProblemKind("error", "code of %%dag that failed to build its tasks"),
    "NB115": ProblemKind("warning", "a %%dag cell that has not run here"),
    "NB117": ProblemKind("warning", "code of %%dag without an effect here"),
    "NB118": ProblemKind("error", "a parameter with a wrong rule, or whose default breaks a rule"),
    "NB119": ProblemKind("warning", "a rule of a parameter that is not checked"),
    "NB120": ProblemKind("warning", "a comment # nbdag: ignore without an effect"),
    "NB121": ProblemKind("error", "a tag of Kale that cannot be read"),
    "NB122": ProblemKind("warning", "a tag or setting of Kale without an effect here"),
    "NB123": ProblemKind("error", "files of %dag --with that cannot be pinned"),
    "NB201": ProblemKind("error", "a name that no cell above sets"),
    "NB202": ProblemKind("error", "tasks form a cycle"),
    "NB203": ProblemKind("error", "an unknown task in --after, --edge-label or %edges"),
    "NB204": ProblemKind("error", "a setup cell reads a variable of a task"),
    "NB205": ProblemKind("error", "a deleted name is read"),
    "NB206": ProblemKind("error", "a name is read from a task that is not an ancestor, with inference off"),
    "NB207": ProblemKind("error", "a task depends on itself"),
    "NB208": ProblemKind("error", "a syntax error"),
    "NB209": ProblemKind("error", "ti.xcom_pull of a value that no task has"),
    "NB210": ProblemKind("warning", "ti.xcom_pull of a task that has no result"),
    "NB230": ProblemKind("error", "a branch that names no task that follows it"),
    "NB231": ProblemKind("error", "a teardown for an unknown task"),
    "NB232": ProblemKind("error", "a teardown with another trigger rule"),
    "NB233": ProblemKind("error", "a task and a group with the same name"),
    "NB234": ProblemKind("error", "a branch or a short circuit without a last expression"),
    "NB235": ProblemKind("error", "a task that cannot be in step with another"),
    "NB301": ProblemKind("warning", "import * hides which names it sets"),
    "NB302": ProblemKind("warning", "code whose reads and writes the analysis cannot see"),
    "NB303": ProblemKind("warning", "setup seeds a global random generator"),
    "NB304": ProblemKind("warning", "a task changes the environment or the working directory for later tasks"),
    "NB305": ProblemKind("warning", "a task needs a setup cell that is below it"),
    "NB306": ProblemKind("warning", "a function reads a name that no cell sets"),
    "NB116": ProblemKind("warning", "a {name} that the operator does not replace, or a misspelt $name of a script"),
    "NB460": ProblemKind("warning", "a task changes a library's settings or other state for later tasks"),
    "NB461": ProblemKind("warning", "a task seeds a global random generator for later tasks"),
    "NB462": ProblemKind("warning", "a task changes an imported module for later tasks"),
    "NB464": ProblemKind("warning", "a function caches results that a task changes, but each task has its own cache"),
    "NB463": ProblemKind("error", "a task reads what other cells displayed"),
    "NB308": ProblemKind("warning", "setup gives a name a different value in each task"),
    "NB309": ProblemKind("warning", "a task keeps the id of an object, which has another id in later tasks"),
    "NB307": ProblemKind("warning", "a task that cannot be cached"),
    "NB310": ProblemKind("error", "an untagged cell sets or changes a name that a task below reads"),
    "NB311": ProblemKind("warning", "an untagged cell may change a value that a task below reads"),
    "NB312": ProblemKind("warning", "two tasks use one file, and nothing orders them"),
    "NB313": ProblemKind("warning", "two tasks used one file in an earlier run, and nothing orders them"),
    "NB320": ProblemKind("error", "a pipeline that is started by data that it produces itself"),
    "NB321": ProblemKind("error", "a notification to a function that no setup cell defines"),
    "NB322": ProblemKind("error", "a metric that its task does not set"),
    "NB314": ProblemKind("error", "an option without the other option that it needs"),
    "NB318": ProblemKind("warning", "--retry-on with an error that nothing defines"),
    "NB319": ProblemKind("warning", "a task that no branch above ever chooses"),
    "NB401": ProblemKind("warning", "a task changed an input in place where its code does not show it"),
    "NB402": ProblemKind("warning", "a task changed an object of setup in place, but every task creates its own"),
    "NB403": ProblemKind("warning", "two stored values share an object that a later task changes"),
    "NB440": ProblemKind("warning", "a task changed a library's settings or other state, which later tasks do not see"),
    "NB441": ProblemKind("warning", "a task drew from a seeded global generator that other tasks draw from, too"),
    "NB442": ProblemKind("warning", "a task changed a module, which later tasks do not see"),
    "NB411": ProblemKind("warning", "a parameter that the notebook does not have"),
    "NB412": ProblemKind("warning", "a reused value of an earlier run whose code or options have changed"),
    "NB413": ProblemKind("warning", "a reused value of an earlier run that had other parameters"),
    "NB414": ProblemKind("warning", "an unknown pool"),
    "NB415": ProblemKind("warning", "a notification that could not be sent"),
    "NB470": ProblemKind("warning", "two tasks used one file, and nothing ordered them"),
    "NB471": ProblemKind("warning", "files that were not checked, so a missing order would not be found"),
    "NB472": ProblemKind("warning", "sys.exit ended a task; the other tasks of the run continue"),
    "NB473": ProblemKind("warning", "a stored value that contains a secret"),
    "NB474": ProblemKind("warning", "a metric that is not a number, or that the cell did not set"),
    "NB480": ProblemKind("warning", "a missed deadline"),
    "NB417": ProblemKind("warning", "a task that no host of the cluster can execute now"),
    "NB418": ProblemKind("warning", "a run that could not be logged to MLflow"),
    "NB416": ProblemKind("warning", "text for a parameter whose default is a number"),
    "NB420": ProblemKind("warning", "a stored value that is too large to search for shared objects"),
    "NB423": ProblemKind("warning", "a stored value that contains the address of an object"),
    "NB424": ProblemKind("warning", "a stored value whose class runs code when an object is deleted"),
    "NB422": ProblemKind("warning", "a stored value whose class does not pickle the current values of attributes"),
    "NB421": ProblemKind("warning", "a stored set whose iteration order changes when it is loaded"),
}

# Codes that the analysis of a notebook alone does not find. Some are reported by a run. Others need earlier runs, the
# live notebook, other files, or the execution of a %%dag cell.
_STATIC = frozenset({"NB460", "NB461", "NB462", "NB463", "NB464"})  # the codes from NB400 that `check` reports
LATER = frozenset(code for code in TABLE if code >= "NB400") - _STATIC | {"NB115", "NB117", "NB123", "NB313"}


def problem(
    code: str,
    message: str,
    *,
    hint: str = "",
    task: str | None = None,
    place: Place | None = None,
    repair: Repair | None = None,
) -> Problem:
    """Return a problem with the severity of its code."""
    severity = TABLE[code].severity
    return Problem(code=code, severity=severity, message=message, hint=hint, task=task, place=place, repair=repair)


def similar_code(code: str) -> str | None:
    """Return the code of which `code` is a misspelling, or None.

    A similar letter, a missing or additional character, or a missing "NB" counts as a misspelling. Another digit does
    not, because many codes differ in a single digit.
    """
    word = code.strip().upper().translate(str.maketrans("OIL", "011"))
    word = f"NB{word}" if word.isdigit() else word
    return next(iter(difflib.get_close_matches(word, TABLE, n=1, cutoff=0.85)), None)


def hint_for_code(code: str) -> str:
    """Return what the user of an unknown code can do."""
    near = similar_code(code)
    return f"did you mean {near}?" if near else "`nbdag explain` lists the codes"


def sole_near(name: str, names: Iterable[str]) -> str:
    """Return the one name in `names` that is similar to `name`, or "" if no name or several names are similar."""
    if len(name) < 3:
        return ""
    near = difflib.get_close_matches(name, sorted(names), n=2, cutoff=_SAFE)
    return near[0] if len(near) == 1 else ""


def word_repair(name: str, names: Iterable[str], place: Place) -> Repair | None:
    """Return the repair of a misspelt word of a header, or None if it is not certain which word was meant."""
    near = sole_near(name, names)
    return Repair(kind="word", cells=(place.cell,), old=name, new=near) if near else None
