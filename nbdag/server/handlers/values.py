"""Stored values of a run, and its comparison with another run."""

from __future__ import annotations

from ...frontend.comparison import compare
from ...frontend.history import History
from ...frontend.messages import Comparison, ValueList, ValueMessage
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


@ROUTES.get("dags/{dag}/runs/{run}/compare/{other}")
def compare_runs(call: Call, dag: Id, run: Id, other: Id) -> Comparison:
    """Compare a run with another run of its pipeline: parameters, code, states, durations, values by digest."""
    return compare(run, other, dag, home=call.home)
