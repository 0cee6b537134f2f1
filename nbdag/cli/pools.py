"""`pools list|set|delete`: slots for tasks that share something scarce."""

from __future__ import annotations

from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from ..core.model.text import join_names
from ..errors import NbdagError
from ..runs.actions import pools as api
from ._group import examples
from .output import output_option, print_data, print_table


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(pool.name) for pool in api.pools() if pool.name.startswith(incomplete)]
    except NbdagError:
        return []


NAME = click.argument("name", shell_complete=_names)


@click.group(
    epilog=examples(
        ("nbdag pools list", "each pool, and who is in it"),
        ("nbdag pools set gpu 2", "two tasks with --pool gpu run at once"),
        ("nbdag pools delete gpu", ""),
    )
)
def pools() -> None:
    """Limit how many tasks run at once that share something scarce.

    A task takes --slots of its --pool while it runs, over all runs and schedulers.
    """


@pools.command(name="list", epilog=examples(("nbdag pools list -o json", "for programs")))
@output_option
def list_(form: str) -> None:
    """List the pools, and who is in them."""
    found = api.pools()
    if form != "table":
        print_data([asdict(pool) for pool in found], form)
        return
    rows = [[each.name, _size(each.slots), str(each.used), join_names(each.tasks)] for each in found]
    print_table(["pool", "slots", "used", "by"], rows)


@pools.command(
    name="set",
    context_settings={"ignore_unknown_options": True},
    epilog=examples(("nbdag pools set gpu 2", ""), ("nbdag pools set api -1", "no limit")),
)
@NAME
@click.argument("slots", type=int)
def set_(name: str, slots: int) -> None:
    """Make a pool, or change its size; -1 slots are no limit."""
    pool = api.set_pool(name, slots)
    click.echo(f"pool {pool.name}: {_size(pool.slots, ' slots')}, {pool.used} in use")


@pools.command(epilog=examples(("nbdag pools delete gpu", "tasks that name it then run one at a time")))
@NAME
def delete(name: str) -> None:
    """Delete a pool."""
    pool = api.delete_pool(name)
    held = f"; {join_names(pool.tasks)} still run" if pool.tasks else ""
    click.echo(f"pool {pool.name} is deleted: tasks that name it run one at a time{held}")


def _size(slots: int, unit: str = "") -> str:
    return "no limit" if slots < 0 else f"{slots}{unit}"
