"""Log ended runs to MLflow, if `MLFLOW_TRACKING_URI` is set.

The experiment has the name of the DAG. A run of MLflow has the parameters, the metrics, the report notebook, and tags
that name the run of nbdag: its DAG, id, version, logical date, and the address of its page if that is known. For a
mapped task, a metric has one step for each instance. A run that is resumed or cleared updates the same run of MLflow,
which is found by the tag `nbdag.key`.

The package mlflow (`nbdag[mlflow]`) is imported in a separate process, so it delays no task. If the tracking server
does not answer, only the exit of nbdag is delayed: it logs four runs at once, and each for at most `LIMIT`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.model.metrics import json_number
from ...core.model.secret_names import masked, without_passwords
from ...core.model.states import RunState
from ...page_urls import run_url
from .side_process import call_module

if TYPE_CHECKING:
    from ...core.model.dag import Dag
    from ...store.rows import RunRow
    from ..queries.records import Run

LIMIT = 120.0  # time limit for one run, in seconds; logging takes 2 s on an idle host, and a minute on a busy host
_URI = "MLFLOW_TRACKING_URI"
_KEY = "nbdag.key"  # tag with a digest that identifies the run of nbdag
_STATUS = {RunState.SUCCESS: "FINISHED", RunState.FAILED: "FAILED", RunState.CANCELLED: "KILLED"}
_LONGEST = 6000  # maximum length of a parameter in MLflow, in characters
_MAX_REPORT = 20_000_000  # maximum size of a report that is sent, in bytes
_BATCH = 100  # maximum number of parameters, or of metrics, in one request
# Without these values, MLflow repeats a failed request for minutes. A variable that the user has set keeps its value.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether runs are logged to MLflow."""
    return bool(environ.get(_URI, "").strip())


def log_run(entry: Mapping[str, Any], *, cwd: str, limit: float = LIMIT) -> str:
    """Log a run to MLflow. `entry` is the result of `entry_of`. Return "", or the reason if logging failed."""
    return without_passwords(call_module(__name__, entry, cwd=cwd, limit=limit))


def entry_of(run: Run, row: RunRow, dag: Dag, *, database: str, report: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an ended run as data for `log_run`. `report` is the run's report notebook, as nbformat reads it."""
    ended = row.ended or row.created
    url = run_url(row.dag, row.name)
    given = masked(row.parameters)
    tags = {
        _KEY: hashlib.sha256(f"{database}\n{row.dag}\n{row.name}".encode()).hexdigest()[:32],
        "nbdag.dag": row.dag,
        "nbdag.run_id": row.name,
        "nbdag.version": row.digest,
        "nbdag.kind": row.kind,
        "nbdag.logical_date": datetime.fromtimestamp(row.logical_date, UTC).isoformat(),
        "mlflow.source.name": row.path,
        "mlflow.source.type": "NOTEBOOK",
    }
    if url:
        tags |= {"nbdag.url": url, "mlflow.note.content": f"[Run {row.name} of {row.dag}]({url})"}
    return {
        "experiment": row.dag,
        "name": row.name,
        "tags": tags,
        "parameters": {name: str(value)[:_LONGEST] for name, value in {**masked(dag.parameters), **given}.items()},
        "metrics": [
            (_metric_name(task.id, metric.name), json_number(metric.value), task.ended or ended, max(task.map_index, 0))
            for task in run
            for metric in task.metrics
        ],
        "started": row.started or row.created,
        "ended": ended,
        "status": _STATUS[row.state],
        "report": report,
    }


def _metric_name(task: str, name: str) -> str:
    """Return a name that MLflow accepts. The pages of MLflow group names by the part before the slash."""
    return re.sub(r"[^/\w.\- ]", "_", f"{task}/{name}")


def _main() -> None:
    """Log one run. This is the main function of the separate process."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError:
        sys.exit("mlflow is not installed: pip install 'nbdag[mlflow]'")
    try:
        _log(MlflowClient(), json.load(sys.stdin))
    except Exception as error:  # mlflow raises errors of many libraries
        text = str(error).partition("\n")[0]
        if re.search(r"Max retries exceeded|timed out|Connection refused", str(error)):
            text = f"the tracking server {os.environ[_URI]} does not answer"
        sys.exit(text or type(error).__name__)


def _log(client: Any, given: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    experiment = _experiment(client, given["experiment"])
    tags = given["tags"]
    found = client.search_runs([experiment], f"tags.`{_KEY}` = '{tags[_KEY]}'", max_results=1)
    run = found[0] if found else client.create_run(
        experiment, start_time=_milliseconds(given["started"]), tags=tags, run_name=given["name"]
    )  # fmt: skip
    number = run.info.run_id
    # Leave out logged parameters, because MLflow rejects new values; the parameters of a run never change.
    params = [Param(name, value) for name, value in given["parameters"].items() if name not in run.data.params]
    metrics = [Metric(name, float(value), _milliseconds(at), step) for name, value, at, step in given["metrics"]]
    client.log_batch(number, tags=[RunTag(name, value) for name, value in tags.items()])
    for batch in _batches(params):
        client.log_batch(number, params=batch)
    for batch in _batches(metrics):
        client.log_batch(number, metrics=batch)
    _log_report(client, number, given["report"])
    client.set_terminated(number, given["status"], _milliseconds(given["ended"]))


def _experiment(client: Any, name: str) -> str:
    """Return the id of the experiment of this name; create the experiment if it does not exist."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another run has just created it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _log_report(client: Any, run: str, report: Mapping[str, Any] | None) -> None:
    text = json.dumps(report).encode() if report is not None else b""
    if not 0 < len(text) <= _MAX_REPORT:
        return
    with tempfile.TemporaryDirectory(prefix="nbdag-mlflow-") as folder:
        path = Path(folder) / "notebook.ipynb"
        path.write_bytes(text)
        client.log_artifact(run, str(path))


def _batches(items: Sequence[Any]) -> Iterator[list[Any]]:
    ahead = iter(items)
    while batch := list(islice(ahead, _BATCH)):
        yield batch


def _milliseconds(at: float) -> int:
    return round(at * 1000)


if __name__ == "__main__":
    _main()
