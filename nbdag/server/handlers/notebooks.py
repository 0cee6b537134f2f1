"""Notebooks that a page edits: their analysis, tags and headers. Also runs and rehearsals of their files.

The analysis executes no code of a notebook. Only `start_run` and `rehearse` execute code, on a person's request.
"""

from __future__ import annotations

from functools import partial

from ... import runs
from ...frontend.messages import TaskDetails
from ...frontend.notebooks import analysis, headers, rehearsal, start, suggest
from ...frontend.notebooks.files import notebook_files
from ...frontend.notebooks.messages import (
    AnalyzeRequest,
    CellEdit,
    CompleteHeaderRequest,
    FormatHeaderRequest,
    FormattedHeader,
    HeaderCompletions,
    HeaderForm,
    NotebookAnalysis,
    NotebookFiles,
    NotebookRehearsal,
    NotebookSuggestion,
    NotebookTaskRequest,
    OptionTable,
    ParseHeaderRequest,
    RehearseRequest,
    StartedRun,
    StartRunRequest,
    SuggestRequest,
    TagRequest,
)
from .base import ROUTES, Call
from .files import file_of


@ROUTES.get("notebooks")
def list_notebooks(call: Call) -> NotebookFiles:
    """List the notebooks below the root directory of the server."""
    return notebook_files(call.root, home=call.home)


@ROUTES.post("notebooks/analyze", action="read")
def analyze(call: Call, body: AnalyzeRequest) -> NotebookAnalysis:
    """Return what a headless run would do with the cells of an open notebook."""
    return analysis.analyze(body, with_files=partial(runs.remember_files, home=call.home))


@ROUTES.post("notebooks/task", action="read")
def task_of_notebook(call: Call, body: NotebookTaskRequest) -> TaskDetails:
    """Return the details of a task of an open notebook."""
    return analysis.open_task(body)


@ROUTES.post("notebooks/tag", action="read")
def tag(call: Call, body: TagRequest) -> CellEdit:
    """Return the edit that gives a cell another role; the page applies it."""
    return analysis.tag(body)


@ROUTES.post("notebooks/run", statuses=(201,))
def start_run(call: Call, body: StartRunRequest) -> StartedRun:
    """Start a run of a notebook's file, deployed or not."""
    parameters = body.get("parameters", {})
    return start.start_run(file_of(call, body["path"]), body["action"], body["task"], parameters, home=call.home)


@ROUTES.post("notebooks/suggest", statuses=(201,))
def suggest_tasks(call: Call, body: SuggestRequest) -> NotebookSuggestion:
    """Write a copy of a notebook with proposed tasks, and return the proposal. Nothing runs."""
    return suggest.suggest(file_of(call, body["path"]), root=call.root.absolute())


@ROUTES.post("notebooks/rehearse")
def rehearse(call: Call, body: RehearseRequest) -> NotebookRehearsal:
    """Run a notebook's file twice, and return how a scheduled run would differ. The answer comes after both runs."""
    return rehearsal.rehearse(file_of(call, body["path"]), home=call.home)


@ROUTES.get("options")
def options(call: Call) -> OptionTable:
    """Return all options of headers."""
    return headers.option_table()


@ROUTES.post("headers/parse", action="read")
def parse_header(call: Call, body: ParseHeaderRequest) -> HeaderForm:
    """Return the header of a cell as the fields of a form."""
    return headers.parse_header(body)


@ROUTES.post("headers/format", action="read")
def format_header(call: Call, body: FormatHeaderRequest) -> FormattedHeader:
    """Return the edit that writes the fields of a form into the header of a cell."""
    return headers.format_header(body)


@ROUTES.post("headers/complete", action="read")
def complete_header(call: Call, body: CompleteHeaderRequest) -> HeaderCompletions:
    """Return completions at a place of a header line."""
    return headers.complete_header(body)
