"""Messages about notebooks: their cells, headers and files, and their analysis.

As in `frontend.messages`, instants are seconds since the epoch and durations are seconds; cells count from 0 and lines
from 1.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from ..messages import DirectionChoice, Picture, RunAction, TaskStatus

# Roles that a person can choose for a cell in a menu; `code` is a cell without a header or tag of nbdag.
Role = Literal["task", "setup", "parameters", "skip", "code"]
# Treatment of a cell in a headless run; see `CellKind`.
CellRole = Literal["parameters", "setup", "task", "control", "builder", "scratch", "prose"]
Severity = Literal["error", "warning"]


class NotebookCell(TypedDict):
    """A cell of a notebook, with its role in a run."""

    kind: CellRole
    tasks: list[str]  # the task of the cell, or all tasks that a %%dag cell has built
    untagged: bool  # whether a scratch cell is ignored only because it has no tag
    source: list[list[list[str]]]  # lines of the text; each line is a list of [colour, text] pairs


class NotebookMessage(TypedDict):
    """The cells of a version of a notebook."""

    digest: str
    notebook: str  # path of the notebook's file when the version was pinned
    cells: list[NotebookCell]
    problems: list[str]
    explanations: dict[str, str]  # by problem code; plain text with examples


class BuiltCell(TypedDict):
    """A cell that a `%%dag` cell has built."""

    source: str
    line: int  # line of the %%dag cell that built it


class CellExecution(TypedDict):
    """The latest execution of a cell in the notebook's kernel, as the page has seen it."""

    source: str  # the text that was executed
    order: int  # serial number of the execution in this page, from 1
    changed: int  # serial number of the first execution with this text
    state: Literal["running", "success", "failed"]
    duration: float | None
    reason: str  # why the cell failed, in one sentence
    built: NotRequired[list[BuiltCell]]  # the tasks that a %%dag cell has built
    loaded: NotRequired[bool]  # whether the values were loaded from a run, so that the cell was not executed


class PageCell(TypedDict):
    """A cell of the open notebook."""

    id: str
    type: Literal["code", "markdown", "raw"]
    source: str
    tags: list[str]
    execution: NotRequired[CellExecution]


class AnalyzeRequest(TypedDict):
    """Ask what a headless run would do with the open notebook. Nothing is executed."""

    path: str  # path of the notebook on the Jupyter server
    language: str  # name of the kernel's language, such as python
    cells: list[PageCell]
    shape: NotRequired[str]  # shape of the picture that the page has; it is not sent again
    direction: NotRequired[DirectionChoice]
    collapsed: NotRequired[bool]
    folded: NotRequired[list[str]]
    width: NotRequired[float]  # the view's space in pixels, in which the text shall be as large as possible
    height: NotRequired[float]


class CellProblem(TypedDict):
    """An error or a warning about the notebook, with its place."""

    code: str
    severity: Severity
    cell: int | None  # index of the cell, or None if the problem is about the whole notebook
    line: int | None
    message: str
    hint: str


class CellInfo(TypedDict):
    """The treatment of a cell in a headless run."""

    role: CellRole
    task: str  # id of the task, or ""
    order: int  # position of the task in run order, from 1; 0 for any other cell
    header: int  # number of lines of the header, with blank lines above it; 0 if the cell has no header
    ignored: bool  # whether the cell is ignored only because it is untagged and below the first task
    dropped: bool  # whether tasks need the effects of the ignored cell


class DagLine(TypedDict):
    """The place of the %dag line that has a name or options."""

    cell: int
    first: int  # number of its first line in the cell, from 0
    lines: int  # number of its lines, which is more than 1 after a backslash


class NotebookAnalysis(TypedDict):
    """The result of analysing the open notebook, as a headless run would read it."""

    dag: str
    cells: list[CellInfo]
    statuses: dict[str, TaskStatus]  # of the tasks that were executed in the notebook's kernel
    problems: list[CellProblem]
    explanations: dict[str, str]  # by problem code; plain text with examples
    groups: list[str]
    stale: list[int]  # indexes of the cells to run again so that no task is stale, in this order
    parameters: dict[str, Any]  # one JSON Schema for all parameters
    dag_line: DagLine | None
    shape: str  # digest of everything that the picture shows
    picture: Picture | None  # None if the page already has the picture with this digest


class NotebookTaskRequest(AnalyzeRequest):
    """Ask for the details of a task of the open notebook."""

    task: str


class StartRunRequest(TypedDict):
    """Ask for a headless run of a notebook's file."""

    path: str  # path of the notebook on the Jupyter server
    action: RunAction
    task: str  # the task that the action names, or "" for `all`
    parameters: NotRequired[dict[str, Any]]  # values that differ from the defaults in the notebook


class StartedRun(TypedDict):
    """A run that has begun."""

    dag: str
    run: str


class SuggestRequest(TypedDict):
    """Ask for a copy of a notebook's file with proposed tasks."""

    path: str  # path of the notebook on the Jupyter server


class SuggestedTask(TypedDict):
    """A task of the proposal."""

    name: str
    cell: int  # index of the task's cell in the copy
    cells: list[int]  # indexes of the notebook's cells that form the task
    after: list[str]
    reasons: list[str]  # one sentence for each reason


class NotebookSuggestion(TypedDict):
    """The proposed tasks of a notebook, and the path of its tagged copy."""

    path: str  # path of the copy on the Jupyter server
    tasks: list[SuggestedTask]  # in run order
    parallel: list[list[str]]  # groups of tasks that can run at the same time
    reordered: bool  # whether the copy has the order in which the cells last ran, because the order of the file fails
    problems: list[str]


class RehearseRequest(TypedDict):
    """Ask for a rehearsal: two runs of a notebook's file."""

    path: str  # path of the notebook on the Jupyter server


class NotebookRehearsal(TypedDict):
    """The differences between a scheduled run of a notebook and the saved notebook."""

    summary: str
    findings: list[CellProblem]  # the code of a finding is its kind, such as "clock"


class TagRequest(TypedDict):
    """Ask for the edit that gives a cell another role."""

    cells: list[PageCell]
    index: int
    role: Role


class CellEdit(TypedDict):
    """An edit that replaces the header of a cell."""

    lines: int  # number of the first lines that `text` replaces
    text: str  # the new first lines, each with its line break
    tags: list[str]  # all tags of the cell after the edit
    name: str  # name of the task, or ""


class OptionInfo(TypedDict):
    """An option of a header, for a form."""

    flag: str
    help: str
    group: str
    metavar: str  # placeholder of the value; "" for a flag
    default: str  # the value if no header sets the option, as a header writes it; "" for none
    flag_only: bool  # whether the option takes no value
    many: bool  # whether the option takes several values
    tasks: bool  # whether the values are names of tasks
    choices: list[str]  # all possible values, or [] if there are other values, too
    suggestions: list[str]  # some of the possible values, if there are others, too


class OperatorInfo(TypedDict):
    """An operator, with the options that only its tasks have."""

    name: str
    summary: str
    options: list[OptionInfo]


class OptionTable(TypedDict):
    """All options of headers, and the help of nbdag's magics."""

    task: list[OptionInfo]
    dag: list[OptionInfo]
    operators: list[OperatorInfo]
    magics: dict[str, str]  # key: a magic, such as %%task; value: its help


class HeaderProblem(TypedDict):
    """An error in a header."""

    flag: str  # the option whose value is wrong, "name", or "" for the whole header
    message: str


class HeaderForm(TypedDict):
    """A header as the fields of a form: a value is a word of the header without its quotes."""

    kind: str  # task, setup, params, skip, dag, or "" for a cell without a header
    name: str
    operator: str
    values: dict[str, list[str]]  # key: option; value: the words given, [] for a flag, ["no"] for a flag turned off
    problems: list[HeaderProblem]


class ParseHeaderRequest(TypedDict):
    """Ask for the header of a cell as the fields of a form."""

    source: str
    operator: NotRequired[str]  # the operator that %dag sets for all tasks


class FormatHeaderRequest(TypedDict):
    """Ask for the edit that writes the fields of a form into the header of a cell."""

    source: str
    tags: list[str]
    kind: str
    name: str
    values: dict[str, list[str]]
    operator: NotRequired[str]


class FormattedHeader(TypedDict):
    """The edit of a cell, or the problems that prevent it."""

    edit: CellEdit | None
    problems: list[HeaderProblem]


class CompleteHeaderRequest(TypedDict):
    """Ask for completions at a place of a header line."""

    text: str
    cursor: int  # number of characters (code points) before the cursor
    tasks: list[str]


class Completion(TypedDict):
    """One completion."""

    text: str
    help: str


class HeaderCompletions(TypedDict):
    """The completions, each of which replaces the characters from `start` to the cursor."""

    start: int
    items: list[Completion]


class NotebookFile(TypedDict):
    """A notebook file."""

    path: str  # relative to the root directory
    dag: str | None  # the pipeline that is deployed from this file


class NotebookFiles(TypedDict):
    """The notebooks below the root directory, by path."""

    items: list[NotebookFile]
    complete: bool  # whether the list contains all notebooks
