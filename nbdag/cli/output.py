"""Answers as a table for people, or as JSON or YAML for programs; and how states look in a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """`-o table|json|yaml`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How to print it.",
    )(command)


def print_data(data: Any, form: str = "json") -> None:
    """Plain data, for programs."""
    if form == "yaml":
        import yaml

        click.echo(yaml.safe_dump(json.loads(to_json(data)), sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(to_json(data))


def to_json(data: Any, *, indent: int | None = 2) -> str:
    """JSON; what it has no word for becomes its text."""
    return json.dumps(data, indent=indent, ensure_ascii=False, default=str)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns for people; cells may be rich's texts. Nothing is cut: what does not fit is folded."""
    from rich.table import Table

    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not screen.is_terminal)
    for row in rows:
        table.add_row(*row)
    screen.print(table, soft_wrap=not screen.is_terminal)


def console(*, stderr: bool = False) -> Console:
    """Rich's console for one of our streams. In a pipe a line is as long as it needs to be."""
    from .console import PatientConsole

    stream: IO[str] = sys.stderr if stderr else sys.stdout
    return PatientConsole(file=stream, width=None if stream.isatty() else 10_000)


def state_text(state: str, screen: Console) -> Any:
    """A state with its sign and colour, as pictures tell it."""
    from rich.text import Text

    from ..graphs.marks import state_style

    like = {"cancelled": "skipped"}.get(state, state)  # the one state that runs have and tasks have not
    looks = state_style(like)
    return Text(f"{looks.sign} {state}" if can_print(looks.sign, screen) else state, style=looks.colour)


def can_print(text: str, screen: Console) -> bool:
    """Whether this terminal has the characters."""
    try:
        text.encode(screen.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def duration(length: float | None) -> str:
    """A duration for people."""
    from ..graphs.marks import duration_text

    return "" if length is None else duration_text(length)


def moment(at: float | None) -> str:
    """A time for people, in this machine's zone."""
    return "" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_path(path: Path | str) -> str:
    """A path as a person here would type it."""
    try:
        near = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if near.startswith("..") else near
