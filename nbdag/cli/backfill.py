"""`backfill`: runs for ticks of the past."""

from __future__ import annotations

import re
from datetime import datetime, time
from typing import Any

import click

from .. import runs
from ..core.model.states import RunState
from ._group import INTERRUPTED, examples, fail
from .deploy import DAG
from .options import EXECUTOR
from .output import output_option, print_data
from .parameters import parameter_options, parameters


def _date(ctx: click.Context, param: click.Parameter, said: str) -> datetime:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        raise click.BadParameter(f"{said!r} is no date: write 2026-01-31 or 2026-01-31T06:00+01:00") from None


def _last(ctx: click.Context, param: click.Parameter, said: str) -> datetime:
    """A date alone is the whole day."""
    found = _date(ctx, param, said)
    return datetime.combine(found, time.max) if re.search(r"[T\s:]", said.strip()) is None else found


def _split(ctx: click.Context, param: click.Parameter, said: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task for part in said for task in part.replace(",", " ").split()))


@click.command(
    epilog=examples(
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31", "a run for each tick that has none"),
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --dry-run", "list them, and make nothing"),
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --reprocess failed", "those that failed, too"),
        ("nbdag backfill churn --from 2026-01-01 --to 2026-01-31 --backwards --max-active-runs 2", "the latest first"),
    )
)
@DAG
@click.option(
    "--from", "first", required=True, metavar="DATE", callback=_date, help="The first date, in the DAG's zone."
)
@click.option(
    "--to", "last", required=True, metavar="DATE", callback=_last, help="The last date, included; all of that day."
)
@click.option(
    "--reprocess",
    type=click.Choice(list(runs.REPROCESS)),
    default="none",
    show_default=True,
    help="Which dates that have a run get another: none, those that failed, or all that have ended.",
)
@click.option("--backwards", is_flag=True, help="The latest date first.")
@click.option("--tasks", multiple=True, metavar="TASK[,TASK…]", callback=_split, help="These tasks alone.")
@click.option(
    "--max-active-runs", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Runs at once."
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Tasks at once, where it is driven here.")
@EXECUTOR
@click.option("--dry-run", is_flag=True, help="List what would be made.")
@parameter_options
@output_option
def backfill(
    dag: str, first: datetime, last: datetime, reprocess: str, backwards: bool, tasks: tuple[str, ...],
    max_active_runs: int, jobs: int | None, executor: str, dry_run: bool, form: str, **said: Any,
) -> int:  # fmt: skip
    """Make runs for ticks of the past.

    One for each tick of the DAG's schedule between two dates. A scheduler drives the runs where one is alive;
    otherwise they are driven here, until all have ended. A DAG has one backfill at a time.
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
            dag, first, last, reprocess=reprocess, backwards=backwards, tasks=tasks, parameters=parameters(**said),
            max_active_runs=max_active_runs, jobs=jobs, executor=executor, dry_run=dry_run, on_plan=on_plan,
            on_event=on_event,
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
        what = ("would run" if dry_run else "run      ") if tick.made else "leave    "
        click.echo(f"{what}  {tick.date:%Y-%m-%d %H:%M:%S %Z}  {tick.reason}")
    number = sum(tick.made for tick in made.ticks)
    if dry_run or not number:
        click.echo(f"{number} of {len(made.ticks)} ticks{' would run' if dry_run else ': nothing is left to run'}")
    elif made.owner:
        click.echo(f"{number} of {len(made.ticks)} ticks are queued, and driven by {made.owner}")
    else:
        click.echo(f"{number} of {len(made.ticks)} ticks are driven here, as no scheduler is alive")


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
