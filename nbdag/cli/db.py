"""`db migrate|check|clean` and `gc`: maintenance of the database and of its files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime

import click

from .. import runs
from ..core.model.text import plural
from ..core.options.option_types import read_duration
from ._group import examples, fail
from .options import YES
from .output import output_option, print_data


def _keep(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if text.replace(".", "", 1).isdigit():
        raise click.BadParameter(f"{text!r} has no unit; write {text}d for days, or {text}h for hours")
    try:
        return float(read_duration(text))
    except ValueError as error:
        if "hundred years" in str(error):
            raise click.BadParameter("longer than a hundred years; use a shorter time, such as 30d") from None
        raise click.BadParameter(f"invalid duration {text!r}; expected a form such as 30d, 12h or 1d12h") from None


DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")


@click.group(
    epilog=examples(
        ("nbdag db check", "check the database for faults"),
        ("nbdag db clean --keep 90d", "delete the records of runs that ended more than 90 days ago"),
        ("nbdag db migrate", "upgrade the schema"),
    )
)
def db() -> None:
    """Check, upgrade and clean the database."""


@db.command(epilog=examples(("nbdag db migrate", "optional: every other command upgrades the schema if needed")))
def migrate() -> None:
    """Create the database, or upgrade its schema."""
    found = runs.migrate_db()
    click.echo(f"{found.where}: schema {found.revision}, up to date")


@db.command(
    epilog=examples(
        ("nbdag db check --values", "also read every stored value"),
        ("nbdag db check -o json", "print the result as JSON, for a script"),
    )
)
@click.option("--values", is_flag=True, help="Read every stored value, and compare it with its digest.")
@output_option
def check(values: bool, form: str) -> int:
    """Check the database for faults and for missing value files.

    Exits with 1 if a fault is found.
    """
    found = runs.check_db(read_values=values)
    if form != "table":
        print_data(asdict(found), form)
    else:
        click.echo(f"{found.where}: schema {found.revision}")
        click.echo(", ".join(f"{count} {name}" for name, count in found.counts.items()))
        for fault in found.faults:
            click.echo(f"fault: {fault}")
        if found.missing_values:
            click.echo(f"the files of {found.missing_values} recorded values are missing; run their tasks again")
        for digest in found.damaged_values:
            click.echo(f"the stored value {digest:.12}… is damaged; clear the task that wrote it, to run it again")
        if not (found.faults or found.missing_values or found.damaged_values):
            click.echo("no faults found")
    return 1 if found.faults or found.missing_values or found.damaged_values else 0


@db.command(epilog=examples(("nbdag db clean --keep 90d --dry-run", "count the runs that would be deleted")))
@click.option(
    "--keep", required=True, metavar="TIME", callback=_keep, help="Keep runs that ended within this time, such as 90d."
)
@DRY_RUN
@YES
@output_option
def clean(keep: float, dry_run: bool, yes: bool, form: str) -> None:
    """Delete the records of old runs.

    Unfinished runs are kept, as are runs whose values a kept run uses. `nbdag gc` then deletes the files. On a
    terminal, the command shows what it would delete and asks for confirmation.
    """
    if not (yes or dry_run):
        _confirm(runs.clean_db(keep, dry_run=True))
    done = runs.clean_db(keep, dry_run=dry_run)
    if form != "table":
        print_data({"runs": list(done.runs), "oldest": _iso(done.oldest), "newest": _iso(done.newest)}, form)
        return
    _print_runs(done, dry_run)


@click.command(
    epilog=examples(
        ("nbdag gc", "delete files that no run needs"),
        ("nbdag gc --keep 30d", "delete also runs that ended more than 30 days ago"),
        ("nbdag gc --keep 30d --dry-run", "print what would be deleted, and delete nothing"),
    )
)
@click.option(
    "--keep", metavar="TIME", callback=_keep, help="Also delete the records of runs older than this, such as 30d."
)
@DRY_RUN
@YES
@output_option
def gc(keep: float | None, dry_run: bool, yes: bool, form: str) -> None:
    """Delete files that no run needs.

    The files are values, pinned notebooks and folders of runs. New files are kept for at
    least an hour, and files that a running attempt may have stored are kept until the attempt ends. On a terminal,
    --keep asks for confirmation first.
    """
    if keep is not None and not (yes or dry_run):
        _confirm(runs.clean_db(keep, dry_run=True))
    done = runs.gc(keep, dry_run=dry_run)
    if form != "table":
        print_data({**asdict(done), "oldest": _iso(done.oldest), "newest": _iso(done.newest)}, form)
        return
    verb = "would be deleted" if dry_run else "deleted"
    if keep is not None:
        _print_runs(done, dry_run)
    pinned = f"{done.files} archives of pinned files, " if done.files else ""
    pinned += f"{done.environments} environments, " if done.environments else ""
    click.echo(
        f"{done.values} values, {done.notebooks} notebooks, {pinned}{done.folders} folders of runs {verb}: "
        f"{_bytes(done.bytes)}"
    )
    if done.kept:
        click.echo(done.kept)
    if keep is not None and keep < runs.GRACE:
        click.echo("files younger than an hour are kept for now; a later 'nbdag gc' deletes them")


def _print_runs(done: runs.Cleaned, dry_run: bool) -> None:
    click.echo(f"{plural(len(done.runs), 'run')} {'would be deleted' if dry_run else 'deleted'}{_period(done)}")


def _confirm(planned: runs.Cleaned) -> None:
    """Ask for confirmation before runs are deleted, if this is a terminal; exit if the answer is no."""
    if not planned.runs or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    what = f"{plural(len(planned.runs), 'run')}{_period(planned)}"
    if not click.confirm(f"Delete {what}, with their records, reports and values?", err=True):
        fail("nothing was deleted")


def _period(done: runs.Cleaned) -> str:
    if done.oldest is None or done.newest is None:
        return ""
    first, last = (at.astimezone().strftime("%Y-%m-%d %H:%M") for at in (done.oldest, done.newest))
    return f" that ended at {first}" if first == last else f" that ended between {first} and {last}"


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _bytes(number: int) -> str:
    size, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
