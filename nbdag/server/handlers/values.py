"""Stored values of a run."""

from __future__ import annotations

from ...frontend.history import History
from ...frontend.messages import ValueList, ValueMessage
from ..preview import preview
from ..types import Id, Name
from .base import ROUTES, Call


@ROUTES.get("dags/{dag}/runs/{run}/values")
def list_values(call: Call, dag: Id, run: Id) -> ValueList:
    """Return the values that the tasks of a run have stored, without their contents."""
    return History(call.home, dag).values(run)


@ROUTES.get("dags/{dag}/runs/{run}/values/{task}/{name}")
def get_value(call: Call, dag: Id, run: Id, task: Id, name: Name) -> ValueMessage:
    """Return a preview of a value that a task has stored; for a mapped task, of the list of its instances' values."""
    return preview(call.home, dag, run, task, name)
