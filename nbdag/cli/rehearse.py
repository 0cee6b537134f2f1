"""`rehearse`: run a notebook twice, and report how a scheduled run would differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import runs as api
from . import complete
from ._group import examples
from .notebook import NOTEBOOK
from .output import check_replaceable, overwrite_option, print_data, short_path, write_file
from .parameters import parameter_options, parameters

if TYPE_CHECKING:
    from ..runs import Rehearsal

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def kind_completions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the kinds of findings that begin with the typed text."""
    return [kind for kind in api.FINDING_KINDS if kind.startswith(incomplete)]


@click.command(
    epilog=examples(
        ("nbdag rehearse churn.ipynb", "run it twice, and print how a scheduled run would differ"),
        ("nbdag rehearse churn.ipynb --html rehearsal.html", "write the findings as a page, too"),
        ("nbdag rehearse churn.ipynb --accept network --accept clock", "leave out two kinds of findings"),
        ("nbdag deploy --rehearse churn.ipynb", "deploy it only if the rehearsal finds no error"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@parameter_options
@click.option(
    "--accept",
    multiple=True,
    metavar="KIND",
    shell_complete=kind_completions,
    help="Leave out findings of a kind, such as clock; repeatable. A comment `# nbdag: accept[clock]` does so for a "
    "line; on a line of its own, for the cell.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=1e-6,
    show_default=True,
    help="Maximum relative difference of two numbers that count as equal.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--html", "page", metavar="FILE", help="Write the findings into FILE as an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON object.")
@overwrite_option("rehearse")
def rehearse(
    notebook: Path,
    accept: Sequence[str],
    tolerance: float,
    strict: bool,
    page: str | None,
    as_json: bool,
    overwrite: bool,
    **values: Any,
) -> int:
    """Run a notebook twice, and report how a scheduled run would differ.

    Both runs use fresh kernels. Their outputs are compared with each other and with the saved ones. The second run has
    another seed of hashes, another time zone and another locale. The findings also name hidden state, randomness
    without a seed, and dependence on the clock, the locale, the user's home, absolute paths, packages and hosts.

    The cells run for real: they write files and send requests. A pipeline runs task by task, as the scheduler runs it;
    tasks that wait for approval do not run, and nobody is notified. An earlier page in FILE is replaced, any other file
    only with --overwrite.

    Exits with 1 if there is an error: a scheduled run would fail, or show other outputs than the saved notebook.
    """
    if page not in (None, "-") and not Path(str(page)).parent.is_dir():
        hint = "choose a file in an existing folder"  # checked before the runs, because they may take hours
        raise click.UsageError(f"folder {Path(str(page)).parent} does not exist; {hint}", click.get_current_context())
    if page not in (None, "-"):
        check_replaceable(Path(str(page)), overwrite, "rehearse", _is_page)
    if as_json and page == "-":
        hint = "name a file with --html, or leave out --json"
        raise click.UsageError(
            f"--json and --html - both write to standard output; {hint}", click.get_current_context()
        )
    with rehearsal_progress() as report:
        done = api.rehearse(
            notebook, accept=accept, tolerance=tolerance, parameters=parameters(**values), report=report
        )
    if page == "-":
        sys.stdout.buffer.write(api.rehearsal_page(done).encode())
    elif as_json:
        print_data(done.to_dict())
    else:
        print_rehearsal(done)
    if page not in (None, "-"):  # written last, so that an error does not hide the findings
        write_file(Path(str(page)), api.rehearsal_page(done).encode())
        if not as_json:
            click.echo(f"wrote {short_path(str(page))}")
    return 1 if done.errors or (strict and any(each.weight == "warning" for each in done.findings)) else 0


def _is_page(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a page of this command; see the template of the page."""
    return head.startswith(b"<!doctype html>") and b'<meta name="generator" content="nbdag-rehearse ' in head


def print_rehearsal(done: Rehearsal, *, err: bool = False) -> None:
    """Print the findings like a linter: place, weight, kind and message, then the evidence and the remedy."""
    path = short_path(done.notebook)
    for each in done.findings:
        weight = click.style(each.weight.value, fg=_COLOURS[each.weight], bold=True)
        place = "" if each.cell is None else f" {each.place}:"
        click.echo(f"{path}:{place} {weight} {each.kind.value}: {each.message}", err=err)
        source = done.source_line(each)
        if source:
            click.echo(f"{each.line_in_file:>6} | {source}", err=err)
        for text in each.evidence:
            click.echo(f"       - {text}", err=err)
        click.echo(click.style(f"       > {each.remedy}", dim=True), err=err)
    click.echo(f"{path}: {done.summary()}", err=err)


@contextmanager
def rehearsal_progress() -> Iterator[Any]:
    """Yield a function that shows the current step on standard error.

    A terminal shows every step on one line; a pipe or a file gets a line for each of the two runs.
    """
    if not sys.stderr.isatty():
        shown = set()

        def print_run(text: str) -> None:
            run = text.partition(":")[0]
            if run not in shown:
                shown.add(run)
                click.echo(f"rehearsal: {run}", err=True)

        yield print_run
        return
    try:
        yield lambda text: click.echo(f"\r\x1b[2K{text}", nl=False, err=True)
    finally:
        click.echo("\r\x1b[2K", nl=False, err=True)
