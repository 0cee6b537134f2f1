"""The notebook of a pipeline, cell by cell."""

from __future__ import annotations

from ... import runs
from ...frontend.notebooks.messages import NotebookMessage
from ...frontend.pinned_views import pinned_cells
from ..requests import Id, NotebookQuery
from .base import ROUTES, Call


@ROUTES.get("dags/{dag}/notebook")
def get_notebook(call: Call, dag: Id, query: NotebookQuery) -> NotebookMessage:
    """Return the cells of the deployed notebook, of another version, or of a run's notebook, each with its role."""
    found = runs.pinned_notebook(dag, run=query.run, version=query.version, home=call.home)
    return pinned_cells(found, home=call.home)
