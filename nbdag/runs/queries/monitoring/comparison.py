"""The differences between two runs of one pipeline: parameters, metrics, states, durations and values.

A metric is a stored value that is one number (`core.model.metrics`). The metric of a mapped task is the mean of its
instances. A run keeps its metrics even after the files of its values are deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....core.model.job import StoredOutput
from ....core.model.metrics import json_number
from ....core.model.secret_names import masked
from ....errors import NbdagError, error
from ....home import Home
from ..records import Run
from ..runs import find_run, list_runs, stored_outputs
from .metric_history import MetricSeries, metric_history


@error
class DifferentDagsError(NbdagError):
    """The runs to compare belong to different pipelines."""

    exit_code = 2

    run: str
    dag: str
    other: str
    other_dag: str
    template = "run {run} is of {dag}, but run {other} is of {other_dag}; choose two runs of one DAG"


@error
class NoEarlierRunError(NbdagError):
    """No run is older than the run to compare."""

    run: str
    dag: str
    template = "run {run} is the first run of {dag}, so there is no run to compare it with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A value in the earlier run and in the later run; None means that the run lacks the value."""

    task: str  # "" for a parameter
    name: str
    before: Any
    after: Any

    @property
    def same(self) -> bool:
        """Return whether both runs have the same value."""
        return bool(self.before == self.after)

    def to_dict(self) -> dict[str, Any]:
        """Return the change as JSON."""
        return {"task": self.task or None, "name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRuns:
    """Two runs of one pipeline, and the values to compare."""

    before: Run
    after: Run
    notebook_changed: bool
    parameters: tuple[Change, ...]
    metrics: tuple[Change, ...]  # first the metrics of --metric; values are numbers, or texts such as "NaN"
    states: tuple[Change, ...]  # states of the tasks
    durations: tuple[Change, ...]  # durations of the tasks, in seconds
    values: tuple[Change, ...]  # all other values whose bytes differ; `before` and `after` are short texts

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON: all parameters, metrics and durations, and differing states and values."""
        return {
            "dag": self.after.dag,
            "before": self.before.id,
            "after": self.after.id,
            "notebook_changed": self.notebook_changed,
            "parameters": [each.to_dict() for each in self.parameters],
            "metrics": [each.to_dict() for each in self.metrics],
            "states": [each.to_dict() for each in self.states if not each.same],
            "durations": [each.to_dict() for each in self.durations],
            "values": [each.to_dict() for each in self.values],
        }


def compare_runs(
    before: str | None = None, after: str = "latest", dag: str | None = None, *, home: Home | None = None
) -> ComparedRuns:
    """Compare two runs, which are given by their ids, prefixes of ids, or "latest".

    By default, `before` is the newest run of the same DAG that is older than `after`. Raise `UnknownRunError` or
    `AmbiguousRunError` for an id, `NoEarlierRunError` if there is no run before `after`, and `DifferentDagsError` for
    runs of two DAGs.
    """
    new = find_run(after, dag, home=home)
    old = _run_before(new, home) if before is None else find_run(before, dag, home=home)
    if old.dag != new.dag:
        raise DifferentDagsError(old.id, old.dag, new.id, new.dag)
    values_old, values_new = outputs_by_task(old), outputs_by_task(new)
    names = dict.fromkeys((task, name) for found in (values_new, values_old) for task in found for name in found[task])
    series = metric_history(new.dag, only=[old.id, new.id], home=home).series
    metrics = {(each.task, each.name): (_value(each, old), _value(each, new)) for each in series}
    others = []
    for task, name in names:
        mine, theirs = values_old.get(task, {}).get(name, ()), values_new.get(task, {}).get(name, ())
        if (task, name) not in metrics and [each.digest for each in mine] != [each.digest for each in theirs]:
            others.append(Change(task=task, name=name, before=_text(mine), after=_text(theirs)))
    states_old, states_new = _states(old), _states(new)
    durations_old, durations_new = _durations(old), _durations(new)
    return ComparedRuns(
        before=old,
        after=new,
        notebook_changed=old.digest != new.digest,
        parameters=parameter_changes(old, new),
        metrics=tuple(Change(task=task, name=name, before=a, after=b) for (task, name), (a, b) in metrics.items()),
        states=_changes(states_old, states_new),
        durations=_changes(durations_old, durations_new),
        values=tuple(others),
    )


def _run_before(run: Run, home: Home | None) -> Run:
    ids = [each.id for each in list_runs(dag=run.dag, limit=1_000_000, tasks=(), details=False, home=home)]
    later = ids[ids.index(run.id) + 1 :] if run.id in ids else []
    if not later:
        raise NoEarlierRunError(run.id, run.dag)
    return find_run(later[0], run.dag, home=home)


def parameter_changes(before: Run, after: Run) -> tuple[Change, ...]:
    """Return all parameters that either run sets; secrets are masked."""
    old, new = masked(before.parameters), masked(after.parameters)
    return tuple(
        Change(task="", name=name, before=old.get(name), after=new.get(name)) for name in dict.fromkeys([*new, *old])
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    tasks = dict.fromkeys([*after, *before])
    return tuple(Change(task=each, name=each, before=before.get(each), after=after.get(each)) for each in tasks)


def _value(series: MetricSeries, run: Run) -> float | int | str | None:
    """Return a metric of a run as JSON, or None if the run lacks it."""
    return json_number(series.points[run.id].value) if run.id in series.points else None


def _states(run: Run) -> dict[str, str]:
    """Return the state of each task; for a mapped task, the different states of its instances, joined by commas."""
    found: dict[str, dict[str, None]] = {}
    for task in run:
        found.setdefault(task.id, {})[task.state.value] = None
    return {task: ", ".join(states) for task, states in found.items()}


def _durations(run: Run) -> dict[str, float]:
    """Return the seconds that each ended task took; for a mapped task, the sum over its instances."""
    found: dict[str, float] = {}
    for task in run:
        if task.duration is not None and task.cached is None:
            found[task.id] = found.get(task.id, 0.0) + task.duration
    return found


def outputs_by_task(run: Run) -> Mapping[str, Mapping[str, Sequence[StoredOutput]]]:
    """Return the stored outputs of a run by task and name; a mapped task has one output for each instance."""
    found: dict[str, dict[str, list[StoredOutput]]] = {}
    for task, _, output in stored_outputs(run.id, run.dag, home=run.home):
        found.setdefault(task, {}).setdefault(output.name, []).append(output)
    return found


def _text(outputs: Sequence[StoredOutput]) -> str | None:
    if not outputs:
        return None
    return ", ".join(each.summary for each in outputs[:3]) + (", …" if len(outputs) > 3 else "")
