"""What earlier runs of a DAG did, from the store: attempts, durations, the grid, the timeline."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.model.job import Key
from ..home import Home
from ..runs import AttemptRow, Run, find_run, list_attempts, list_runs, logs
from . import outputs
from .messages import Bar, GridRun, Past, TellGrid, TellRun, TellTimeline, TellTry, Try
from .status import brief, of_run

LATEST = 20  # runs that are offered
_PAST = 12  # runs whose durations are shown
_CELLS = 4000  # of the grid, at most


@dataclass(frozen=True, slots=True)
class History:
    """The runs of one DAG in one home."""

    home: Home
    dag: str

    def runs(self, limit: int = LATEST) -> list[Run]:
        """The latest, the newest first."""
        return list_runs(self.dag, limit=limit, home=self.home) if self.home.exists else []

    def run(self, run: str) -> TellRun:
        """One, whole."""
        found = find_run(run, self.dag, home=self.home)
        return {"kind": "run", "run": brief(found), "tasks": of_run(found)}

    def tries(self, run: str, task: str) -> list[Try]:
        """Every attempt of a task in a run, in the order in which they began."""
        return [
            {
                "map_index": each.map_index,
                "number": each.try_number,
                "state": each.state.value,
                "started": each.started,
                "ended": each.ended,
                "error": each.error or "",
                "notes": [note.message for note in each.notes],
            }
            for each in self._attempts(run)
            if each.task == task
        ]

    def timeline(self, run: str) -> TellTimeline:
        """Every attempt of a run."""
        bars: list[Bar] = [
            {
                "task": each.task,
                "map_index": each.map_index,
                "number": each.try_number,
                "state": each.state.value,
                "started": each.started,
                "ended": each.ended,
            }
            for each in self._attempts(run)
        ]
        return {"kind": "timeline", "run": run, "bars": bars}

    def one_try(self, run: str, task: str, map_index: int, number: int) -> TellTry:
        """What an attempt put out, and its log."""
        key = Key(dag=self.dag, run=run, task=task, map_index=map_index, try_number=number)
        path = self.home.attempt(key)
        found = find_run(run, self.dag, home=self.home)
        return {
            "kind": "try",
            "run": run,
            "task": task,
            "map_index": map_index,
            "number": number,
            "outputs": outputs.of_attempt(path),
            "log": outputs.log(logs(found, task, number, map_index)),
            "path": str(path),
        }

    def past(self, task: str) -> list[Past]:
        """How long the task took in the latest runs that had it, the oldest first."""
        found: list[Past] = []
        for run in self.runs():
            standing = of_run(run).get(task)
            if standing is not None and "duration" in standing:
                found.append({"run": run.id, "state": standing["state"], "duration": standing["duration"]})
        return found[:_PAST][::-1]

    def grid(self) -> TellGrid:
        """The latest runs by their tasks."""
        columns: list[GridRun] = []
        cells = 0
        for run in self.runs():
            states = {task: standing["state"] for task, standing in of_run(run).items()}
            cells += len(states)
            if columns and cells > _CELLS:
                break
            columns.append({"run": brief(run), "states": states})
        return {"kind": "grid", "runs": columns[::-1]}

    def _attempts(self, run: str) -> list[AttemptRow]:
        return list_attempts(run, self.dag, home=self.home)
