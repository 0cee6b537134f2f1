"""The report of a run as an HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ....core.model.states import RUN_FINISHED
from ....errors import NbdagError, error
from ....home import Home
from ....html_report import CODES, Code, to_html
from ....storage import local_copy
from ..records import Run
from ..runs import find_run, home_of


@error
class NoReportError(NbdagError):
    """The run has no report yet, or its report was deleted."""

    run: str
    dag: str
    path: Path
    template = "run {run} of {dag} has no report at {path} yet; it is written when the first task has ended"


def report_html(
    run: Run | str = "latest", dag: str | None = None, *, code: Code = "shown", home: Home | None = None
) -> str:
    """Return the report of a run as one HTML page, which needs no network and no other file.

    `code` is "shown", "folded" or "hidden": how the page shows the source of the cells. The report of an unfinished run
    shows only the tasks that have ended. Scripts in outputs are kept, so a server must forbid them by a
    Content-Security-Policy. Raise `NoReportError`.
    """
    if code not in CODES:
        raise ValueError(f"unknown value {code!r} for code; expected one of {', '.join(CODES)}")
    here = home_of(run, home)
    found = run if isinstance(run, Run) else find_run(run, dag, home=here)
    for text in _reports(here, found):
        try:
            notebook = json.loads(text)
        except ValueError:
            continue
        about = {
            "dag": found.dag,
            "run_id": found.id,
            "state": found.state.value,
            "started": found.started,
            "ended": found.ended if found.state in RUN_FINISHED else None,
            "error": found.error or found.orphaned or "",
        }
        return to_html(notebook, code=code, folder=None if found.source is None else found.source.parent, about=about)
    raise NoReportError(found.id, found.dag, here.report(found.dag, found.id))


def report_notebook(run: str, dag: str | None = None, *, home: Home | None = None) -> bytes:
    """Return the report of a run as the text of a notebook file. Raise `NoReportError`."""
    here = home_of(run, home)
    found = find_run(run, dag, details=False, home=here)
    for text in _reports(here, found):
        return text
    raise NoReportError(found.id, found.dag, here.report(found.dag, found.id))


def _reports(here: Home, run: Run) -> Iterator[bytes]:
    """Yield the texts of the files that contain the report of a run."""
    # A later run may have overwritten the report at the path that the user chose, but never the report in the home.
    for path in dict.fromkeys((local_copy(here, here.report(run.dag, run.id)), run.notebook)):
        try:
            yield path.read_bytes()
        except OSError:
            continue
