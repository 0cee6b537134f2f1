"""What Python and the front end say to one another: every message, once.

`ui/messages.py` writes these classes as TypeScript, so that both sides are checked against one description. All is
JSON's own. Instants are seconds since the epoch, durations seconds; cells count from 0, lines from 1. What the
front end asks for is a `Request`; what it is told is a `Told`. The run "" is the live session.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Direction = Literal["LR", "TB"]
Arrangement = Literal["auto", "LR", "TB"]


class Standing(TypedDict):
    """How a task stands. A task of which nothing is said has not run."""

    state: str  # a task's state, or "stale"
    started: NotRequired[float]
    duration: NotRequired[float]
    tries: NotRequired[int]  # attempts so far, where there was more than one
    count: NotRequired[int]  # instances of a mapped task
    ended: NotRequired[int]  # of these, how many have ended
    failed: NotRequired[int]  # and how many failed
    reason: NotRequired[str]  # one sentence: why it failed, was skipped, is stale


class RunBrief(TypedDict):
    """A run, in a line."""

    id: str
    state: str
    created: float
    started: float | None
    ended: float | None
    partial: bool  # some tasks only
    error: str


class Node(TypedDict):
    """A box: a task, or a chain of tasks that is drawn as one."""

    id: str
    label: str
    x: float  # of the centre, in points
    y: float
    width: float
    height: float
    members: list[str]  # the tasks it stands for, in run order
    mapped: bool
    note: str  # what kind of task it is; often empty
    doc: str


class Line(TypedDict):
    """An edge, drawn."""

    source: str  # ids of nodes
    target: str
    declared: bool
    names: list[str]  # that it carries
    path: str  # SVG path data
    tip: str
    label: str
    x: float  # of the label's centre
    y: float
    why: list[str]  # one sentence for each reason


class Picture(TypedDict):
    """The graph, laid out. It changes when the notebook's structure does, never when a state does."""

    dag: str
    notebook: str  # path of its file; empty where it is not known
    direction: Direction
    collapsed: bool
    chains: int  # how many chains could be drawn as one box
    width: float
    height: float
    nodes: list[Node]
    lines: list[Line]
    order: list[str]  # tasks in run order
    problems: list[str]


class Beginning(TypedDict):
    """The live session and the latest runs, whole: what a front end begins with."""

    number: int  # of the last change that is in it
    session: dict[str, Standing]
    runs: list[RunBrief]  # the newest first
    can: list[str]  # which actions this kernel knows


class Use(TypedDict):
    """Why an edge is there: a name, read here and written there."""

    name: str
    read_cell: int
    read_line: int
    written_cell: int
    written_line: int


class Neighbour(TypedDict):
    """A task before or after another, and why."""

    task: str
    declared: bool
    uses: list[Use]


class Value(TypedDict):
    """A value that a task was given or left."""

    name: str
    task: str  # that wrote it; empty where setup did
    type: str
    bytes: int | None
    summary: str
    stored: bool  # it can be looked at whole


class Try(TypedDict):
    """One attempt at a task."""

    map_index: int
    number: int
    state: str
    started: float | None
    ended: float | None
    error: str
    notes: list[str]


class Past(TypedDict):
    """How long a task took in an earlier run."""

    run: str
    state: str
    duration: float | None


class Output(TypedDict):
    """One output of an attempt: a picture as base64, text as text. HTML is shown where no script runs."""

    mime: str
    data: str


class Bar(TypedDict):
    """An attempt on the timeline."""

    task: str
    map_index: int
    number: int
    state: str
    started: float
    ended: float | None


class GridRun(TypedDict):
    """A column of the grid."""

    run: RunBrief
    states: dict[str, str]


# What the front end asks.


class Hello(TypedDict):
    kind: Literal["hello"]
    number: int  # the last change it has seen


class Saved(TypedDict):
    """The notebook's file has been written: cells may read otherwise than when they ran."""

    kind: Literal["saved"]


class Arrange(TypedDict):
    kind: Literal["arrange"]
    view: str
    direction: Arrangement
    collapsed: bool


class LookAt(TypedDict):
    kind: Literal["look"]
    run: str


class AskTask(TypedDict):
    kind: Literal["task"]
    task: str
    run: str


class AskTry(TypedDict):
    kind: Literal["try"]
    run: str
    task: str
    map_index: int
    number: int


class AskValue(TypedDict):
    kind: Literal["value"]
    run: str
    task: str
    name: str


class AskTimeline(TypedDict):
    kind: Literal["timeline"]
    run: str


class AskGrid(TypedDict):
    kind: Literal["grid"]


class Act(TypedDict):
    kind: Literal["act"]
    what: Literal["all", "only", "upto", "from", "retry", "retry_only", "retry_failed", "cancel", "deploy", "load"]
    task: str
    run: str


# What it is told.


class TellChange(TypedDict):
    """Something moved."""

    kind: Literal["change"]
    number: int
    of: str  # a run, or "" for the session
    tasks: dict[str, Standing]
    run: RunBrief | None


class TellAll(TypedDict):
    kind: Literal["all"]
    all: Beginning


class TellPicture(TypedDict):
    kind: Literal["picture"]
    view: str
    picture: Picture


class TellRun(TypedDict):
    kind: Literal["run"]
    run: RunBrief
    tasks: dict[str, Standing]


class TellTask(TypedDict):
    kind: Literal["task"]
    task: str
    run: str
    doc: str
    cell: int
    source: list[list[list[str]]]  # lines of pairs: how a piece is coloured, its text
    options: list[list[str]]  # pairs: the flag, what was said
    before: list[Neighbour]
    after: list[Neighbour]
    inputs: list[Value]
    outputs: list[Value]
    tries: list[Try]
    past: list[Past]  # the oldest first


class TellTry(TypedDict):
    kind: Literal["try"]
    run: str
    task: str
    map_index: int
    number: int
    outputs: list[Output]
    log: str
    path: str  # of the attempt's notebook


class TellValue(TypedDict):
    kind: Literal["value"]
    run: str
    task: str
    name: str
    outputs: list[Output]


class TellTimeline(TypedDict):
    kind: Literal["timeline"]
    run: str
    bars: list[Bar]


class TellGrid(TypedDict):
    kind: Literal["grid"]
    runs: list[GridRun]  # the oldest first


class TellNotice(TypedDict):
    kind: Literal["notice"]
    level: Literal["info", "error"]
    text: str


Request = Hello | Saved | Arrange | LookAt | AskTask | AskTry | AskValue | AskTimeline | AskGrid | Act
Told = (
    TellChange | TellAll | TellPicture | TellRun | TellTask | TellTry | TellValue | TellTimeline | TellGrid | TellNotice
)
