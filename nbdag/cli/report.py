"""`report`: write the report of a run as an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import runs as api
from ._group import examples
from .history import DAG, RUN
from .output import check_replaceable, overwrite_option, short_path, write_file

if TYPE_CHECKING:
    from ..html_report import Code


@click.command(
    epilog=examples(
        ("nbdag report latest -o report.html", "a page of the latest run, to send or to keep"),
        ("nbdag report latest --code folded -o report.html", "the code is folded; a click shows it"),
        ("nbdag report --dag churn --code hidden -o -", "write a page without code to standard output"),
    )
)
@RUN
@DAG
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="report.html",
    show_default=True,
    help="The page's file; - is standard output.",
)
@click.option(
    "--code",
    type=click.Choice(["shown", "folded", "hidden"]),
    default="shown",
    show_default=True,
    help="Whether the page shows the code of the cells.",
)
@overwrite_option("report")
def report(run: str, dag: str | None, output: str, code: Code, overwrite: bool) -> None:
    """Write the report of a run as one self-contained HTML file.

    The page is one file that needs no network: pictures are embedded, formulas are drawn by the browser. RUN is a run's
    id, an unambiguous prefix of an id, or 'latest'. For an unfinished run, the page shows the tasks that have ended.

    An earlier report in FILE is replaced, any other file only with --overwrite.
    """
    if output != "-":
        check_replaceable(Path(output), overwrite, "report", _is_report)
    page = api.report_html(run, dag, code=code).encode()
    if output == "-":
        click.echo(page, nl=False)
        return
    write_file(Path(output), page)
    click.echo(short_path(output))


def _is_report(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a page of this command; see the template of the page."""
    return head.startswith(b"<!DOCTYPE html>") and b'content="nbdag ' in head
