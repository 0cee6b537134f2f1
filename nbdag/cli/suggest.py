"""`suggest`: propose tasks for a notebook without tags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import runs as api
from ..core.model.text import plural
from ..graphs.marks import duration_text
from . import complete
from ._group import examples
from .notebook import NOTEBOOK, print_problems
from .output import print_data, short_path, write_file

if TYPE_CHECKING:
    from ..runs import SuggestedNotebook


@click.command(
    epilog=examples(
        ("nbdag suggest churn.ipynb", "print the proposal, with the reason for each task"),
        ("nbdag suggest churn.ipynb -o churn_tasks.ipynb", "write a copy with tagged cells"),
        ("nbdag suggest churn.ipynb --measure", "run it once, and say which tasks take the time"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option("-o", "--output", metavar="FILE", help="Write a copy with tagged cells into FILE; - is standard output.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.option("--measure", is_flag=True, help="Run the notebook once from top to bottom, and measure its cells.")
@click.option("--json", "as_json", is_flag=True, help="Print the proposal as a JSON object.")
def suggest(notebook: Path, output: str | None, overwrite: bool, measure: bool, as_json: bool) -> int:
    """Propose tasks for a notebook without tags.

    Cells that belong together become one task, constants at the top become parameters, imports and functions become
    setup. The notebook itself stays as it is. Nothing runs unless --measure is passed.

    Exits with 1 if the proposal has errors that only you can solve.
    """
    if as_json and output == "-":
        hint = "name a file with -o, or leave out --json"
        raise click.UsageError(f"--json and -o - both write to standard output; {hint}", click.get_current_context())
    target = None if output in (None, "-") else Path(str(output))
    if target is not None and target.exists() and not overwrite:
        raise click.UsageError(
            f"{short_path(target)} already exists; choose another file or pass --overwrite", click.get_current_context()
        )
    if measure:
        with click.progressbar(length=1000, label="Running the notebook", file=sys.stderr) as bar:
            found = api.suggest(
                notebook, measure=True, report=lambda done, count: bar.update(done * 1000 // count - bar.pos)
            )
    else:
        found = api.suggest(notebook)
    if as_json:
        print_data(_to_dict(found))
    elif output != "-":
        _print(found)
    print_problems(found.suggestion.dag, notebook, err=True)
    if output == "-":
        sys.stdout.buffer.write(found.notebook)
    elif target is not None:
        write_file(target, found.notebook)
        click.echo(f"wrote {short_path(target)}; run it with: nbdag run {short_path(target)}", err=as_json)
    elif not as_json:
        stem = notebook.name.removesuffix(".ipynb")
        click.echo(f"Write the tagged copy with: nbdag suggest {short_path(notebook)} -o {stem}_tasks.ipynb")
    return 1 if found.suggestion.dag.errors else 0


def _print(found: SuggestedNotebook) -> None:
    suggestion = found.suggestion
    if suggestion.reordered:
        click.echo("The cells are in the order in which they last ran, because the order of the file fails.\n")
    for task in suggestion.tasks:
        took = "" if found.durations is None else f"  {duration_text(found.durations[task.name])}"
        click.echo(f"{click.style(task.name, bold=True)}{took}")
        click.echo(f"    {_cells(task.cells)}{_after(suggestion.dag.upstream[task.name])}")
        for reason in task.reasons:
            click.echo(f"    {reason}")
    by_role: dict[str, list[int]] = {}
    for cell, role in sorted(suggestion.roles.items()):
        by_role.setdefault(role, []).append(cell)
    click.echo()
    for role, cells in by_role.items():
        click.echo(f"{role}: {_cells(cells)}")
    widest = max(suggestion.levels, key=len, default=())
    click.echo(f"{plural(len(suggestion.tasks), 'task')}", nl=False)
    click.echo(f"; {', '.join(widest)} can run at the same time" if len(widest) > 1 else ", one after the other")
    if found.durations is not None:
        total = sum(found.durations.values())
        seconds, path = found.slowest_path
        click.echo(f"all cells took {duration_text(total)}; in parallel {duration_text(seconds)} ({' > '.join(path)})")
        if total and (small := [name for name, took in found.durations.items() if took < total / 100]):
            click.echo(f"less than 1% of the time each, so perhaps no task of its own: {', '.join(small)}")


def _cells(cells: Any) -> str:
    numbers = [cell + 1 for cell in cells]
    return f"cell {numbers[0]}" if len(numbers) == 1 else f"cells {', '.join(map(str, numbers))}"


def _after(upstream: tuple[str, ...]) -> str:
    return f", after {', '.join(upstream)}" if upstream else ""


def _to_dict(found: SuggestedNotebook) -> dict[str, Any]:
    suggestion = found.suggestion
    return {
        "tasks": [
            {
                "name": task.name,
                "cells": list(task.cells),
                "after": list(suggestion.dag.upstream[task.name]),
                "reasons": list(task.reasons),
                "seconds": None if found.durations is None else found.durations[task.name],
            }
            for task in suggestion.tasks
        ],
        "other_cells": {str(cell): role for cell, role in sorted(suggestion.roles.items())},
        "levels": [list(level) for level in suggestion.levels],
        "reordered": suggestion.reordered,
        "problems": [f"{each.code}: {each.message}" for each in suggestion.dag.problems],
    }
