"""The badge of a pipeline."""

from __future__ import annotations

from ... import runs
from ..requests import Id
from .base import ROUTES, Call, Content


@ROUTES.get("dags/{dag}/badge.svg", mime="image/svg+xml")
def get_badge(call: Call, dag: Id) -> Content:
    """Return a picture that shows how the last run of a pipeline has ended."""
    text = runs.dag_badge(dag, home=call.home)
    return Content(body=text.encode(), mime="image/svg+xml", headers={"Cache-Control": "no-cache"})
