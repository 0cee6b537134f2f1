"""URLs of runs and tasks on the page, for messages that people read elsewhere, such as an e-mail.

NBDAG_URL is the address of the page, such as https://hub.example.org/user/ada/nbdag/. `nbdag up` sets it for its
scheduler. Without it, messages have no links. A URL never contains the server's token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

VARIABLE = "NBDAG_URL"


def run_url(dag: str, run: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of a run on the page, or "" if the page's address is unknown."""
    return _url(environ, "dags", dag, "runs", run)


def task_url(dag: str, run: str, task: str, map_index: int = -1, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of a task of a run on the page, or "" if the page's address is unknown."""
    found = _url(environ, "dags", dag, "runs", run, "tasks", task)
    return f"{found}?index={map_index}" if found and map_index >= 0 else found


def _url(environ: Mapping[str, str], *parts: str) -> str:
    base = environ.get(VARIABLE, "").strip()
    if urlsplit(base).scheme not in ("http", "https"):
        return ""
    return "/".join([base.partition("?")[0].rstrip("/"), *(quote(part, safe="") for part in parts)])
