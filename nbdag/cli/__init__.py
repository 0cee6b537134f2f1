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
            "backfill": ("backfill", "Make runs for ticks of the past."),
            "remove": ("deploy", "Deploy a DAG no more."),
            "scheduler": ("scheduler", "Drive what is deployed, in the foreground."),
        },
        "Runs": {
            "runs": ("history", "List the latest runs."),
            "status": ("history", "Show where a run and its tasks stand."),
            "logs": ("history", "Print what a task printed, and its traceback."),
            "why": ("operate", "Say why a task has not run, or what came of it."),
            "cancel": ("history", "Stop a run that another process drives."),
            "clear": ("operate", "Let tasks of a run run anew."),
            "mark": ("operate", "Give tasks of a run an outcome without running them."),
            "resume": ("operate", "Go on with a run here, until it ends."),
            "pools": ("pools", "Limit how many tasks run at once that share something scarce."),
        },
        "This installation": {
            "db": ("db", "Look after the database."),
            "gc": ("db", "Remove files that no run needs."),
            "doctor": ("doctor", "Look for what could keep notebooks from running here."),
        },
    },
)

__all__ = ["main"]
