"""The graphs of pipelines and of runs, with their layout."""

from __future__ import annotations

from ... import runs
from ...frontend.messages import Picture
from ...frontend.pinned_views import pinned_picture
from ..requests import GraphQuery, Id, PipelineGraphQuery
from .base import ROUTES, Call


@ROUTES.get("dags/{dag}/graph")
def get_graph(call: Call, dag: Id, query: PipelineGraphQuery) -> Picture:
    """Return the graph of the deployed notebook, of another version, or of the newest run if nothing is deployed."""
    return _drawn(call, runs.pinned_notebook(dag, version=query.version, home=call.home), query)


@ROUTES.get("dags/{dag}/runs/{run}/graph")
def get_run_graph(call: Call, dag: Id, run: Id, query: GraphQuery) -> Picture:
    """Return the graph of the notebook with which a run was created."""
    return _drawn(call, runs.pinned_notebook(dag, run=run, home=call.home), query)


def _drawn(call: Call, notebook: runs.PinnedNotebook, query: GraphQuery | PipelineGraphQuery) -> Picture:
    return pinned_picture(
        notebook,
        home=call.home,
        direction=query.direction,
        collapsed=query.collapsed,
        folded=tuple(query.folded),
        space=query.space,
    )
