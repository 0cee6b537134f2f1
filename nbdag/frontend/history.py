"""Earlier runs of a DAG, read from the store: attempts, durations, the grid, the timeline."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..core.model.job import Key
from ..core.model.metrics import MetricPoint, json_number
from ..home import Home
from ..runs import (
    Run,
    TaskNotInRunError,
    find_run,
    latest_that_fit,
    list_attempts,
    list_runs,
    logs,
    metric_history,
    pinned_notebook,
    rendered_in,
    stored_outputs,
)
from ..storage import local_copy
from . import outputs, task
from .messages import (
    Attempt,
    AttemptMessage,
    Bar,
    GridMessage,
    GridRun,
    MetricsMessage,
    PastDuration,
    RunMessage,
    TaskDetails,
    TimelineMessage,
    ValueList,
)
from .messages import MetricPoint as Point
from .status import attempt_state, run_statuses, run_summary

LATEST = 20  # number of runs that the front end lists
_MAX_DURATIONS = 12  # maximum number of runs in a task's chart of durations
_MAX_CELLS = 4000  # maximum number of cells (tasks × runs) of the grid


@dataclass(frozen=True, slots=True)
class History:
    """The runs of one DAG in one home."""

    home: Home
    dag: str

    def runs(self, limit: int = LATEST) -> list[Run]:
        """Return the latest runs, newest first."""
        return list_runs(self.dag, limit=limit, details=False, home=self.home) if self.home.exists else []

    def run(self, run: str) -> RunMessage:
        """Return the status of every task of a run."""
        found = self._find(run)
        return {"kind": "run", "summary": run_summary(found), "tasks": run_statuses(found)}

    def task(self, run: str, name: str) -> TaskDetails:
        """Return the details of a task of a run, from the notebook with which the run was created."""
        pinned = pinned_notebook(self.dag, run=run, home=self.home)
        notebook = pinned.dag
        if name not in notebook.tasks:
            raise TaskNotInRunError(self.dag, pinned.run, name, tuple(notebook.tasks))
        sources = {source for given in notebook.tasks[name].inputs for source in given.sources}
        found = find_run(pinned.run, self.dag, tasks={name, *sources}, home=self.home)
        details = task.task_details(notebook, name, run=found.id)
        details["inputs"], details["outputs"] = task.run_values(notebook, name, found)
        details["attempts"] = self.attempts(found.id, name)
        details["durations"] = self.durations(name)
        return details

    def source(self, run: str, name: str) -> str | None:
        """Return the text that the cell of a task had in a run, or None if the run has no such task."""
        notebook = pinned_notebook(self.dag, run=run, home=self.home).dag
        return notebook.cells[notebook.tasks[name].cell].source if name in notebook.tasks else None

    def values(self, run: str) -> ValueList:
        """Return the values that the tasks of a run have stored."""
        return {
            "items": [
                {
                    "task": task,
                    "map_index": map_index,
                    "name": output.name,
                    "type": output.type,
                    "bytes": output.bytes,
                    "summary": output.summary,
                    "digest": output.digest,
                }
                for task, map_index, output in stored_outputs(run, self.dag, home=self.home)
            ]
        }

    def attempts(self, run: str, task: str) -> list[Attempt]:
        """Return every attempt of a task in a run, by start time."""
        found = self._find(run, ())
        return [
            {
                "map_index": each.map_index,
                "try_number": each.try_number,
                "state": attempt_state(found, each.state, each.ended),
                "started": each.started,
                "ended": each.ended,
                "error": each.error or "",
                "host": each.host or "",
                "notes": [note.message for note in each.notes],
            }
            for each in list_attempts(run, self.dag, tasks=[task], home=self.home)
        ]

    def timeline(self, run: str) -> TimelineMessage:
        """Return every attempt of a run."""
        found = self._find(run, ())
        bars: list[Bar] = [
            {
                "task": each.task,
                "map_index": each.map_index,
                "try_number": each.try_number,
                "state": attempt_state(found, each.state, each.ended),
                "started": each.started,
                "ended": each.ended,
            }
            for each in list_attempts(run, self.dag, details=False, home=self.home)
        ]
        return {"kind": "timeline", "run": run, "bars": bars}

    def attempt(self, run: str, task: str, map_index: int, try_number: int) -> AttemptMessage:
        """Return the outputs and the log of an attempt."""
        key = Key(dag=self.dag, run=run, task=task, map_index=map_index, try_number=try_number)
        path = local_copy(self.home, self.home.attempt(key))
        found = self._find(run, (task,))
        if not found.tasks:
            raise TaskNotInRunError(self.dag, run, task, tuple(dict.fromkeys(each.id for each in self._find(run))))
        return {
            "kind": "attempt",
            "run": run,
            "task": task,
            "map_index": map_index,
            "try_number": try_number,
            "outputs": outputs.attempt_outputs(path),
            "rendered": [[name, text] for name, text in rendered_in(path).items()],
            "log": outputs.log_tail(logs(found, task, try_number, map_index)),
            "path": str(path),
        }

    def durations(self, task: str) -> list[PastDuration]:
        """Return the durations of a task in the latest runs that contain the task, oldest first."""
        found: list[PastDuration] = []
        for run in list_runs(self.dag, limit=LATEST, tasks=[task], details=False, home=self.home):
            status = run_statuses(run).get(task)
            if status is not None and "duration" in status:
                found.append({"run": run.id, "state": status["state"], "duration": status["duration"]})
        return found[:_MAX_DURATIONS][::-1]

    def grid(self, limit: int = LATEST) -> GridMessage:
        """Return the task states of the latest runs. The number of runs is limited by the room in the grid."""
        columns: list[GridRun] = [
            {
                "summary": run_summary(run),
                "states": {task: status["state"] for task, status in run_statuses(run).items()},
            }
            for run in latest_that_fit(self.dag, limit=limit, most=_MAX_CELLS, home=self.home)
        ]
        return {"kind": "grid", "runs": columns[::-1]}

    def metrics(self, limit: int = LATEST) -> MetricsMessage:
        """Return the metrics of the latest runs."""
        found = metric_history(self.dag, limit, home=self.home)
        return {
            "kind": "metrics",
            "runs": [{"id": run.id, "state": run.state, "created": run.created} for run in found.runs],
            "series": [
                {
                    "task": each.task,
                    "name": each.name,
                    "marked": each.marked,
                    "points": [_point(each.points.get(run.id)) for run in found.runs],
                }
                for each in found.series
            ],
        }

    def _find(self, run: str, tasks: Collection[str] | None = None) -> Run:
        """Return a run with the states of all its tasks, or only of `tasks`."""
        return find_run(run, self.dag, tasks=tasks, details=False, home=self.home)


def _point(point: MetricPoint | None) -> Point | None:
    if point is None:
        return None
    value, lowest, highest = map(json_number, (point.value, point.lowest, point.highest))
    return {"value": value, "lowest": lowest, "highest": highest, "count": point.count}
