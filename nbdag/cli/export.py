"""`export airflow|script`: write a notebook as a DAG file of Airflow, or as a Python script."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from .. import runs
from ..export.airflow_operators import OPERATORS
from . import complete
from ._group import examples
from .notebook import NOTEBOOK
from .output import check_replaceable, overwrite_option, short_path, write_file

F = TypeVar("F", bound=Callable[..., Any])
ORIGIN = "`nbdag export "  # the first lines of an exported file contain this text

_output = click.option(
    "-o", "--output", metavar="FILE", show_default="standard output", help="Write into this file; - is standard output."
)
_overwrite = overwrite_option("export")


def _operators(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in OPERATORS if name.startswith(incomplete)]


@click.group(
    epilog=examples(
        ("nbdag export airflow churn.ipynb -o dags/churn.py", "write a DAG file for Airflow 3"),
        ("nbdag export script churn.ipynb -o churn.py", "write a Python script that needs no nbdag"),
    )
)
def export() -> None:
    """Write a notebook as a DAG file of Airflow, or as a Python script."""


@export.command(
    epilog=examples(
        ("nbdag export airflow churn.ipynb -o dags/churn.py", "tasks run by bash, on a worker of Airflow"),
        ("nbdag export airflow churn.ipynb --storage /shared/nbdag", "values pass through this folder"),
        (
            "nbdag export airflow churn.ipynb --operator external-python --python /opt/ml/bin/python",
            "in this Python",
        ),
        (
            "nbdag export airflow churn.ipynb --operator kubernetes-pod --image ml:1 --storage s3://ml/nbdag",
            "in pods",
        ),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@_output
@click.option(
    "--operator",
    default="bash",
    show_default=True,
    metavar="NAME",
    shell_complete=_operators,
    help=f"Operator of Airflow that executes the tasks: {', '.join(OPERATORS)}.",
)
@click.option(
    "--storage",
    metavar="FOLDER|URL",
    show_default="NBDAG_STORAGE, else the folder of the runs",
    help="Place of values, notebooks and logs, which every worker can write.",
)
@click.option(
    "--python",
    metavar="FILE",
    show_default="this Python",
    help="Python of the tasks, with nbdag and the packages of the notebook.",
)
@click.option("--image", metavar="NAME", help="Image of the containers, with nbdag, the notebook and its packages.")
@click.option(
    "--notebook-path",
    metavar="FILE",
    show_default="the path here",
    help="Path of the notebook where the tasks run.",
)
@_overwrite
def airflow(
    notebook: Path,
    output: str | None,
    operator: str,
    storage: str | None,
    python: str | None,
    image: str | None,
    notebook_path: str | None,
    overwrite: bool,
) -> None:
    """Write a DAG file for Airflow 3.

    The file has the schedule, retries, pools, trigger rules and dependencies of the notebook in Airflow's words. Each
    of its tasks calls `nbdag attempt`, so the Python or image of the tasks needs nbdag; Airflow itself does not. After
    a change of the notebook's code, export it again: the tasks fail if the code has another version. The files of %dag
    --with and the exact versions of %dag --requires are copied into the storage, where the tasks find them.

    A feature without an equivalent in Airflow is an error, or becomes a comment at its place. Exits with 1 on an error.
    """
    text = runs.export_airflow(
        notebook,
        operator=operator,
        storage=storage,
        python=python,
        image=image,
        notebook_there=notebook_path,
        command=_command(),
    )
    _write(text, output, overwrite)


@export.command(
    epilog=examples(
        ("nbdag export script churn.ipynb -o churn.py", "write a Python script"),
        ("python churn.py -p alpha 0.5", "run it with another parameter"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@_output
@_overwrite
def script(notebook: Path, output: str | None, overwrite: bool) -> None:
    """Write a Python script that runs the tasks one after the other, without nbdag.

    The script has the code of the cells, in the order of the tasks. `-p NAME VALUE` sets a parameter. It ends at the
    first error.

    The command rejects features that a script cannot reproduce. A comment marks each option without an effect. Exits
    with 1 if it rejects a feature.
    """
    _write(runs.export_script(notebook, command=_command()), output, overwrite)


def _command() -> str:
    """Return the command line that the exported file names as its origin."""
    return shlex.join(["nbdag", *sys.argv[1:]])


def _write(text: str, output: str | None, overwrite: bool) -> None:
    if output in (None, "-"):
        click.echo(text, nl=False)
        return
    path = Path(str(output))
    check_replaceable(path, overwrite, "export", lambda head: ORIGIN.encode() in head)
    write_file(path, text.encode())
    click.echo(f"wrote {short_path(path)}", err=True)
