"""`scheduler`: drive what is deployed, in the foreground, and say what is done and why."""

from __future__ import annotations

from datetime import datetime

import click

from .. import runs
from ..core.model.text import task_label
from ..packages import require
from . import units
from ._group import examples
from .output import to_json


@click.command(
    epilog=examples(
        ("nbdag scheduler", "as many tasks at once as there are cores"),
        ("nbdag scheduler --jobs 8 --log-json", "for a log collector"),
        ("nbdag scheduler --print-unit systemd", "a service that keeps it running"),
    )
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Tasks at once; the number of cores.")
@click.option(
    "--kernels",
    type=click.Choice(["warm", "fresh"]),
    default="warm",
    show_default=True,
    help="Fork a kernel that has its imports done where possible, or start each anew.",
)
@click.option("--log-json", is_flag=True, help="Print each line as JSON.")
@click.option("--print-unit", type=click.Choice(units.KINDS), help="Print a service that keeps it running, and end.")
def scheduler(jobs: int | None, kernels: str, log_json: bool, print_unit: str | None) -> None:
    """Drive what is deployed, in the foreground.

    Ctrl-C or SIGTERM: what runs may end, nothing new begins. A second one stops at once; what ran then begins anew
    under the next scheduler. On SQLite there is one; on PostgreSQL (NBDAG_DB_URL) there may be several.
    """
    if print_unit is not None:
        more = [*(["--jobs", str(jobs)] if jobs else []), *(["--kernels", "fresh"] if kernels == "fresh" else [])]
        click.echo(units.unit(print_unit, *more, *(["--log-json"] if log_json else [])), nl=False)
        return
    require()
    runs.schedule(jobs=jobs, kernels=kernels, on_line=_print_json if log_json else _print)


def _print(line: runs.Line) -> None:
    at = datetime.fromtimestamp(line.at).strftime("%Y-%m-%d %H:%M:%S")
    task = task_label(line.task, line.map_index)
    where = " ".join(part for part in (line.dag, line.run, task) if part)
    attempt = f" (try {line.try_number})" if line.task and line.try_number > 1 else ""
    what = f"{line.state}{attempt}"
    if line.message:
        what += f": {line.message}" if line.state else line.message
    click.echo(f"{at} {f'{where}: ' if where else ''}{what}")


def _print_json(line: runs.Line) -> None:
    said = {
        "at": datetime.fromtimestamp(line.at).astimezone().isoformat(),
        "dag": line.dag,
        "run": line.run,
        "task": line.task,
        "map_index": line.map_index if line.task and line.map_index >= 0 else None,
        "try": line.try_number or None,
        "state": line.state,
        "message": line.message,
    }
    click.echo(to_json({name: value for name, value in said.items() if value not in ("", None)}, indent=None))
