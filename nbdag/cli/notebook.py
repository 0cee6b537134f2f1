"""`show`: list the tasks of a notebook, or draw its graph.

The code of task cells is analysed, not executed; only a `%%dag` cell is executed, to build its tasks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .. import building
from ..core.cells.describe import describe
from ..core.model.dag import Dag, Place, Problem
from ..core.model.text import join_names
from ..core.options.option_types import nearest
from . import complete
from ._group import examples
from .output import overwrite_option, print_data, short_path, write_picture

NOTEBOOK = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        ("nbdag show churn.ipynb", "list the tasks in run order, with their inputs"),
        ("nbdag show churn.ipynb -o dag.svg", "draw the graph; also .png, .dot and .mmd (Mermaid)"),
        ("nbdag show churn.ipynb -o dag.svg --fold eu", "draw the tasks eu.extract, eu.load, … as one box"),
        ("nbdag show churn.ipynb -o - --format dot | dot -Tpdf > dag.pdf", "draw it as a PDF file"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option("-o", "--output", metavar="FILE", help="Draw the graph into this file; - is standard output.")
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    show_default="the extension of FILE",
    help="Format of the drawing: svg, png, dot or mmd.",
)
@click.option(
    "--direction",
    type=click.Choice(["auto", "TB", "LR"]),
    default="auto",
    show_default=True,
    help="Direction of the drawing: top to bottom (TB) or left to right (LR).",
)
@click.option("--fold", "folded", multiple=True, metavar="GROUP", help="Draw a group of tasks as one box; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the graph as a JSON object.")
@overwrite_option("show")
def show(
    notebook: Path,
    output: str | None,
    form: str | None,
    direction: str,
    folded: tuple[str, ...],
    as_json: bool,
    overwrite: bool,
) -> None:
    """List a notebook's tasks in run order, or draw its graph.

    The graph of a notebook with errors may be incomplete; its problems are printed on standard error. A %%dag cell is
    executed, as by `nbdag check`. An earlier drawing in FILE is replaced, any other file only with --overwrite.
    """
    dag = read_notebook(notebook).dag
    if as_json:
        print_data(describe(dag))
        return
    from .. import graphs

    unknown = next((group for group in folded if group not in dag.groups), None)
    if unknown is not None:
        near = nearest(unknown, dag.groups)
        known = f"did you mean {near}?" if near else f"the groups are {join_names(dag.groups) or 'none'}"
        raise click.UsageError(f"unknown group {unknown!r}; {known}", click.get_current_context())
    drawn = graphs.fold(dag, graphs.folded_groups(dag, folded)) if folded else dag
    if output is None and form is None:
        click.echo(graphs.listing(drawn, {}))
    else:
        name = output or "-"
        picture = graphs.render(drawn, form or Path(name).suffix or "svg", direction=direction)
        if name == "-":
            sys.stdout.buffer.write(picture)
        else:
            write_picture(Path(name), picture, "show", overwrite)
    print_problems(dag, notebook, err=True)


def read_notebook(path: Path, **options: Any) -> building.BuiltNotebook:
    """Read a notebook, build its tasks, and print the output of the build on standard error."""
    built = building.read_built(path, **options)
    if built.printed:
        click.echo(built.printed.rstrip("\n"), err=True)
    return built


def print_problems(dag: Dag, path: Path, *, err: bool = False) -> None:
    """Print the problems like a linter: file, place, problem code, message, hint, and source line."""
    places = {problem: problem.place or Place(cell=-1, line=0) for problem in dag.problems}
    for problem in sorted(dag.problems, key=lambda each: (places[each].cell, places[each].line)):
        click.echo(_line(problem, path), err=err)
        source = _source(dag, problem)
        if source and problem.place:
            click.echo(f"{problem.place.text_line or problem.place.line:>6} | {source}", err=err)


def _line(problem: Problem, path: Path) -> str:
    place = f" {problem.place}:" if problem.place else ""
    if problem.place and problem.place.text_line:
        place = f"{problem.place.text_line}:"  # the format of compiler messages, so that editors can open the line
    severity = click.style(problem.severity, fg="red" if problem.severity == "error" else "yellow", bold=True)
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{short_path(path)}:{place} {problem.code} {severity}: {problem.message}{hint}"


def _source(dag: Dag, problem: Problem) -> str:
    cell = dag.cell_in_file(problem.place.cell) if problem.place is not None else None
    if problem.place is None or cell is None:
        return ""
    lines = cell.source.splitlines()
    return lines[problem.place.line - 1].rstrip() if 0 < problem.place.line <= len(lines) else ""
