"""Every message between Python and the front end, defined once.

`notebooks.messages` and `compare.messages` have those about notebooks and comparisons. `ui/messages.py` generates
TypeScript from these classes, so both sides are checked against one definition. Every value is plain JSON. Instants
are seconds since the epoch and durations are seconds; cells count from 0 and lines from 1. The front end sends a
`Request` and receives a `Message`. The run id "" means the live session.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from ..core.model.states import RunState, TaskState

Direction = Literal["LR", "TB"]
DirectionChoice = Literal["auto", "LR", "TB"]
# The state that the front end draws: a task's state, or one of two states that are not in the store. `stale`: in the
# live session, the task must run again. `cancelled`: the attempt ended because its run was cancelled.
DisplayState = TaskState | Literal["stale", "cancelled"]
Action = Literal["all", "only", "upto", "from", "retry", "retry_only", "retry_failed", "cancel", "deploy", "load"]
MimeType = Literal[
    "text/html", "image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "text/markdown", "text/latex",
    "text/plain", "text/x-stderr", "text/x-error",
]  # fmt: skip
NoticeLevel = Literal["info", "error"]
# Which tasks of a notebook to run.
RunAction = Literal["all", "only", "upto", "from"]


class TaskStatus(TypedDict):
    """The status of a task. A task without a status has not run."""

    state: DisplayState
    started: NotRequired[float]
    duration: NotRequired[float]
    tries: NotRequired[int]  # number of attempts so far, if more than one
    count: NotRequired[int]  # number of instances of a mapped task
    ended: NotRequired[int]  # number of instances of a mapped task that have ended
    failed: NotRequired[int]  # number of instances of a mapped task that have failed
    reason: NotRequired[str]  # one sentence: why the task failed, was skipped or is stale


class RunSummary(TypedDict):
    """One run, without its tasks."""

    id: str
    state: RunState
    created: float
    started: float | None
    ended: float | None
    partial: bool  # whether the run executes only some of the tasks
    error: str


class Node(TypedDict):
    """A box of the graph: one task, or a chain of tasks drawn as one box."""

    id: str
    label: str
    x: float  # x coordinate of the box's centre, in points
    y: float
    width: float
    height: float
    members: list[str]  # the tasks in the box, in run order
    mapped: bool
    group: bool  # whether this is the box of a group, whose id is the group's name
    note: str  # the kind of task, such as its operator; often empty
    doc: str


class Line(TypedDict):
    """An edge of the graph, as it is drawn."""

    source: str  # id of the node at which the edge begins
    target: str
    declared: bool
    names: list[str]  # the variables that the edge carries
    imports: list[str]  # names that the upper task imports and the lower task reads; they are not carried
    # Files that both tasks use in no defined order; then the line is drawn but is not an edge of the graph.
    files: list[str]
    path: str  # the line as SVG path data
    tip: str
    label: str  # the names to draw; "" if there is no free place for them
    x: float  # x coordinate of the label's centre
    y: float
    why: list[str]  # the reasons for the edge, one sentence for each


class Picture(TypedDict):
    """The graph with its layout. It changes with the notebook's structure, never with a state."""

    dag: str
    notebook: str  # path of the notebook's file; "" if the kernel does not know the file
    direction: Direction
    collapsed: bool
    chains: int  # number of chains that can be drawn as one box
    groups: list[str]  # groups of tasks that can be drawn as one box
    folded: list[str]  # the groups that are drawn as one box
    width: float
    height: float
    nodes: list[Node]
    lines: list[Line]
    order: list[str]  # ids of all tasks, in run order
    parameters: list[str]  # names of the parameters
    problems: list[str]
    explanations: dict[str, str]  # by problem code; plain text with examples
    # Indexes of untagged cells that a headless run does not execute although tasks need their effects.
    dropped: list[int]
    unbuilt: NotRequired[bool]  # whether a %%dag cell creates further tasks when a run starts


class InitialState(TypedDict):
    """The complete state, sent to a page that has just opened: the live session and the latest runs."""

    number: int  # number of the latest change that this state includes
    session: dict[str, TaskStatus]
    runs: list[RunSummary]  # the latest runs, newest first
    actions: list[Action]  # the actions that this kernel offers


class Use(TypedDict):
    """The reason for an edge: a name that one task writes and another task reads."""

    name: str
    read_cell: int
    read_line: int
    written_cell: int
    written_line: int


class Neighbour(TypedDict):
    """A task directly upstream or downstream of another, with the reasons."""

    task: str
    declared: bool
    uses: list[Use]


class Value(TypedDict):
    """An input or output value of a task."""

    name: str
    task: str  # the task that wrote the value; empty for a setup cell
    type: str
    bytes: int | None
    summary: str
    stored: bool  # whether a preview of the whole value is available


class Attempt(TypedDict):
    """One attempt of a task."""

    map_index: int
    try_number: int
    state: DisplayState
    started: float | None
    ended: float | None
    error: str
    host: str  # name of the host that executed the attempt; "" if it is unknown, or the attempt has not ended
    notes: list[str]


class PastDuration(TypedDict):
    """The duration of a task in an earlier run."""

    run: str
    state: DisplayState
    duration: float | None


class DisplayOutput(TypedDict):
    """One output of an attempt: an image as base64, or text. HTML is shown in a frame without scripts."""

    mime: MimeType
    data: str


class Bar(TypedDict):
    """One attempt on the timeline."""

    task: str
    map_index: int
    try_number: int
    state: DisplayState
    started: float
    ended: float | None


class GridRun(TypedDict):
    """One column of the grid: a run and the states of its tasks."""

    summary: RunSummary
    states: dict[str, DisplayState]


# The values of a run.


class ListedValue(TypedDict):
    """A value that a task of a run has stored."""

    task: str
    map_index: int
    name: str
    type: str
    bytes: int
    summary: str
    digest: str  # digest of the file with the value; equal digests mean equal values


class ValueList(TypedDict):
    """The values that a run has stored."""

    items: list[ListedValue]


# Requests: from the front end to Python.


class HelloRequest(TypedDict):
    """Ask for the initial state again if the page has missed a change."""

    kind: Literal["hello"]
    number: int  # number of the latest change that the front end has received


class SavedRequest(TypedDict):
    """Report that the notebook was saved. The saved cells may differ from the executed cells."""

    kind: Literal["saved"]


class EditedRequest(TypedDict):
    """Report edits of cells that are not saved."""

    kind: Literal["edited"]
    cells: dict[str, str]  # key: id of a cell; value: its text in the editor


class LayoutRequest(TypedDict):
    """Ask for another layout of the graph, for one view."""

    kind: Literal["layout"]
    view: str
    direction: DirectionChoice
    collapsed: bool
    folded: list[str]  # groups to draw as one box
    width: NotRequired[float]  # the view's space in pixels, in which the text shall be as large as possible
    height: NotRequired[float]


class RunRequest(TypedDict):
    """Ask for the status of every task of a run."""

    kind: Literal["run"]
    run: str


class TaskRequest(TypedDict):
    """Ask for the details of a task."""

    kind: Literal["task"]
    task: str
    run: str


class AttemptRequest(TypedDict):
    """Ask for the outputs and the log of an attempt."""

    kind: Literal["attempt"]
    run: str
    task: str
    map_index: int
    try_number: int


class ValueRequest(TypedDict):
    """Ask for a preview of a stored value."""

    kind: Literal["value"]
    run: str
    task: str
    name: str


class TimelineRequest(TypedDict):
    """Ask for every attempt of a run."""

    kind: Literal["timeline"]
    run: str


class GridRequest(TypedDict):
    """Ask for the task states of the latest runs."""

    kind: Literal["grid"]


class MetricsRequest(TypedDict):
    """Ask for the metrics of the latest runs."""

    kind: Literal["metrics"]


class ParametersRequest(TypedDict):
    """Ask for the parameters of the notebook."""

    kind: Literal["parameters"]


class StaleRequest(TypedDict):
    """Ask which cells must run again in the notebook's kernel so that no task is stale."""

    kind: Literal["stale"]


class ActionRequest(TypedDict):
    """Ask for an action, such as a run or a cancellation."""

    kind: Literal["action"]
    action: Action
    task: str
    run: str
    parameters: NotRequired[dict[str, Any]]  # for a new run: values that differ from the defaults in the notebook


# Messages: from Python to the front end.


class ChangeMessage(TypedDict):
    """Report the changed task statuses of a run, and the run's summary if it has changed."""

    kind: Literal["change"]
    number: int
    run: str  # id of the run, or "" for the live session
    tasks: dict[str, TaskStatus]
    summary: RunSummary | None


class ResetMessage(TypedDict):
    """Replace the whole state of the front end."""

    kind: Literal["reset"]
    state: InitialState


class PictureMessage(TypedDict):
    """The layout that a view has requested."""

    kind: Literal["picture"]
    view: str
    picture: Picture


class RunMessage(TypedDict):
    """The status of every task of a run."""

    kind: Literal["run"]
    summary: RunSummary
    tasks: dict[str, TaskStatus]


class TaskDetails(TypedDict):
    """The details of a task, in a run or in the live session."""

    kind: Literal["task"]
    task: str
    run: str
    doc: str
    cell: int
    source: list[list[list[str]]]  # lines of the task's code; each line is a list of [colour, text] pairs
    options: list[list[str]]  # the task's options as [option, value] pairs
    upstream: list[Neighbour]
    downstream: list[Neighbour]
    inputs: list[Value]
    outputs: list[Value]
    attempts: list[Attempt]
    durations: list[PastDuration]  # durations of the task in the latest runs, oldest first
    changed: NotRequired[bool]  # whether the text of the task's cell has changed since the run


class AttemptMessage(TypedDict):
    """The outputs and the log of an attempt."""

    kind: Literal["attempt"]
    run: str
    task: str
    map_index: int
    try_number: int
    outputs: list[DisplayOutput]
    rendered: list[list[str]]  # the texts in which templates were rendered, such as the script, as [name, text] pairs
    log: str
    path: str  # path of the attempt's notebook


class ValueMessage(TypedDict):
    """The preview of a stored value."""

    kind: Literal["value"]
    run: str
    task: str
    name: str
    outputs: list[DisplayOutput]


class TimelineMessage(TypedDict):
    """Every attempt of a run."""

    kind: Literal["timeline"]
    run: str
    bars: list[Bar]


class GridMessage(TypedDict):
    """The task states of the latest runs."""

    kind: Literal["grid"]
    runs: list[GridRun]  # the latest runs, oldest first


class MetricRun(TypedDict):
    """A run of a chart of metrics."""

    id: str
    state: RunState
    created: float


class MetricPoint(TypedDict):
    """A metric of a task in a run. NaN and infinities are the texts "NaN", "Infinity" and "-Infinity"."""

    value: float | str  # for a mapped task, the mean of its instances
    lowest: float | str
    highest: float | str
    count: int  # number of values: more than one for the instances of a mapped task


class MetricSeries(TypedDict):
    """A metric of a task over several runs."""

    task: str
    name: str
    marked: bool  # whether --metric names it; if not, it is an output that happens to be one number
    points: list[MetricPoint | None]  # one for each run; None: the run lacks the metric


class MetricsMessage(TypedDict):
    """The metrics of the latest runs."""

    kind: Literal["metrics"]
    runs: list[MetricRun]  # oldest first
    series: list[MetricSeries]  # those of --metric first


class ParametersMessage(TypedDict):
    """The parameters of the notebook."""

    kind: Literal["parameters"]
    parameters: dict[str, Any]  # one JSON Schema for all parameters


class CellPlace(TypedDict):
    """A cell of the notebook."""

    index: int
    id: str  # "" if the cell has no id


class StaleMessage(TypedDict):
    """The cells to run again so that no task is stale."""

    kind: Literal["stale"]
    cells: list[CellPlace]  # in the order in which to run them


class PlaceMessage(TypedDict):
    """A line of a cell to which the page scrolls, because the user continues there."""

    kind: Literal["place"]
    cell: int
    line: int


class NoticeMessage(TypedDict):
    """One sentence for the user."""

    kind: Literal["notice"]
    level: NoticeLevel
    text: str


Request = (
    HelloRequest | SavedRequest | EditedRequest | LayoutRequest | RunRequest | TaskRequest | AttemptRequest
    | ValueRequest | TimelineRequest | GridRequest | MetricsRequest | ParametersRequest | StaleRequest
    | ActionRequest
)  # fmt: skip
Message = (
    ChangeMessage | ResetMessage | PictureMessage | RunMessage | TaskDetails | AttemptMessage | ValueMessage
    | TimelineMessage | GridMessage | MetricsMessage | ParametersMessage | StaleMessage | PlaceMessage | NoticeMessage
)  # fmt: skip
