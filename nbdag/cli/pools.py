"""`pools list|set|delete`: limits on how many tasks use a shared resource at the same time."""

from __future__ import annotations

from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from .. import runs
from ..core.model.text import join_names
from ..errors import NbdagError
from ._group import examples
from .output import output_option, print_data, print_table


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(pool.name) for pool in runs.list_pools() if pool.name.startswith(incomplete)]
    except NbdagError:
        return []


NAME = click.argument("name", shell_complete=_names)


@click.group(
    epilog=examples(
        ("nbdag pools list", "list each pool, with the tasks that use it"),
        ("nbdag pools set gpu 2", "allow two tasks with --pool gpu at once"),
        ("nbdag pools delete gpu", "delete the pool"),
    )
)
def pools() -> None:
    """Limit how many tasks use a shared resource at the same time.

    A running task occupies slots of the pool that its option --pool names: one slot, or the number set by --slots. A
    pool is shared by all runs and schedulers.
    """


@pools.command(name="list", epilog=examples(("nbdag pools list -o json", "list the pools, for a script")))
@output_option
def list_(form: str) -> None:
    """List the pools and the tasks that use them."""
    found = runs.list_pools()
    if form != "table":
        print_data([asdict(pool) for pool in found], form)
        return
    rows = [[each.name, _size(each.slots), str(each.used), join_names(each.tasks)] for each in found]
    print_table(["pool", "slots", "used", "used by"], rows)


@pools.command(
    name="set",
    context_settings={"ignore_unknown_options": True},
    epilog=examples(("nbdag pools set gpu 2", "set two slots"), ("nbdag pools set api -1", "set no limit")),
)
@NAME
@click.argument("slots", type=int)
def set_(name: str, slots: int) -> None:
    """Create a pool, or change its number of slots; -1 means no limit."""
    pool = runs.set_pool(name, slots)
    click.echo(f"pool {pool.name}: {_size(pool.slots, ' slots')}, {pool.used} in use")


@pools.command(epilog=examples(("nbdag pools delete gpu", "tasks with --pool gpu then run one at a time")))
@NAME
def delete(name: str) -> None:
    """Delete a pool; tasks that name it then run one at a time."""
    pool = runs.delete_pool(name)
    running = f"; still running: {join_names(pool.tasks)}" if pool.tasks else ""
    click.echo(f"pool {pool.name} deleted; tasks that name it run one at a time{running}")


def _size(slots: int, unit: str = "") -> str:
    return "no limit" if slots < 0 else f"{slots}{unit}"
