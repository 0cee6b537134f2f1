"""`clear`, `mark`, `resume`, `why`: change the tasks of a run, continue it, or explain a task's state."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import click

from .. import runs as api
from ..core.model.states import RunState, TaskState
from ..core.model.text import run_selector, task_label
from ..executors import Choice
from . import complete
from ._group import INTERRUPTED, examples, fail
from .failures import name_range
from .history import DAG, RUN_AND_TASK, run_and_task
from .options import JOBS, executor_options
from .output import console, output_option, print_data
from .progress import progress
from .run import print_outcome

RUN = click.argument("run", shell_complete=complete.runs)
TASKS = click.argument("tasks", nargs=-1, shell_complete=complete.tasks_of_run)


@click.command(
    epilog=examples(
        ("nbdag clear latest --only-failed --run", "run the failed tasks again, in this terminal"),
        ("nbdag clear latest train --downstream", "queue train and all tasks downstream of it"),
        ("nbdag clear latest 'score[3]'", "queue one instance of a mapped task"),
        ("nbdag clear latest --deployed --dry-run", "list the tasks that the deployed version would run"),
    )
)
@RUN
@TASKS
@click.option("-u", "--upstream", is_flag=True, help="Include upstream tasks.")
@click.option("-d", "--downstream", is_flag=True, help="Include downstream tasks.")
@click.option("--only-failed", is_flag=True, help="Reset only tasks whose state is failed or upstream_failed.")
@click.option("--deployed", is_flag=True, help="Use the deployed version of the notebook instead of the run's version.")
@click.option(
    "--run",
    "run_now",
    is_flag=True,
    help="Execute the run in this terminal until it ends, unless a scheduler executes it.",
)
@JOBS
@click.option("--dry-run", is_flag=True, help="Print the tasks that would be reset, and change nothing.")
@DAG
@output_option
def clear(
    run: str, tasks: tuple[str, ...], run_now: bool, jobs: int | None, dry_run: bool, dag: str | None, form: str,
    **which: Any,
) -> int:  # fmt: skip
    """Reset tasks of a run so that they run again.

    RUN is a run's id, an unambiguous prefix of an id, or 'latest'. Without TASKS, all tasks are reset. Earlier
    attempts are kept, and each task gets all its retries again. A run that had ended is queued again: a scheduler
    executes it, or this command with --run.
    """
    done = api.clear(run, tasks, dag=dag, dry_run=dry_run, **which)
    if form != "table":
        print_data(_data(done), form)
    else:
        verb = "would be reset" if dry_run else "reset"
        for task in done.tasks:
            click.echo(f"{verb}: {task}{' (running; terminated first)' if task in done.restarting else ''}")
    if done.edited:
        click.echo(f"warning: {done.edited}", err=True)
    if dry_run:
        return 0
    if run_now and not done.owner:
        return _execute(done.run, jobs, quiet=form != "table")
    if form == "table":
        _print_run(done)
    return 0


@click.command(
    epilog=examples(
        ("nbdag mark success latest extract", "count extract as succeeded, so that downstream tasks can run"),
        ("nbdag mark skipped latest 'score[3]'", "count one instance of a mapped task as skipped"),
    )
)
@click.argument("state", type=click.Choice(list(api.MARKS)))
@RUN
@click.argument("tasks", nargs=-1, required=True, shell_complete=complete.tasks_of_run)
@DAG
@output_option
def mark(state: str, run: str, tasks: tuple[str, ...], dag: str | None, form: str) -> None:
    """Set the state of tasks without running them.

    A running task is terminated. Downstream tasks whose state is failed or upstream_failed are reset, so that they
    run again.
    """
    done = api.mark(state, run, tasks, dag=dag)
    if form != "table":
        print_data(_data(done), form)
        return
    for task in done.tasks:
        click.echo(f"{state}: {task}")
    _print_run(done)


@click.command(
    epilog=examples(
        ("nbdag resume", "continue the latest run"),
        ("nbdag run churn.ipynb --from train", "instead of `resume` after an edit: run train and its downstream tasks"),
        ("nbdag resume latest --jobs 4", "with at most four tasks at once"),
    )
)
@click.argument("run", default="latest", shell_complete=complete.runs)
@JOBS
@executor_options
@DAG
def resume(run: str, jobs: int | None, executor: Choice, dag: str | None) -> int:
    """Continue a run in this terminal until it ends.

    An unfinished run that no process executes continues with its remaining tasks. In a run that failed or was
    cancelled, all tasks that did not succeed run again. A run executes the version of the notebook with which it was
    created; for an edited notebook, use `nbdag run` with --from. Exits with 1 if the run does not succeed.
    """
    found = api.find_run(run, dag=dag)
    if edited := api.edited_since(found):
        click.echo(f"warning: {edited}", err=True)
    for task in found:
        if task.state is TaskState.FAILED and task.error:
            error = task.error.splitlines()[0]
            click.echo(f"runs {task_label(task.id, task.map_index)} again, which failed: {error}", err=True)
    return _execute(found, jobs, executor)


@click.command(
    epilog=examples(
        ("nbdag why train", "list train's unmet conditions in the latest run, or its outcome"),
        ("nbdag why latest 'score[3]' -o json", "explain an instance of a mapped task as JSON, for a script"),
    )
)
@RUN_AND_TASK
@DAG
@output_option
def why(words: tuple[str, ...], dag: str | None, form: str) -> None:
    """Explain a task's state: its unmet conditions, or its outcome.

    RUN is a run's id, an unambiguous prefix of an id, or 'latest', which is the default.
    """
    with run_and_task(words, dag) as (run, task):
        found = api.why(run, task, dag=dag)
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    for reasons, group in groupby(found, key=lambda each: each.reasons):
        first, *others = [each.task for each in group]
        for reason in reasons:
            click.echo(f"{first} {reason}")
        if others:
            click.echo(f"{name_range(others)}: the same")


def _execute(run: api.Run, jobs: int | None, executor: Choice | None = None, *, quiet: bool = False) -> int:
    screen = console(stderr=quiet)
    tasks = [task.id for task in run if task.map_index < 0]
    with progress(screen, tasks) as watch:

        def on_event(event: api.Event) -> None:
            watch.show(event)

        try:
            done = api.resume(run, jobs=jobs, executor=executor or Choice(), on_event=on_event)
        except KeyboardInterrupt:
            fail(f"interrupted: run {run.id} of {run.dag} is cancelled", INTERRUPTED)
    print_outcome(done, screen)
    return 0 if done.state is RunState.SUCCESS else 1


def _print_run(done: api.Cleared) -> None:
    """Print the state of the run, and the process that executes it. Without a process, print how to start one."""
    run = done.run
    state = f"run {run.id} of {run.dag}: {run.state.value}"
    if done.owner:
        click.echo(f"{state}, executed by {done.owner}")
    else:
        resume = f"nbdag resume {run_selector(run.id, run.dag)}"
        click.echo(f"{state}; no scheduler is running, so use '{resume}' or 'nbdag scheduler'")


def _data(done: api.Cleared) -> dict[str, Any]:
    return {
        "run_id": done.run.id,
        "dag": done.run.dag,
        "state": done.run.state.value,
        "tasks": list(done.tasks),
        "restarting": list(done.restarting),
        "queued_again": done.queued_again,
        "driver": done.owner or None,
    }
