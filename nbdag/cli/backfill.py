"""`backfill`: runs for past ticks of a schedule."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Any

import click

from .. import runs
from ..core.model.states import RunState
from ..executors import Choice
from ._group import INTERRUPTED, examples, fail
from .deploy import DAG
from .options import ALLOW_UNKNOWN, COUNT, NUMBER_OF_JOBS, date, executor_options, task_names
from .output import output_option, print_data
from .parameters import parameter_options, parameters


def _last(ctx: click.Context, param: click.Parameter, text: str) -> datetime:
    """Return the time that the text gives; a date without a time means the end of that day."""
    found = date(ctx, param, text)
    assert found is not None  # click requires this option
    return datetime.combine(found, time.max) if re.search(r"[T\s:]", text.strip()) is None else found


@click.command(
    epilog=examples(
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31", "create a run for each tick that has none"),
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --dry-run", "list the ticks, create no run"),
        (
            "nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --reprocess failed",
            "also rerun ticks whose run failed",
        ),
        (
            "nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --backwards --max-active-runs 2",
            "start with the latest date",
        ),
    )
)
@DAG
@click.option(
    "--from", "first", required=True, metavar="DATE", callback=date, help="First date, in the DAG's time zone."
)
@click.option(
    "--to", "last", required=True, metavar="DATE", callback=_last, help="Last date, included to the end of its day."
)
@click.option(
    "--reprocess",
    type=click.Choice(list(runs.REPROCESS)),
    default="none",
    show_default=True,
    help="Dates to run again although they already have a run: none, dates whose run failed, or dates whose run has "
    "ended.",
)
@click.option("--backwards", is_flag=True, help="Start with the latest date.")
@click.option("--tasks", multiple=True, metavar="TASK[,TASK…]", callback=task_names, help="Run only these tasks.")
@click.option(
    "--max-active-runs",
    type=COUNT,
    default=10,
    show_default=True,
    metavar="N",
    help="Maximum number of runs at the same time.",
)
@click.option(
    "-j",
    "--jobs",
    type=NUMBER_OF_JOBS,
    metavar="N",
    help="Maximum number of tasks that run at the same time, if the runs execute in this terminal.",
)
@executor_options
@click.option("--dry-run", is_flag=True, help="List the runs that would be created, and create none.")
@parameter_options
@ALLOW_UNKNOWN
@output_option
def backfill(
    dag: str, first: datetime, last: datetime, reprocess: str, backwards: bool, tasks: tuple[str, ...],
    max_active_runs: int, jobs: int | None, executor: Choice, dry_run: bool, allow_unknown: bool, form: str,
    **values: Any,
) -> int:  # fmt: skip
    """Run a DAG for past dates of its schedule.

    The command creates one run for each tick of the DAG's schedule between two dates. A running scheduler executes
    the runs; without one, they execute in this terminal until all have ended. A DAG can have one backfill at a time.
    """
    table = form == "table"

    def on_plan(made: runs.Backfill) -> None:
        if table:
            _print(made, dry_run=False)

    def on_event(event: runs.Event) -> None:
        if event.kind == "run" and table:
            click.echo(f"run {event.run_id}: {event.state}{f': {event.message}' if event.message else ''}")

    try:
        done = runs.backfill(
            dag, first, last, reprocess=reprocess, backwards=backwards, tasks=tasks, parameters=parameters(**values),
            max_active_runs=max_active_runs, jobs=jobs, executor=executor, dry_run=dry_run,
            allow_unknown=allow_unknown, on_plan=on_plan, on_event=on_event,
        )  # fmt: skip
    except KeyboardInterrupt:
        fail(f"interrupted: the backfill of {dag} is cancelled", INTERRUPTED)
    if not table:
        print_data(_data(done), form)
    elif not done.runs:
        _print(done, dry_run=dry_run)
    return 1 if any(run.state in (RunState.FAILED, RunState.CANCELLED) for run in done.runs) else 0


def _print(made: runs.Backfill, *, dry_run: bool) -> None:
    for tick in made.ticks:
        action = ("would run" if dry_run else "run      ") if tick.made else "skip     "
        click.echo(f"{action}  {tick.date:%Y-%m-%d %H:%M:%S %Z}  {tick.reason}")
    number = sum(tick.made for tick in made.ticks)
    if dry_run or not number:
        click.echo(f"{number} of {len(made.ticks)} ticks{' would run' if dry_run else '; there is nothing to run'}")
    elif made.owner:
        click.echo(f"{number} of {len(made.ticks)} ticks are queued; {made.owner} executes them")
    else:
        click.echo(f"{number} of {len(made.ticks)} ticks execute here, because no scheduler is running")


def _data(made: runs.Backfill) -> dict[str, Any]:
    states = {run.id: run.state.value for run in made.runs}
    return {
        "dag": made.dag,
        "driver": made.owner or None,
        "ticks": [
            {
                "date": tick.date.isoformat(),
                "made": tick.made,
                "reason": tick.reason,
                "run_id": tick.run or None,
                "state": states.get(tick.run),
            }
            for tick in made.ticks
        ],
    }
