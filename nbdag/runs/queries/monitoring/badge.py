"""The badge of a pipeline: how its last run has ended."""

from __future__ import annotations

from ....core.model.states import RUN_FINISHED, RunState
from ....graphs.badge import badge
from ....home import Home, the_home
from ..deployments import NotDeployedError
from ..runs import open_store

# White text on these colours has a contrast of at least 4.5:1.
_COLOURS = {RunState.SUCCESS: "#1a7f37", RunState.FAILED: "#c2271f", RunState.CANCELLED: "#57606a"}
_WORDS = {RunState.SUCCESS: "passing", RunState.FAILED: "failing", RunState.CANCELLED: "cancelled"}
_UNKNOWN = "#57606a"


def dag_badge(dag: str, *, home: Home | None = None) -> str:
    """Return the SVG badge of a DAG: the state of the newest run that has ended. Raise `NotDeployedError`."""
    with open_store(the_home(home)) as store:
        if store is None:
            raise NotDeployedError(dag, ())
        ended = store.runs(dag=dag, states=tuple(RUN_FINISHED), limit=1)
        if ended:
            return badge(dag, _WORDS[ended[0].state], _COLOURS[ended[0].state])
        if store.deployments.get(dag) is None and not store.runs(dag=dag, limit=1):
            raise NotDeployedError(dag, tuple(each.id for each in store.deployments.all()))
        return badge(dag, "no run yet", _UNKNOWN)
