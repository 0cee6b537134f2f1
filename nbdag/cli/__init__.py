"""The command line.

A command parses its arguments, calls one function of `runs` or `notebooks`, and prints the result. This module lists
each command's name, its one-line help and its module, and loads that module only when the command is called. So
`nbdag --help` imports little more than click.

Exit codes: 0 success, 1 the run failed or problems were found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

from ._group import Commands

main = Commands(
    "nbdag",
    help="Turn a Jupyter notebook into a pipeline: tag cells as tasks, see the graph, run it headlessly in parallel.",
    sections={
        "Notebooks": {
            "check": ("check", "Check notebooks for errors and warnings."),
            "explain": ("check", "Explain a code of `nbdag check` or of a warning of a run."),
            "suggest": ("migrate", "Propose tasks for a notebook without tags."),
            "import": ("migrate", "Turn a pipeline of another tool into a notebook with tasks."),
            "show": ("notebook", "List a notebook's tasks in run order, or draw its graph."),
            "rehearse": ("rehearse", "Run a notebook twice, and report how a scheduled run would differ."),
            "run": ("run", "Run a notebook headlessly, task by task, in parallel."),
            "ci": ("check", "Print a CI workflow that checks and tests notebooks."),
        },
        "Deployment and schedules": {
            "deploy": ("deploy", "Deploy the current version of a notebook and start its schedule."),
            "list": ("deploy", "List the deployed DAGs, with their next and last runs."),
            "trigger": ("deploy", "Queue a run of a deployed DAG now."),
            "next": ("deploy", "Show the next scheduled runs of a DAG."),
            "pause": ("deploy", "Pause the schedule of a DAG."),
            "unpause": ("deploy", "Restart the paused schedule of a DAG."),
            "backfill": ("backfill", "Run a DAG for past dates of its schedule."),
            "assets": ("assets", "Show assets: the data that starts pipelines, and its versions."),
            "remove": ("deploy", "Remove a DAG from the deployed DAGs; its runs are kept."),
            "ui": ("ui", "Open the web page that shows and starts pipelines and runs."),
            "up": ("ui", "Open the web page, and run the scheduler of the deployed DAGs."),
            "scheduler": ("scheduler", "Run the scheduler of the deployed DAGs in the foreground."),
        },
        "Runs": {
            "runs": ("history", "List the latest runs."),
            "status": ("history", "Show the state of a run and of its tasks."),
            "compare": ("compare", "Show what differs between two runs of a DAG."),
            "metrics": ("compare", "Show the metrics of the latest runs of a DAG."),
            "logs": ("history", "Print the output and the traceback of a task."),
            "report": ("report", "Write the report of a run as one self-contained HTML file."),
            "why": ("operate", "Explain a task's state: its unmet conditions, or its outcome."),
            "approve": ("approve", "Answer the question of a task that waits for a person."),
            "cancel": ("history", "Cancel a run and terminate its tasks."),
            "clear": ("operate", "Reset tasks of a run so that they run again."),
            "mark": ("operate", "Set the state of tasks without running them."),
            "resume": ("operate", "Continue a run in this terminal until it ends."),
            "pools": ("pools", "Limit how many tasks use a shared resource at the same time."),
        },
        "Other schedulers": {
            "export": ("export", "Write a notebook as a DAG file of Airflow, or as a Python script."),
            "attempt": ("attempt", "Execute one attempt of a task, for another scheduler."),
        },
        "Installation": {
            "connections": ("connections", "List and test the connections that notebooks use by name."),
            "db": ("db", "Check, upgrade and clean the database."),
            "gc": ("db", "Delete files that no run needs."),
            "doctor": ("doctor", "Check this installation for problems."),
        },
    },
)

__all__ = ["main"]
