"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

# The databases store integers of 64 bits; a larger limit would raise an error.
COUNT = click.IntRange(min=1, max=1_000_000)
NUMBER_OF_JOBS = click.IntRange(min=1, max=100_000)
INDEX = click.IntRange(min=0, max=1_000_000_000)

JOBS = click.option(
    "-j",
    "--jobs",
    type=NUMBER_OF_JOBS,
    metavar="N",
    show_default="number of cores",
    help="Maximum number of tasks at once.",
)
KERNELS = click.option(
    "--kernels",
    type=click.Choice(["warm", "fresh"]),
    default="warm",
    show_default=True,
    help="Fork kernels with their imports already done, if possible (warm), or start a new kernel per task (fresh).",
)
EXECUTOR = click.option(
    "--executor", default="local", show_default=True, metavar="NAME", help="Executor that runs the tasks."
)

ALLOW_UNKNOWN = click.option(
    "--allow-unknown", is_flag=True, help="Accept parameters that the notebook's parameters cell does not set."
)
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation, which happens only on a terminal.")


def task_names(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Return the task names of a repeatable option, separated by commas; reject a value without a name."""
    names: dict[str, None] = {}
    for value in values:
        found = value.replace(",", " ").split()
        if not found:
            flag = param.opts[0]
            raise click.BadParameter(f"{value!r} names no task; name at least one, or omit {flag} to select all tasks")
        names |= dict.fromkeys(found)
    return tuple(names)


def date(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:
    """Return the value of an option as a date."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"invalid date {text[:40]!r}; expected a form such as 2026-01-31 or 2026-01-31T06:00+01:00"
        ) from None
    if not 1900 <= found.year < 9999:  # outside of these years, a change of time zone could leave the range of datetime
        raise click.BadParameter(f"the date {text[:40]!r} is out of range; expected a year from 1900 to 9998")
    return found
