"""The results of a run: its report, and the values of its tasks."""

from __future__ import annotations

from ... import runs
from ...frontend.history import History
from ...frontend.messages import ValueList, ValueMessage
from ...frontend.preview import preview
from ..requests import Id, ReportQuery, ValueName, ValueQuery
from .base import ROUTES, Call, Content

# Outputs may contain scripts and addresses of other servers. This policy forbids a report to run scripts or to request
# anything.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'; sandbox"
)


@ROUTES.get("dags/{dag}/runs/{run}/report", mime="text/html; charset=utf-8")
def get_report(call: Call, dag: Id, run: Id, query: ReportQuery) -> Content:
    """Return the report of a run as one HTML page without scripts."""
    text = runs.report_html(run, dag, code=query.code, home=call.home)
    return Content(
        body=text.encode("utf-8", "replace"),
        mime="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _POLICY, **_attached(query.download, f"{dag}-{run}.html")},
    )


@ROUTES.get("dags/{dag}/runs/{run}/notebook", mime="application/x-ipynb+json")
def get_report_notebook(call: Call, dag: Id, run: Id) -> Content:
    """Return the report of a run as a notebook file: the user's notebook with the outputs of every task."""
    return Content(
        body=runs.report_notebook(run, dag, home=call.home),
        mime="application/x-ipynb+json",
        headers=_attached(True, f"{dag}-{run}.ipynb"),
    )


@ROUTES.get("dags/{dag}/runs/{run}/values")
def list_values(call: Call, dag: Id, run: Id) -> ValueList:
    """Return the values that the tasks of a run have stored, without their contents."""
    return History(call.home, dag).values(run)


@ROUTES.get("dags/{dag}/runs/{run}/values/{task}/{name}")
def get_value(call: Call, dag: Id, run: Id, task: Id, name: ValueName, query: ValueQuery) -> ValueMessage:
    """Return the preview of an input or output of a task. The value is loaded in a separate process."""
    return preview(dag, run, task, name, map_index=query.map_index, home=call.home)


def _attached(download: bool, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'} if download else {}
