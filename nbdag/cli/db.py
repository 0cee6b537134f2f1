"""`db migrate|check|clean` and `gc`: maintenance of the database and of its files."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import runs
from ..core.options.option_types import read_duration
from ._group import examples
from .output import output_option, print_data


def _keep(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(read_duration(text))
    except ValueError:
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


@db.command(epilog=examples(("nbdag db check -o json", "the same, for a script")))
@output_option
def check(form: str) -> int:
    """Check the database for faults and missing files of values.

    Exits with 1 if any are found.
    """
    found = runs.check_db()
    if form != "table":
        print_data(asdict(found), form)
    else:
        click.echo(f"{found.where}: schema {found.revision}")
        click.echo(", ".join(f"{count} {name}" for name, count in found.counts.items()))
        for fault in found.faults:
            click.echo(f"fault: {fault}")
        if found.missing_values:
            click.echo(f"the files of {found.missing_values} recorded values are missing; run their tasks again")
        if not found.faults and not found.missing_values:
            click.echo("no faults found")
    return 1 if found.faults or found.missing_values else 0


@db.command(epilog=examples(("nbdag db clean --keep 90d --dry-run", "count the runs that would be deleted")))
@click.option(
    "--keep", required=True, metavar="TIME", callback=_keep, help="Keep runs that ended within this time, such as 90d."
)
@DRY_RUN
@output_option
def clean(keep: float, dry_run: bool, form: str) -> None:
    """Delete the records of old runs.

    Unfinished runs are kept, as are runs whose values a kept run uses. `nbdag gc` then deletes the files.
    """
    done = runs.clean_db(keep, dry_run=dry_run)
    if form != "table":
        print_data({"runs": list(done.runs)}, form)
        return
    _print_runs(len(done.runs), dry_run)


@click.command(
    epilog=examples(
        ("nbdag gc", "delete files that no run needs"),
        ("nbdag gc --keep 30d", "delete also runs that ended more than 30 days ago"),
        ("nbdag gc --keep 30d --dry-run", "print what the same command would delete"),
    )
)
@click.option(
    "--keep", metavar="TIME", callback=_keep, help="Also delete the records of runs older than this, such as 30d."
)
@DRY_RUN
@output_option
def gc(keep: float | None, dry_run: bool, form: str) -> None:
    """Delete files that no run needs.

    The files are values, pinned notebooks and folders of runs. New files are kept for
    at least an hour, and files that a running attempt may have stored are kept until the attempt ends.
    """
    done = runs.gc(keep, dry_run=dry_run)
    if form != "table":
        print_data(asdict(done), form)
        return
    verb = "would be deleted" if dry_run else "deleted"
    if keep is not None:
        _print_runs(len(done.runs), dry_run)
    click.echo(
        f"{done.values} values, {done.notebooks} notebooks, {done.folders} folders of runs {verb}: {_bytes(done.bytes)}"
    )
    if keep is not None and keep < runs.GRACE:
        click.echo("files younger than an hour are kept for now; a later 'nbdag gc' deletes them")


def _print_runs(number: int, dry_run: bool) -> None:
    click.echo(f"{number} runs {'would be deleted' if dry_run else 'deleted'}")


def _bytes(number: int) -> str:
    size, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
