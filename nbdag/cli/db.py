"""`db migrate|check|clean` and `gc`: the database, and the files that belong to it."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import runs
from ..core.options.option_types import read_duration
from ._group import examples
from .output import output_option, print_data


def _keep(ctx: click.Context, param: click.Parameter, said: str | None) -> float | None:
    if said is None:
        return None
    try:
        return float(read_duration(said))
    except ValueError:
        raise click.BadParameter(f"{said!r} is no length of time: write 30d, 12h or 1d12h") from None


DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")


@click.group(
    epilog=examples(
        ("nbdag db check", "look for what is wrong"),
        ("nbdag db clean --keep 90d", "forget older runs"),
        ("nbdag db migrate", "bring the schema up to date"),
    )
)
def db() -> None:
    """Look after the database."""


@db.command(epilog=examples(("nbdag db migrate", "every command does it by itself, too")))
def migrate() -> None:
    """Make the database, or bring its schema up to date."""
    found = runs.migrate_db()
    click.echo(f"{found.where}: schema {found.revision}, up to date")


@db.command(epilog=examples(("nbdag db check -o json", "for programs")))
@output_option
def check(form: str) -> int:
    """Look for what is wrong with the database, and for values that are gone.

    Exits with 1 where something is.
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
            click.echo(f"{found.missing_values} values are on record, and their files are gone: run their tasks anew")
        if not found.faults and not found.missing_values:
            click.echo("nothing is wrong")
    return 1 if found.faults or found.missing_values else 0


@db.command(epilog=examples(("nbdag db clean --keep 90d --dry-run", "say which runs would be forgotten")))
@click.option("--keep", required=True, metavar="TIME", callback=_keep, help="Keep runs that ended since, such as 90d.")
@DRY_RUN
@output_option
def clean(keep: float, dry_run: bool, form: str) -> None:
    """Forget runs that ended long ago. Runs that go on, and those whose values a kept run uses, stay."""
    done = runs.clean_db(keep, dry_run=dry_run)
    if form != "table":
        print_data({"runs": list(done.runs)}, form)
        return
    click.echo(f"{len(done.runs)} runs {'would be' if dry_run else 'are'} forgotten")


@click.command(
    epilog=examples(
        ("nbdag gc", "remove files that no run needs"),
        ("nbdag gc --keep 30d", "forget runs that ended before that, and remove their files"),
        ("nbdag gc --keep 30d --dry-run", "say how much that is"),
    )
)
@click.option("--keep", metavar="TIME", callback=_keep, help="First forget runs that ended longer ago, such as 30d.")
@DRY_RUN
@output_option
def gc(keep: float | None, dry_run: bool, form: str) -> None:
    """Remove files that no run needs.

    Values, pinned notebooks, folders of runs. A file stays for an hour at least, and while an attempt is under way
    that may have stored it.
    """
    done = runs.gc(keep, dry_run=dry_run)
    if form != "table":
        print_data(asdict(done), form)
        return
    verb = "would be removed" if dry_run else "removed"
    if keep is not None:
        click.echo(f"{len(done.runs)} runs {'would be' if dry_run else 'are'} forgotten")
    click.echo(
        f"{done.values} values, {done.notebooks} notebooks, {done.folders} folders of runs {verb}: {_bytes(done.bytes)}"
    )
    if keep is not None and keep < runs.GRACE:
        click.echo("files younger than an hour stay for now: a later 'nbdag gc' removes them")


def _bytes(number: int) -> str:
    size, units = float(number), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"
