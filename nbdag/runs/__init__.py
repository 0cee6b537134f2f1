"""Create, follow, find, load, cancel: what every surface calls.

A surface parses what a person said, calls one function here, and shows the answer. Every way of running a notebook
goes through here into the store, and one scheduler drives what stands there.

`prepare` looks at everything that must be right first, and `borrow` for the values of a partial run; `foreground` runs
a notebook now; `ask` answers questions, `values` brings values into this process, `operate` is what a person does to a
run, `gone` finds runs whose process was killed; `report` writes the report; `records` are the answers.
"""

from ..core.model.events import Event
from .actions.cancel import EndedError, cancel
from .actions.deploy import (
    Deployed,
    NotDeployedError,
    Tick,
    deploy,
    deployed,
    next_ticks,
    pause,
    remove,
    scheduler_alive,
    trigger,
    unpause,
)
from .creation.partial_runs import MissingValueError
from .creation.prepare import (
    FolderMissingError,
    KernelMissingError,
    NotebookProblemsError,
    OutputError,
    ParameterValueError,
    UnknownTaskError,
)
from .execution.daemon import Line, SchedulerRunningError, schedule
from .execution.foreground import JobsError, Planned, plan_of, run
from .queries.liveness import driver
from .queries.pinned import PinnedGoneError
from .queries.records import ManyInstancesError, NoSuchTaskError, Run, TaskRun
from .queries.runs import (
    ManyRunsError,
    NoSuchRunError,
    NoSuchStateError,
    NotBegunError,
    find_run,
    follow,
    list_runs,
    logs,
)
from .queries.values import NotStoredError, load

__all__ = [
    "Deployed",
    "EndedError",
    "Event",
    "FolderMissingError",
    "JobsError",
    "KernelMissingError",
    "Line",
    "ManyInstancesError",
    "ManyRunsError",
    "MissingValueError",
    "NoSuchRunError",
    "NoSuchStateError",
    "NoSuchTaskError",
    "NotBegunError",
    "NotDeployedError",
    "NotStoredError",
    "NotebookProblemsError",
    "OutputError",
    "ParameterValueError",
    "PinnedGoneError",
    "Planned",
    "Run",
    "SchedulerRunningError",
    "TaskRun",
    "Tick",
    "UnknownTaskError",
    "cancel",
    "deploy",
    "deployed",
    "driver",
    "find_run",
    "follow",
    "list_runs",
    "load",
    "logs",
    "next_ticks",
    "pause",
    "plan_of",
    "remove",
    "run",
    "schedule",
    "scheduler_alive",
    "trigger",
    "unpause",
]
