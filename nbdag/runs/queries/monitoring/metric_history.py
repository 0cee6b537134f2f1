"""The metrics of a pipeline over its latest runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .... import notebooks
from ....core.model.metrics import MetricPoint, json_number
from ....core.model.states import RunState
from ....home import Home, the_home
from ..runs import find_row, open_store

LATEST = 20  # default number of runs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOfMetrics:
    """A run whose metrics are compared with those of other runs."""

    id: str
    state: RunState
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSeries:
    """A metric of one task over several runs."""

    task: str
    name: str
    marked: bool  # whether --metric names it; if not, it is an output that happens to be one number
    points: Mapping[str, MetricPoint]  # key: run id, oldest first; runs without the metric are missing

    @property
    def label(self) -> str:
        """Return the name of the metric with its task, such as `train.accuracy`."""
        return f"{self.task}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricHistory:
    """The metrics of a pipeline over its latest runs."""

    dag: str
    runs: tuple[RunOfMetrics, ...]  # oldest first, including runs without a metric
    series: tuple[MetricSeries, ...]  # metrics of --metric first, then all others; both in notebook order

    def to_dict(self) -> dict[str, Any]:
        """Return the history as JSON. NaN and infinities are texts."""
        return {
            "dag": self.dag,
            "runs": [{"run_id": each.id, "state": each.state.value, "created": each.created} for each in self.runs],
            "metrics": [
                {
                    "task": each.task,
                    "name": each.name,
                    "marked": each.marked,
                    "values": [{"run_id": run, **point_to_dict(point)} for run, point in each.points.items()],
                }
                for each in self.series
            ],
        }


def point_to_dict(point: MetricPoint) -> dict[str, Any]:
    """Return a point as JSON: its value and, for several instances, their number and the lowest and highest value."""
    mapped = {"lowest": json_number(point.lowest), "highest": json_number(point.highest), "count": point.count}
    return {"value": json_number(point.value), **(mapped if point.count > 1 else {})}


def metric_history(
    dag: str, limit: int = LATEST, *, only: Sequence[str] | None = None, home: Home | None = None
) -> MetricHistory:
    """Return the metrics of a DAG's latest runs, or of the runs in `only`.

    `dag` is the id of a DAG, or a notebook's file. The DAG may have no runs. A cleared task has no metric until it has
    run again. If --cache reused the result of an earlier run, the task has the metrics of that run.
    """
    dag = notebooks.read(dag).id if notebooks.is_notebook(dag) else dag
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            rows = []
        elif only is None:
            rows = store.runs(dag=dag, limit=limit)[::-1]
        else:
            rows = [find_row(store, here, run, dag) for run in only]
        found = [] if store is None or not rows else store.listings.metrics([row.id for row in rows])
    names = {row.id: row.name for row in rows}
    points: dict[tuple[str, str], dict[int, MetricPoint]] = {}
    for each in found:
        points.setdefault((each.task, each.name), {})[each.run] = each.point
    marked = {(each.task, each.name) for each in found if each.marked}
    return MetricHistory(
        dag=dag,
        runs=tuple(RunOfMetrics(id=row.name, state=row.state, created=row.created) for row in rows),
        series=tuple(
            MetricSeries(
                task=task,
                name=name,
                marked=(task, name) in marked,
                points={run: of_run[number] for number, run in names.items() if number in of_run},
            )
            for (task, name), of_run in points.items()
        ),
    )
