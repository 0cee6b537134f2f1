"""`check` and `show`: what nbdag understands of a notebook. Of its code only a `%%dag` cell's is run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .. import building
from ..core.cells.describe import describe
from ..core.model.dag import Dag, Place, Problem
from ..core.model.text import plural
from . import complete
from ._group import examples
from .output import print_data, short_path, to_json

NOTEBOOK = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        ("nbdag check churn.ipynb", "errors and warnings, each with its place and a hint"),
        ("nbdag check --strict *.ipynb", "warnings count as well: for a commit hook"),
        ("nbdag check --json churn.ipynb", "tasks, edges, order and problems, for programs"),
    )
)
@click.argument("notebook", nargs=-1, required=True, type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per notebook.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
def check(notebook: Sequence[Path], as_json: bool, strict: bool) -> int:
    """Say what is wrong with a notebook.

    Nothing of it is run, but for the code of a %%dag cell, which makes tasks, with what that needs of parameters and
    setup.

    Exits with 1 where an error would keep a notebook from running. Cells are counted from 1, markdown cells included;
    in JSON from 0.
    """
    found = 0
    for path in notebook:
        dag = read_aloud(path).dag
        if as_json:
            click.echo(to_json(describe(dag), indent=2 if len(notebook) == 1 else None))
        else:
            say_problems(dag, path)
            click.echo(f"{short_path(path)}: {_count(dag)}")
        found += len(dag.problems if strict else dag.errors)
    return 1 if found else 0


@click.command(
    epilog=examples(
        ("nbdag show churn.ipynb", "the tasks in the order in which they run, and why"),
        ("nbdag show churn.ipynb -o dag.svg", "a picture; also .png, .dot and .mmd (Mermaid)"),
        ("nbdag show churn.ipynb -o - --format dot | dot -Tpdf > dag.pdf", ""),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.option("-o", "--output", metavar="FILE", help="Draw into this file; - is standard output.")
@click.option("--format", "form", metavar="FORMAT", help="svg, png, dot or mmd; else the ending of FILE says so.")
@click.option(
    "--direction",
    type=click.Choice(["auto", "TB", "LR"]),
    default="auto",
    show_default=True,
    help="From top to bottom, or from left to right.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the graph as a JSON object.")
def show(notebook: Path, output: str | None, form: str | None, direction: str, as_json: bool) -> None:
    """Draw a notebook's graph, or print it.

    A notebook with errors is shown as far as it is understood; its problems are said on standard error. Code of a
    %%dag cell is run, as by check.
    """
    dag = read_aloud(notebook).dag
    if as_json:
        print_data(describe(dag))
        return
    from .. import graphs

    if output is None and form is None:
        click.echo(graphs.listing(dag, {}))
    else:
        name = output or "-"
        picture = graphs.render(dag, form or Path(name).suffix or "svg", direction=direction)
        if name == "-":
            sys.stdout.buffer.write(picture)
        else:
            _write(Path(name), picture)
    say_problems(dag, notebook, err=True)


def read_aloud(path: Path, **said: Any) -> building.BuiltNotebook:
    """Read a notebook and build its tasks; what that prints goes to standard error."""
    built = building.read_built(path, **said)
    if built.printed:
        click.echo(built.printed.rstrip("\n"), err=True)
    return built


def say_problems(dag: Dag, path: Path, *, err: bool = False) -> None:
    """As linters do: file, place, code, sentence, hint, and the line itself."""
    places = {problem: problem.place or Place(cell=-1, line=0) for problem in dag.problems}
    for problem in sorted(dag.problems, key=lambda each: (places[each].cell, places[each].line)):
        click.echo(_line(problem, path), err=err)
        source = _source(dag, problem)
        if source and problem.place:
            click.echo(f"{problem.place.line:>6} | {source}", err=err)


def _line(problem: Problem, path: Path) -> str:
    place = f" {problem.place}:" if problem.place else ""
    severity = click.style(problem.severity, fg="red" if problem.severity == "error" else "yellow", bold=True)
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{short_path(path)}:{place} {problem.code} {severity}: {problem.message}{hint}"


def _source(dag: Dag, problem: Problem) -> str:
    cell = dag.cell_in_file(problem.place.cell) if problem.place is not None else None
    if problem.place is None or cell is None:
        return ""
    lines = cell.source.splitlines()
    return lines[problem.place.line - 1].rstrip() if 0 < problem.place.line <= len(lines) else ""


def _count(dag: Dag) -> str:
    errors = len(dag.errors)
    warnings = len(dag.problems) - errors
    said = [plural(len(dag.tasks), "task")]
    said += [plural(errors, "error")] if errors else []
    said += [plural(warnings, "warning")] if warnings else []
    return ", ".join(said) if len(said) > 1 else f"{said[0]}, no problems"


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise click.FileError(str(path), f"{why}; name a file in a folder that exists and can be written") from error
