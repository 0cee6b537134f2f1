"""The command line.

A command parses what a person typed, calls one function of `runs` or `notebooks`, and shows the answer. This module
knows each command's name, its one line of help and the module that holds it, and loads that module when the command
is called: `nbdag --help` imports click and little else.

Exit codes: 0 done, 1 the run failed or problems were found, 2 usage, 130 interrupted.
"""

from __future__ import annotations

from ._group import Commands

main = Commands(
    "nbdag",
    help="Turn a Jupyter notebook into a pipeline: tag cells as tasks, see the graph, run it headlessly in parallel.",
    sections={
        "Notebooks": {
            "check": ("notebook", "Say what is wrong with a notebook."),
            "show": ("notebook", "Draw a notebook's graph, or print it."),
            "run": ("run", "Run a notebook headlessly, task by task, in parallel."),
        },
        "Schedule": {
            "deploy": ("deploy", "Pin a notebook as it is now, and make its schedule live."),
            "list": ("deploy", "List what is deployed, with its next run and its last state."),
            "trigger": ("deploy", "Ask for a run of what is deployed, now."),
            "next": ("deploy", "Show when a DAG runs next."),
            "pause": ("deploy", "Let a schedule make no runs for now."),
            "unpause": ("deploy", "Let a schedule make runs again."),
            "remove": ("deploy", "Deploy a DAG no more."),
            "scheduler": ("scheduler", "Drive what is deployed, in the foreground."),
        },
        "Runs": {
            "runs": ("history", "List the latest runs."),
            "status": ("history", "Show where a run and its tasks stand."),
            "logs": ("history", "Print what a task printed, and its traceback."),
            "cancel": ("history", "Stop a run that another process drives."),
        },
        "This installation": {
            "doctor": ("doctor", "Look for what could keep notebooks from running here."),
        },
    },
)

__all__ = ["main"]
