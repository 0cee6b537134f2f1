"""`deploy`, `list`, `trigger`, `next`, `pause`, `unpause`, `remove`: notebooks that run on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .. import runs
from . import complete
from ._group import examples
from .notebook import NOTEBOOK, read_aloud, say_problems
from .output import console, output_option, print_data, print_table, short_path, state_text
from .parameters import parameter_options, parameters

DAG = click.argument("dag", shell_complete=complete.dags)


@click.command(
    epilog=examples(
        ("nbdag deploy churn.ipynb", "its schedule is live from now on"),
        ("nbdag deploy churn.ipynb", "after a change: new runs take the new version"),
        ("nbdag deploy churn.ipynb --cwd /data", "its tasks run in another folder"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option(
    "--cwd", type=click.Path(path_type=Path), metavar="FOLDER", help="Where tasks run; the notebook's folder."
)
@output_option
def deploy(notebook: Path, cwd: Path | None, form: str) -> int:
    """Pin a notebook as it is now, and make its schedule live.

    Later edits change nothing until it is deployed again. Runs that there are already keep the version that they were
    created with. `nbdag scheduler` makes and drives the runs. What a %%dag cell makes is built anew for each of them.
    """
    built = read_aloud(notebook, cwd=cwd)
    say_problems(built.dag, notebook, err=True)
    if built.dag.errors:
        return 1
    done = runs.deploy(notebook, cwd=cwd, built=built)
    if form != "table":
        print_data(done.to_dict(), form)
        return 0
    click.echo(f"{done.id}: version {done.version} is deployed; {_when(done)}")
    _say_if_nobody_drives()
    return 0


@click.command(
    name="list",
    epilog=examples(
        ("nbdag list", "what is deployed here"),
        ("nbdag list -o json | jq -r '.[].dag'", "for programs"),
    ),
)
@output_option
def list_(form: str) -> None:
    """List what is deployed, with its next run and its last state.

    A notebook whose file has changed since is said to have: new runs do not take the change until it is deployed.
    """
    found = runs.list_dags()
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    if not found:
        click.echo("nothing is deployed: 'nbdag deploy NOTEBOOK' does", err=True)
        return
    screen = console()
    print_table(
        ["dag", "schedule", "next run", "last run", "notebook"],
        [
            [
                each.id,
                each.schedule or "on demand",
                "paused" if each.paused else _next(each),
                "" if each.last_state is None else state_text(each.last_state.value, screen),
                short_path(each.path) + {"changed": " (changed since)", "gone": " (gone)"}.get(each.changed, ""),
            ]
            for each in found
        ],
    )
    if any(_is_due(each) for each in found):
        _say_if_nobody_drives()


@click.command(
    epilog=examples(
        ("nbdag trigger churn", "a run, as soon as the scheduler sees it"),
        ("nbdag trigger churn -p alpha 0.5", "with another parameter"),
        ("nbdag trigger churn --logical-date 2026-01-31", "for that day"),
    )
)
@DAG
@parameter_options
@click.option(
    "--logical-date", metavar="DATE", callback=lambda ctx, param, said: _date(said), help="The time that it is for."
)
@click.option("--no-cache", is_flag=True, help="Let tasks with --cache run anew, changed or not.")
@output_option
def trigger(dag: str, logical_date: datetime | None, no_cache: bool, form: str, **said: Any) -> None:
    """Ask for a run of what is deployed, now.

    `nbdag scheduler` makes it, whether the DAG is paused or not.
    """
    made = runs.trigger(dag, parameters=parameters(**said), logical_date=logical_date, cache=not no_cache)
    if form != "table":
        print_data(made.to_dict(), form)
        return
    for note in made.warnings:
        click.echo(f"warning {note.code}: {note.message}", err=True)
    click.echo(f"run {made.id} of {made.dag}: {made.state.value}")
    _say_if_nobody_drives()


@click.command(
    name="next",
    epilog=examples(
        ("nbdag next churn", "the next five times"),
        ("nbdag next churn -n 400 -o json", "with what daylight saving does to them"),
    ),
)
@DAG
@click.option("-n", "--number", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@output_option
def next_(dag: str, number: int, form: str) -> None:
    """Show when a DAG runs next.

    The times are in the schedule's zone; what daylight saving does to one stands beside it.
    """
    found = runs.next_ticks(dag, number)
    if form != "table":
        print_data(
            [
                {"at": each.at.isoformat(), "interval_start": each.interval_start.isoformat(), "note": each.note}
                for each in found
            ],
            form,
        )
        return
    about = runs.find_dag(dag)
    if about.paused:
        click.echo(f"{dag} is paused: 'nbdag unpause {dag}' lets these happen", err=True)
    if _is_due(about):
        click.echo(_next(about))
    if not found:
        click.echo(f"{dag} has no next run{' after that' if _is_due(about) else f': {_when(about)}'}", err=True)
        return
    print_table(
        ["run", "for the data from", ""],
        [[_moment(each.at), _moment(each.interval_start), each.note] for each in found],
    )


@click.command(epilog=examples(("nbdag pause churn", "no scheduled runs until 'nbdag unpause churn'")))
@DAG
def pause(dag: str) -> None:
    """Let a schedule make no runs for now.

    Runs that there are go on, and what is triggered still runs.
    """
    runs.pause(dag)
    click.echo(f"{dag}: paused")


@click.command(epilog=examples(("nbdag unpause churn", "of the ticks that it missed, the last runs at once")))
@DAG
def unpause(dag: str) -> None:
    """Let a schedule make runs again."""
    done = runs.unpause(dag)
    click.echo(f"{dag}: {_when(done)}")


@click.command(epilog=examples(("nbdag remove churn", "its runs stay: see 'nbdag runs --dag churn'")))
@DAG
def remove(dag: str) -> None:
    """Deploy a DAG no more.

    Its runs stay on record, and those under way go on.
    """
    runs.remove(dag)
    click.echo(f"{dag}: no longer deployed")


def _when(dag: runs.Deployed) -> str:
    if dag.schedule is None:
        return "on demand"
    if dag.paused:
        return f"schedule {dag.schedule!r}, paused"
    return f"schedule {dag.schedule!r}, {'' if _is_due(dag) else 'next run '}{_next(dag) or 'never'}"


def _next(dag: runs.Deployed) -> str:
    return f"due now (tick of {_moment(dag.next_run)})" if _is_due(dag) else _moment(dag.next_run)


def _is_due(dag: runs.Deployed) -> bool:
    return not dag.paused and dag.next_run is not None and dag.next_run <= datetime.now(UTC)


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S %Z")


def _date(said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        raise click.BadParameter(f"{said!r} is no date: write 2026-01-31 or 2026-01-31T06:00+01:00") from None


def _say_if_nobody_drives() -> None:
    if runs.live_scheduler() is None:
        click.echo("no scheduler is alive here: start one with 'nbdag scheduler'", err=True)
