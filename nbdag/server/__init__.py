"""The Jupyter Server extension: the REST API and the page at `{base_url}nbdag/`.

Jupyter Server imports this package and loads `app.NbdagApp`. Every handler parses a request, calls one function of
`nbdag.runs` or of `nbdag.frontend`, and sends its result. The handlers make no decisions themselves.

    app         the extension: its routes, its threads, and the HTML of the page
    handlers/   one module for each resource: functions with typed arguments and answers (`handlers.base`)
    requests    the types of queries and bodies
    responses   the types of answers that `frontend.messages` does not have
    openapi     the OpenAPI document, made from the handlers' types
"""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Return the extension, for Jupyter Server."""
    from .app import NbdagApp

    return [{"module": "nbdag.server", "app": NbdagApp}]
