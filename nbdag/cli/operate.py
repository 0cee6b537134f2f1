"""`clear`, `mark`, `resume`, `why`: what a person does to a run, and asks of it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

from ..core.model.states import RunState
from ..core.model.text import run_selector
from ..runs import Event, Run, find_run
from ..runs.actions import clear as api
from ..runs.actions.resume import resume as drive
from ..runs.queries.why import why as ask
from . import complete
from ._group import INTERRUPTED, examples, fail
from .failures import row
from .history import DAG
from .output import console, output_option, print_data
from .progress import progress
from .run import say_outcome

RUN = click.argument("run", shell_complete=complete.runs)
TASKS = click.argument("tasks", nargs=-1, shell_complete=complete.tasks_of_run)
JOBS = click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Tasks at once; the number of cores.")


@click.command(
    epilog=examples(
        ("nbdag clear latest --only-failed --run", "try again what failed, here and now"),
        ("nbdag clear latest train --downstream", "train and all that follows, by the scheduler"),
        ("nbdag clear latest 'score[3]'", "one instance of a mapped task"),
        ("nbdag clear latest --deployed --dry-run", "what would run, with the version deployed now"),
    )
)
@RUN
@TASKS
@click.option("-u", "--upstream", is_flag=True, help="Also all that these tasks need.")
@click.option("-d", "--downstream", is_flag=True, help="Also all that follows them.")
@click.option("--only-failed", is_flag=True, help="Only those that failed, or could not run because of one that did.")
@click.option("--deployed", is_flag=True, help="Run the version that is deployed now, not the run's own.")
@click.option("--run", "run_now", is_flag=True, help="Drive the run here, until it ends.")
@JOBS
@click.option("--dry-run", is_flag=True, help="Say what would be cleared, and change nothing.")
@DAG
@output_option
def clear(
    run: str, tasks: tuple[str, ...], run_now: bool, jobs: int | None, dry_run: bool, dag: str | None, form: str,
    **which: Any,
) -> int:  # fmt: skip
    """Let tasks of a run run anew.

    RUN is a run's id, the beginning of one, or 'latest'; without TASKS all of its tasks are cleared. Earlier attempts
    stay on record, and retries count anew. A run that had ended is queued again: by a scheduler if one is alive, here
    with --run.
    """
    done = api.clear(run, tasks, dag=dag, dry_run=dry_run, **which)
    if form != "table":
        print_data(_data(done), form)
    else:
        verb = "would be cleared" if dry_run else "cleared"
        for task in done.tasks:
            click.echo(f"{verb}: {task}{' (running: it is ended first)' if task in done.restarting else ''}")
    if dry_run:
        return 0
    if run_now and not done.driver:
        return _drive(done.run, jobs, quiet=form != "table")
    if form == "table":
        _say_driver(done)
    return 0


@click.command(
    epilog=examples(
        ("nbdag mark success latest extract", "as if it had succeeded; what follows may run"),
        ("nbdag mark skipped latest 'score[3]'", ""),
    )
)
@click.argument("state", type=click.Choice(list(api.MARKS)))
@RUN
@click.argument("tasks", nargs=-1, required=True, shell_complete=complete.tasks_of_run)
@DAG
@output_option
def mark(state: str, run: str, tasks: tuple[str, ...], dag: str | None, form: str) -> None:
    """Give tasks of a run an outcome without running them.

    One that is running is ended. Tasks further down that could not run are cleared, so that they run after all.
    """
    done = api.mark(state, run, tasks, dag=dag)
    if form != "table":
        print_data(_data(done), form)
        return
    for task in done.tasks:
        click.echo(f"{state}: {task}")
    _say_driver(done)


@click.command(
    epilog=examples(
        ("nbdag resume latest", "go on with it here"),
        ("nbdag resume latest --jobs 4", ""),
    )
)
@click.argument("run", default="latest", shell_complete=complete.runs)
@JOBS
@DAG
def resume(run: str, jobs: int | None, dag: str | None) -> int:
    """Go on with a run here, until it ends.

    One that was cleared, or that nobody drives, is driven as it stands; of one that failed or was cancelled, all that
    did not succeed runs anew. Exits with 1 where the run fails.
    """
    return _drive(find_run(run, dag=dag), jobs)


@click.command(
    epilog=examples(
        ("nbdag why latest train", "each condition that is not met, in words"),
        ("nbdag why latest 'score[3]' -o json", "of one instance of a mapped task"),
    )
)
@RUN
@click.argument("task", shell_complete=complete.tasks_of_run)
@DAG
@output_option
def why(run: str, task: str, dag: str | None, form: str) -> None:
    """Say why a task has not run, or what came of it."""
    found = ask(run, task, dag=dag)
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    for reasons, group in groupby(found, key=lambda each: each.reasons):
        first, *others = [each.task for each in group]
        for reason in reasons:
            click.echo(f"{first} {reason}")
        if others:
            click.echo(f"{row(others)}: the same")


def _drive(run: Run, jobs: int | None, *, quiet: bool = False) -> int:
    screen = console(stderr=quiet)
    tasks = [task.id for task in run if task.map_index < 0]
    with progress(screen, tasks) as watch:

        def on_event(event: Event) -> None:
            watch.show(event)

        try:
            done = drive(run, jobs=jobs, on_event=on_event)
        except KeyboardInterrupt:
            fail(f"interrupted: run {run.id} of {run.dag} is cancelled", INTERRUPTED)
    say_outcome(done, screen)
    return 0 if done.state is RunState.SUCCESS else 1


def _say_driver(done: api.Cleared) -> None:
    run = done.run
    said = f"run {run.id} of {run.dag}: {run.state.value}"
    if done.driver:
        click.echo(f"{said}, driven by {done.driver}")
    else:
        resume = f"nbdag resume {run_selector(run.id, run.dag)}"
        click.echo(f"{said}; no scheduler is alive, so drive it with '{resume}' or 'nbdag scheduler'")


def _data(done: api.Cleared) -> dict[str, Any]:
    return {
        "run_id": done.run.id,
        "dag": done.run.dag,
        "state": done.run.state.value,
        "tasks": list(done.tasks),
        "restarting": list(done.restarting),
        "queued_again": done.queued_again,
        "driver": done.driver or None,
    }
