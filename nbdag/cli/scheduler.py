"""`scheduler`: run the scheduler of the deployed DAGs in the foreground, and log its actions with their reasons."""

from __future__ import annotations

import os
import signal
import threading
from datetime import datetime

import click

from .. import runs
from ..core.model.text import task_label
from ..executors import Choice
from ..packages import require
from . import units
from ._group import examples
from .options import JOBS, KERNELS, executor_options, scheduler_words
from .output import to_json


@click.command(
    epilog=examples(
        ("nbdag scheduler", "create runs by schedule, and execute them"),
        ("nbdag scheduler --jobs 8 --log-json", "print the log as JSON, for a log collector"),
        ("nbdag scheduler --print-unit systemd", "print a service that keeps the scheduler running"),
    )
)
@JOBS
@KERNELS
@executor_options
@click.option("--log-json", is_flag=True, help="Print each log line as JSON.")
@click.option(
    "--print-unit",
    type=click.Choice(units.KINDS),
    help="Print the definition of a service that keeps the scheduler running, and exit.",
)
@click.option(  # used by `nbdag up`
    "--end-with-stdin", is_flag=True, hidden=True, help="Stop when the standard input ends."
)
def scheduler(
    jobs: int | None, kernels: str, executor: Choice, log_json: bool, print_unit: str | None, end_with_stdin: bool
) -> None:
    """Run the scheduler of the deployed DAGs in the foreground.

    On Ctrl-C or SIGTERM the scheduler starts no more tasks and exits once the running ones have ended. A second signal
    terminates these tasks, and the next scheduler runs them again. SQLite allows one scheduler at a time, PostgreSQL
    (NBDAG_DB_URL) several.
    """
    if print_unit is not None:
        options = [*scheduler_words(jobs, kernels, executor), *(["--log-json"] if log_json else [])]
        click.echo(units.unit(print_unit, "scheduler", *options, what="nbdag scheduler"), nl=False)
        return
    require()
    if end_with_stdin:
        threading.Thread(target=_end_with_stdin, name="nbdag-stdin", daemon=True).start()
    runs.schedule(jobs=jobs, kernels=kernels, executor=executor, on_line=_print_json if log_json else _print)


def _end_with_stdin() -> None:
    """Send SIGTERM to this scheduler when standard input ends, because then the process that started it has died."""
    while os.read(0, 1024):
        pass
    signal.raise_signal(signal.SIGTERM)


def _print(line: runs.Line) -> None:
    at = datetime.fromtimestamp(line.at).strftime("%Y-%m-%d %H:%M:%S")
    task = task_label(line.task, line.map_index)
    subject = " ".join(part for part in (line.dag, line.run, task) if part)
    attempt = f" (try {line.try_number})" if line.task and line.try_number > 1 else ""
    text = f"{line.state}{attempt}"
    if line.message:
        text += f": {line.message}" if line.state else line.message
    click.echo(f"{at} {f'{subject}: ' if subject else ''}{text}")


def _print_json(line: runs.Line) -> None:
    fields = {
        "at": datetime.fromtimestamp(line.at).astimezone().isoformat(),
        "dag": line.dag,
        "run": line.run,
        "task": line.task,
        "map_index": line.map_index if line.task and line.map_index >= 0 else None,
        "try": line.try_number or None,
        "state": line.state,
        "message": line.message,
    }
    click.echo(to_json({name: value for name, value in fields.items() if value not in ("", None)}, indent=None))
