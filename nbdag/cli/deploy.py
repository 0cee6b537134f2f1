"""`deploy`, `list`, `trigger`, `next`, `pause`, `unpause`, `remove`: notebooks that run on a schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .. import runs
from ..core.model.dag import Dag
from ..core.model.text import join_names, plural
from ..core.options.options import DagOptions
from ..core.schedule.assets import DAG_PREFIX, is_condition
from ..home import find
from . import complete
from ._group import examples
from .notebook import NOTEBOOK, print_problems, read_notebook
from .options import ALLOW_UNKNOWN, date
from .output import console, output_option, print_data, print_table, short_path, state_text
from .parameters import parameter_options, parameters
from .rehearse import print_rehearsal, rehearsal_progress

_MAX_TICKS = 10_000  # maximum number of ticks to list: more would take longer than a few seconds

DAG = click.argument("dag", shell_complete=complete.dags)


@click.command(
    epilog=examples(
        ("nbdag deploy churn.ipynb", "start the notebook's schedule, or deploy its new version"),
        ("nbdag deploy churn.ipynb --cwd /data", "run the notebook's tasks in the folder /data"),
        ("nbdag deploy churn.ipynb --rehearse", "deploy it only if the rehearsal finds no error"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option(
    "--cwd",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="the notebook's folder",
    help="Working directory of the tasks.",
)
@click.option(
    "--rehearse",
    "rehearsed",
    is_flag=True,
    help="Run the notebook twice first, and refuse to deploy it if `nbdag rehearse` finds an error.",
)
@output_option
def deploy(notebook: Path, cwd: Path | None, rehearsed: bool, form: str) -> int:
    """Deploy the current version of a notebook and start its schedule.

    Later edits have no effect until the notebook is deployed again. An existing run keeps the version with which it was
    created. `nbdag scheduler` creates and executes the runs. If the notebook has a %%dag cell, each run executes the
    cell again to build the tasks.
    """
    built = read_notebook(notebook, cwd=cwd)
    print_problems(built.dag, notebook, err=True)
    if built.dag.errors:
        return 1
    if rehearsed:
        with rehearsal_progress() as report:
            found = runs.rehearse(notebook, built=built, cwd=cwd, report=report)
        print_rehearsal(found, err=True)
        if found.errors:
            click.echo(f"{short_path(notebook)} is not deployed, because the rehearsal found errors", err=True)
            return 1
    done = runs.deploy(notebook, cwd=cwd, built=built)
    if len(built.dag.tasks) >= runs.MANY_TASKS:
        from ..frontend.pinned_views import prepare  # imported here because it is slow to import

        prepare(done.id, home=find())
    _warn_about_files(built.dag)
    if form != "table":
        print_data({**done.to_dict(), "replaced": None if done.replaced is None else str(done.replaced)}, form)
        return 0
    click.echo(f"{done.id}: version {done.version} is deployed{_pinned(built.dag.options)}; {_when(done)}")
    if done.is_first and done.version > 1:
        why = "earlier versions of the notebook have run or were deployed"
        click.echo(f"{done.id} has version {done.version} instead of 1, because {why}", err=True)
    if done.replaced is not None:
        other = short_path(done.replaced)
        both = f"; to keep both, name one of them with %dag NAME and deploy {other} again"
        click.echo(f"{done.id} replaces the pipeline of {other}{both if done.replaced.exists() else ''}", err=True)
    for name, near in runs.unknown_sources(done.id):
        what = "pipeline is deployed with this name" if name.startswith("after ") else "deployed pipeline produces it"
        hint = f"; did you mean {near}?" if near else ""
        click.echo(f"the schedule waits for {name!r}, but no {what}{hint}", err=True)
    _warn_without_scheduler()
    return 0


def _warn_about_files(dag: Dag) -> None:
    """Warn if two runs at once would use the same files."""
    if dag.exchanged_files and dag.options.max_active_runs > 1:
        first, *more = dag.exchanged_files
        what = f"{first} and {plural(len(more), 'more file')}" if more else first
        click.echo(
            f"tasks of {dag.id} exchange {what}, which two runs at once would mix; add --max-active-runs 1 to %dag",
            err=True,
        )


@click.command(
    name="list",
    epilog=examples(
        ("nbdag list", "the DAGs that are deployed here"),
        ("nbdag list -o json | jq -r '.[].dag'", "the ids of the deployed DAGs, for a script"),
    ),
)
@output_option
def list_(form: str) -> None:
    """List the deployed DAGs, with their next and last runs.

    The list marks a notebook file that was edited or deleted after its deployment; new runs use the deployed version.
    """
    found = runs.list_dags()
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    if not found:
        click.echo("no DAG is deployed; 'nbdag deploy NOTEBOOK' deploys one", err=True)
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
                short_path(each.path) + {"changed": " (edited since)", "gone": " (deleted)"}.get(each.changed, ""),
            ]
            for each in found
        ],
    )
    if any(_is_due(each) for each in found):
        _warn_without_scheduler()


@click.command(
    epilog=examples(
        ("nbdag trigger churn", "queue a run; the scheduler starts it"),
        ("nbdag trigger churn -p alpha 0.5", "set a parameter of the run"),
        ("nbdag trigger churn --logical-date 2026-01-31", "queue a run for that day"),
    )
)
@DAG
@parameter_options
@click.option(
    "--logical-date",
    metavar="DATE",
    callback=date,
    help="Logical date of the run: the time that the run is for.",
)
@click.option(
    "--no-cache", is_flag=True, help="Ignore cached results: also run tasks with the option --cache that are unchanged."
)
@ALLOW_UNKNOWN
@output_option
def trigger(
    dag: str, logical_date: datetime | None, no_cache: bool, allow_unknown: bool, form: str, **values: Any
) -> None:
    """Queue a run of a deployed DAG now.

    `nbdag scheduler` executes the run, even while the DAG is paused.
    """
    made = runs.trigger(
        dag,
        parameters=parameters(**values),
        allow_unknown=allow_unknown,
        logical_date=logical_date,
        cache=not no_cache,
    )
    if form != "table":
        print_data(made.to_dict(), form)
        return
    for note in made.warnings:
        click.echo(f"warning {note.code}: {note.message}", err=True)
    click.echo(f"run {made.id} of {made.dag}: {made.state.value}")
    _warn_without_scheduler()


@click.command(
    name="next",
    epilog=examples(
        ("nbdag next churn", "the next five runs"),
        ("nbdag next churn -n 400 -o json", "the next 400 runs, with notes on daylight saving time"),
    ),
)
@DAG
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1, max=_MAX_TICKS),
    default=5,
    show_default=True,
    help="Number of runs to show.",
)
@output_option
def next_(dag: str, number: int, form: str) -> None:
    """Show the next scheduled runs of a DAG.

    Times are in the schedule's time zone. A note explains each run that a clock change (daylight saving time) moves or
    repeats.
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
        click.echo(f"{dag} is paused; 'nbdag unpause {dag}' allows these runs", err=True)
    if _is_due(about):
        click.echo(_next(about))
    if not found:
        click.echo(f"{dag} has no next run{' after that' if _is_due(about) else f': {_when(about)}'}", err=True)
        return
    print_table(
        ["run", "for the data from", ""],
        [[_moment(each.at), _moment(each.interval_start), each.note] for each in found],
    )


@click.command(epilog=examples(("nbdag pause churn", "create no scheduled runs until 'nbdag unpause churn'")))
@DAG
def pause(dag: str) -> None:
    """Pause the schedule of a DAG.

    Existing runs continue, and triggered runs still execute.
    """
    runs.pause(dag)
    click.echo(f"{dag}: paused")


@click.command(epilog=examples(("nbdag unpause churn", "run the latest missed tick now, then continue by schedule")))
@DAG
def unpause(dag: str) -> None:
    """Restart the paused schedule of a DAG."""
    done = runs.unpause(dag)
    click.echo(f"{dag}: {_when(done)}")


@click.command(epilog=examples(("nbdag remove churn", "'nbdag runs --dag churn' still lists its runs")))
@DAG
def remove(dag: str) -> None:
    """Remove a DAG from the deployed DAGs; its runs are kept.

    Unfinished runs continue.
    """
    runs.remove(dag)
    click.echo(f"{dag}: removed")


def _pinned(options: DagOptions) -> str:
    """Return " with …", which lists the files and packages pinned with a version, or "" if there are none."""
    files = [" ".join(options.with_)] if options.with_ else []
    packages = [f"an environment with {' '.join(options.requires)}"] if options.requires else []
    return f" with {' and '.join([*files, *packages])}" if files or packages else ""


def _when(dag: runs.Deployed) -> str:
    if dag.schedule is None:
        return "on demand"
    if dag.paused:
        return f"schedule {dag.schedule!r}, paused"
    if dag.next_run is None and is_condition(dag.schedule):
        missing = runs.waits_for(dag.id)
        dags = join_names([each.removeprefix(DAG_PREFIX) for each in missing if each.startswith(DAG_PREFIX)])
        data = join_names([each for each in missing if not each.startswith(DAG_PREFIX)])
        waits = [f"a successful run of {dags}"] * bool(dags) + [f"a new version of {data}"] * bool(data)
        return f"schedule {dag.schedule!r}, waits for {' and '.join(waits)}"
    return f"schedule {dag.schedule!r}, {'' if _is_due(dag) else 'next run '}{_next(dag) or 'never'}"


def _next(dag: runs.Deployed) -> str:
    if dag.next_run is None and dag.schedule is not None and is_condition(dag.schedule):
        return "on new data"
    return f"due now (tick of {_moment(dag.next_run)})" if _is_due(dag) else _moment(dag.next_run)


def _is_due(dag: runs.Deployed) -> bool:
    return not dag.paused and dag.next_run is not None and dag.next_run <= datetime.now(UTC)


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S %Z")


def _warn_without_scheduler() -> None:
    if runs.live_scheduler() is None:
        click.echo("no scheduler is running here; start one with 'nbdag scheduler'", err=True)
