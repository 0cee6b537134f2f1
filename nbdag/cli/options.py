"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Any

import click

from ..executors import LOCAL, Choice, check, names
from ..home import STORAGE, absolute, storage_place

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
    help="Maximum number of tasks that run at the same time.",
)
KERNELS = click.option(
    "--kernels",
    type=click.Choice(["warm", "fresh"]),
    default="warm",
    show_default=True,
    help="Fork kernels with their imports already done, if possible (warm), or start a new kernel per task (fresh).",
)
ALLOW_UNKNOWN = click.option(
    "--allow-unknown", is_flag=True, help="Accept parameters that the notebook's parameters cell does not set."
)
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation, which happens only on a terminal.")


@contextmanager
def _storage(place: str | None) -> Iterator[None]:
    """Set the storage for this process and its children; in a notebook, only while the command runs."""
    before = os.environ.get(STORAGE)
    if place:
        os.environ[STORAGE] = storage_place(place, absolute("."))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(STORAGE, None)
        else:
            os.environ[STORAGE] = before


def executor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose an executor; the command gets them as one argument, `executor`."""

    @wraps(command)
    def with_choice(
        *args: Any,
        executor: str,
        address: str | None,
        allow_mismatch: bool,
        resources: str | None,
        storage: str | None,
        **others: Any,
    ) -> Any:
        options = {"address": address, "allow_mismatch": allow_mismatch, "resources": resources}
        chosen = Choice(executor, {name: value for name, value in options.items() if value})
        check(chosen)
        with _storage(storage):
            return command(*args, executor=chosen, **others)

    for option in (
        click.option(
            "--storage",
            metavar="PLACE",
            show_default="NBDAG_STORAGE, else the home",
            help="Where hosts exchange values, notebooks and logs: a folder that all of them share, or a URL such as "
            "s3://bucket/nbdag.",
        ),
        click.option(
            "--resources",
            metavar="'NAME=AMOUNT …'",
            show_default="NBDAG_RESOURCES",
            help="Resources of this host for tasks with --resources, besides cpu and memory; for example 'gpu=2'.",
        ),
        click.option(
            "--allow-mismatch",
            is_flag=True,
            help="Also use hosts whose versions of Python or packages differ from this host.",
        ),
        click.option(
            "--address",
            metavar="URL",
            help="Address of the Dask scheduler. Without it, --executor dask starts a cluster on this machine.",
        ),
        click.option(
            "--executor",
            default=LOCAL,
            show_default=True,
            metavar="NAME",
            shell_complete=_executors,
            help="Executor that runs the tasks: local, dask, or one of an installed package.",
        ),
    ):
        with_choice = option(with_choice)
    return with_choice


def scheduler_words(jobs: int | None, kernels: str, executor: Choice) -> list[str]:
    """Return the words of a command line that set these options of a scheduler; defaults are left out."""
    words = [*(["--jobs", str(jobs)] if jobs else []), *(["--kernels", kernels] if kernels != "warm" else [])]
    words += ["--executor", executor.name] if executor.name != LOCAL else []
    for name, value in executor.options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def _executors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in names() if name.startswith(incomplete)]


def task_names(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    """Return the task names of a repeatable option. Each value has at least one name; commas separate several names."""
    names: dict[str, None] = {}
    for value in values:
        found = value.replace(",", " ").split()
        if not found:
            flag = param.opts[0]
            raise click.BadParameter(f"{value!r} names no task; name at least one, or omit {flag} to select all tasks")
        names |= dict.fromkeys(found)
    return tuple(names)


def not_an_option(literal: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a callback for an option with a name and a value, which rejects an option of the command as the value.

    In `-p name --only a`, the value is forgotten, and click takes `--only` for it. `literal` is the form in which the
    option's command accepts such a text, with {name} and {value}.
    """

    def callback(ctx: click.Context, param: click.Parameter, values: Sequence[tuple[str, str]]) -> Any:
        flags = {flag for each in ctx.command.get_params(ctx) for flag in (*each.opts, *each.secondary_opts)}
        for name, value in values:
            if value.startswith("-") and value in flags:
                text = literal.format(name=name, value=value)
                raise click.BadParameter(
                    f"no value for {name}, because {value} is an option of this command; add the value, or write "
                    f"{text} for the text {value}"
                )
        return values

    return callback


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
    # Beyond these years, a conversion to another time zone could exceed the range of datetime.
    if not 1900 <= found.year < 9999:
        raise click.BadParameter(f"the date {text[:40]!r} is out of range; expected a year from 1900 to 9998")
    return found
