"""`suggest` proposes tasks for a notebook without tags, `import` turns pipelines of other tools into notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import notebooks
from .. import runs as api
from ..core.cells.describe import describe
from ..core.model.text import join_names, plural
from ..graphs.marks import duration_text
from . import complete
from ._group import examples
from .notebook import NOTEBOOK, print_problems
from .output import check_replaceable, make_folder, print_data, short_path, write_file

if TYPE_CHECKING:
    from ..migrate.formats import Imported, ImportedNotebook
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
    if target is not None:
        check_replaceable(target, overwrite)
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
    proposed = f"{notebook.stem}_tasks{notebook.suffix}"
    copy = target or notebook.with_name(proposed)  # the lines in the problems are lines of the tagged copy
    print_problems(found.suggestion.dag, copy, err=True)
    if output == "-":
        sys.stdout.buffer.write(found.notebook)
    elif target is not None:
        write_file(target, notebooks.content_for(found.notebook, target))
        click.echo(f"wrote {short_path(target)}; run it with: nbdag run {short_path(target)}", err=as_json)
    elif not as_json:
        click.echo(f"Write the tagged copy with: nbdag suggest {short_path(notebook)} -o {proposed}")
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
    parallel = [join_names(level) for level in suggestion.levels if len(level) > 1]
    click.echo(f"{plural(len(suggestion.tasks), 'task')}{'' if parallel else ', one after the other'}")
    for names in parallel:
        click.echo(f"{names} can run at the same time")
    if found.durations is not None:
        total = sum(found.durations.values())
        seconds, path = found.slowest_path
        slowest = f"in parallel at least {duration_text(seconds)} ({' > '.join(path)})"
        click.echo(f"all cells took {duration_text(total)}; {slowest}, without the start of kernels and setup")
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


@click.command(
    "import",
    epilog=examples(
        ("nbdag import pipeline.yaml", "print the tasks of a Ploomber pipeline, and what is not carried over"),
        ("nbdag import pipeline.yaml -o churn.ipynb", "write the tasks into a notebook"),
        ("nbdag import notebooks/", "turn 01_load.ipynb, 02_train.ipynb, … into tasks of one notebook"),
        ("crontab -l > cron.txt; nbdag import cron.txt -o jobs/", "write a notebook for each papermill command"),
        ("nbdag import ~/.local/share/jupyter/scheduler.sqlite -o jobs/", "the same for jobs of jupyter-scheduler"),
        ("nbdag import churn.pipeline -o churn.ipynb", "turn the nodes of an Elyra pipeline into tasks"),
    ),
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="PATH", help="File for the notebook, or folder for several notebooks.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--format", "form", metavar="FORMAT", show_default="that of SOURCE", help="Format of SOURCE; see the text above."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
def import_(source: Path, output: str | None, overwrite: bool, form: str | None, as_json: bool) -> int:
    """Turn a pipeline of another tool into a notebook with tasks.

    SOURCE is a pipeline.yaml (format ploomber), a .pipeline file (elyra), the database scheduler.sqlite
    (jupyter-scheduler), a notebook with tags of Kale (kale), a crontab with papermill commands (crontab), or a folder
    of numbered notebooks (numbered). SOURCE is neither changed nor executed. Each part that cannot be carried over is
    listed with its place and the reason. An Airflow file is not imported: paste its code into a cell below %%dag.

    Exits with 1 if a notebook has errors that you must repair.
    """
    found = api.import_pipeline(source, format=form)
    targets = _targets(found, output, overwrite)
    if as_json:
        print_data(_imported_data(found))
    else:
        for made in found.notebooks:
            _print_imported(made)
        if found.not_carried_over:
            click.echo("\nNot carried over:")
        for left in found.not_carried_over:
            click.echo(f"  {click.style(f'{left.place}: {left.what}', bold=True)}\n      {left.reason}")
    errors = 0
    for made, target in zip(found.notebooks, targets, strict=True):
        dag = made.dag()
        errors += len(dag.errors)
        print_problems(dag, target, err=True)
        if output is None:
            continue
        write_file(target, notebooks.content_for(made.text, target))
        cwd = "" if target.parent.resolve() == made.folder.resolve() else f" --cwd {short_path(made.folder)}"
        command = f"nbdag {'deploy' if dag.options.schedule else 'run'} {short_path(target)}{cwd}"
        click.echo(f"wrote {short_path(target)}; next: {command}", err=as_json)
    if output is None and not as_json and found.notebooks:
        name = found.notebooks[0].name if len(found.notebooks) == 1 else "FOLDER/"
        click.echo(f"\nWrite with: nbdag import {short_path(source)} -o {name}")
    return 1 if errors else 0


def _targets(found: Imported, output: str | None, overwrite: bool) -> list[Path]:
    """Return the file of each notebook; raise `UsageError` if a file cannot be written."""
    context = click.get_current_context()
    if output is None:
        return [Path(made.name) for made in found.notebooks]
    path = Path(output)
    is_folder = path.is_dir() or output.endswith("/")
    if len(found.notebooks) > 1 and not is_folder:
        message = f"there are {len(found.notebooks)} notebooks; name a folder: -o {output.removesuffix('.ipynb')}/"
        raise click.UsageError(message, context)
    targets = [path / made.name for made in found.notebooks] if is_folder else [path] * len(found.notebooks)
    for target in targets:
        check_replaceable(target, overwrite)
    if is_folder and targets:
        make_folder(path)
    return targets


def _print_imported(made: ImportedNotebook) -> None:
    dag = made.dag()
    schedule = f", schedule {dag.options.schedule} ({dag.options.tz})" if dag.options.schedule else ""
    click.echo(f"{click.style(made.name, bold=True)}: {plural(len(dag.tasks), 'task')}{schedule}")
    for task in dag.order or dag.tasks:
        click.echo(f"    {task}{_after(dag.upstream[task])}")


def _imported_data(found: Imported) -> dict[str, Any]:
    return {
        "notebooks": [
            {"name": made.name, "folder": str(made.folder), **describe(made.dag())} for made in found.notebooks
        ],
        "not_carried_over": [
            {"place": left.place, "what": left.what, "reason": left.reason} for left in found.not_carried_over
        ],
    }
