"""The comparison of two runs of one pipeline: parameters, code, states, durations, and values by their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.model.job import StoredOutput
from ..core.model.secret_names import masked
from ..home import Home
from ..runs import Run, find_run, pinned_notebook, stored_outputs
from .differences import pinned_difference
from .messages import ComparedTask, ComparedValue, ParameterDifference, RunComparison, StoredValue
from .status import run_statuses, run_summary

# Stored outputs by task and name; a mapped task has one for each instance.
Values = Mapping[str, Mapping[str, Sequence[StoredOutput]]]


def compare(dag: str, run: str, other: str, *, home: Home) -> RunComparison:
    """Return the differences between two runs; `other` is the one that came before."""
    after, before = (find_run(each, dag, details=False, home=home) for each in (run, other))
    new, old = pinned_notebook(dag, run=after.id, home=home), pinned_notebook(dag, run=before.id, home=home)
    return {
        "run": run_summary(after),
        "other": run_summary(before),
        "parameters": _parameters(masked(before.parameters), masked(after.parameters)),
        "notebook": pinned_difference(old, new),
        "tasks": _tasks(before, after, _values(before), _values(after)),
    }


def _parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ParameterDifference]:
    """Return all parameters that either run sets."""
    return [
        {
            "name": name,
            "run": after.get(name),
            "other": before.get(name),
            "set": name in after,
            "other_set": name in before,
            "same": name in after and name in before and after[name] == before[name],
        }
        for name in sorted({*before, *after})
    ]


def _tasks(before: Run, after: Run, values_old: Values, values_new: Values) -> list[ComparedTask]:
    """Return all tasks of both runs, in the order of the newer run; tasks of the other run alone come last."""
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


def _values(run: Run) -> Values:
    found: dict[str, dict[str, list[StoredOutput]]] = {}
    for task, _, output in stored_outputs(run.id, run.dag, home=run.home):
        found.setdefault(task, {}).setdefault(output.name, []).append(output)
    return found


def _value(name: str, mine: Sequence[StoredOutput], theirs: Sequence[StoredOutput]) -> ComparedValue:
    return {
        "name": name,
        "run": _stored(mine),
        "other": _stored(theirs),
        # Equal digests mean equal bytes. Other digests may still belong to equal values.
        "same": bool(mine) and [each.digest for each in mine] == [each.digest for each in theirs],
    }


def _stored(found: Sequence[StoredOutput]) -> StoredValue | None:
    if not found:
        return None
    several = len(found) > 1
    return {
        "type": f"{len(found)} × {found[0].type}" if several else found[0].type,
        "bytes": sum(each.bytes for each in found),
        "summary": ", ".join(each.summary for each in found[:5]) + (", …" if len(found) > 5 else ""),
    }
