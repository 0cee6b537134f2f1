"""The comparison of two runs of one pipeline: parameters, code, states, durations, and values by their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.model.job import StoredOutput
from ...home import Home
from ...runs import Run, find_run, outputs_by_task, parameter_changes, pinned_notebook
from ..status import run_statuses, run_summary
from .messages import ComparedTask, ComparedValue, ParameterDifference, RunComparison, StoredValue
from .notebooks import pinned_difference

# The result of `runs.outputs_by_task`.
Values = Mapping[str, Mapping[str, Sequence[StoredOutput]]]


def compare(dag: str, run: str, other: str, *, home: Home) -> RunComparison:
    """Return the differences between two runs; `other` counts as the earlier run."""
    after, before = (find_run(each, dag, details=False, home=home) for each in (run, other))
    new, old = pinned_notebook(dag, run=after.id, home=home), pinned_notebook(dag, run=before.id, home=home)
    return {
        "run": run_summary(after),
        "other": run_summary(before),
        "parameters": _parameters(before, after),
        "notebook": pinned_difference(old, new),
        "tasks": _tasks(before, after, outputs_by_task(before), outputs_by_task(after)),
    }


def _parameters(before: Run, after: Run) -> list[ParameterDifference]:
    """Return each parameter that at least one of the runs sets."""
    found: list[ParameterDifference] = []
    for each in parameter_changes(before, after):
        is_set, was_set = each.name in after.parameters, each.name in before.parameters
        found.append(
            {
                "name": each.name,
                "run": each.after,
                "other": each.before,
                "set": is_set,
                "other_set": was_set,
                "same": is_set and was_set and each.same,
            }
        )
    return found


def _tasks(before: Run, after: Run, values_old: Values, values_new: Values) -> list[ComparedTask]:
    """Return all tasks of both runs, in the order of the run `after`. Tasks that only the run `before` has are last."""
    new, old = run_statuses(after), run_statuses(before)
    found: list[ComparedTask] = []
    for task in dict.fromkeys([*(each.id for each in after), *(each.id for each in before)]):
        mine, theirs = values_new.get(task, {}), values_old.get(task, {})
        found.append(
            {
                "task": task,
                "run": new.get(task),
                "other": old.get(task),
                "values": [_value(name, mine.get(name, ()), theirs.get(name, ())) for name in sorted({*mine, *theirs})],
            }
        )
    return found


def _value(name: str, mine: Sequence[StoredOutput], theirs: Sequence[StoredOutput]) -> ComparedValue:
    return {
        "name": name,
        "run": _stored(mine),
        "other": _stored(theirs),
        # Equal digests mean equal bytes. Equal values may have different digests.
        "same": bool(mine) and [each.digest for each in mine] == [each.digest for each in theirs],
    }


def _stored(found: Sequence[StoredOutput]) -> StoredValue | None:
    if not found:
        return None
    if len(found) == 1:  # a shortcut for nearly every task, because the sums below take much longer
        return {"type": found[0].type, "bytes": found[0].bytes, "summary": found[0].summary}
    return {
        "type": f"{len(found)} × {found[0].type}",
        "bytes": sum(each.bytes for each in found),
        "summary": ", ".join(each.summary for each in found[:5]) + (", …" if len(found) > 5 else ""),
    }
