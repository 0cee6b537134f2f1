"""Print results as a table, or as JSON or YAML for programs; format states, times and paths."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from .. import writing

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])
_HEAD = 2_000  # number of bytes at the start of a file by which a command recognises its own files


def output_option(command: F) -> F:
    """Add the option `-o table|json|yaml`; the command gets its value as the argument `form`."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="Format of the output.",
    )(command)


def print_data(data: Any, form: str = "json") -> None:
    """Print plain data as JSON or YAML, for programs."""
    if form == "yaml":
        import yaml

        click.echo(
            yaml.safe_dump(json.loads(json.dumps(data, default=str)), sort_keys=False, allow_unicode=True), nl=False
        )
    else:
        click.echo(to_json(data))


def to_json(data: Any, *, indent: int | None = 2) -> str:
    """Return the data as JSON; NaN becomes null, and an object that JSON cannot represent is converted with `str`."""
    return writing.to_json(data, indent=indent, default=str)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; cells may be `Text` objects of rich. Text too long for a column is wrapped, never cut."""
    from rich.table import Table

    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not screen.is_terminal)
    for row in rows:
        table.add_row(*row)
    screen.print(table, soft_wrap=not screen.is_terminal)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console for standard output, or for standard error. Lines are not wrapped outside a terminal."""
    from .console import PatientConsole

    stream: IO[str] = sys.stderr if stderr else sys.stdout
    return PatientConsole(file=stream, width=None if stream.isatty() else 10_000)


def state_text(state: str, screen: Console) -> Any:
    """Return a state with its sign and colour, as in graphs."""
    from rich.text import Text

    from ..graphs.marks import state_style

    style = state_style(state)
    return Text(f"{style.sign} {state}" if can_print(style.sign, screen) else state, style=style.colour)


def can_print(text: str, screen: Console) -> bool:
    """Return whether the encoding of this terminal can represent the text."""
    try:
        text.encode(screen.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def duration(length: float | None) -> str:
    """Return a duration in seconds as text; None becomes ""."""
    from ..graphs.marks import duration_text

    return "" if length is None else duration_text(length)


def moment(at: float | None) -> str:
    """Return a time, in seconds since the epoch, as text in this machine's time zone; None becomes ""."""
    return "" if at is None else datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def overwrite_option(command: str) -> Callable[[F], F]:
    """Return the option `--overwrite` of a command that replaces only its own files; see `check_replaceable`."""
    return click.option(
        "--overwrite", is_flag=True, help=f"Replace FILE even if it was not written by `nbdag {command}`."
    )


def check_replaceable(
    path: Path, overwrite: bool, command: str = "", is_own: Callable[[bytes], bool] = lambda head: False
) -> None:
    """Raise click's error if the path is a file that only --overwrite may replace.

    An empty file may be replaced, and so may a file that the command has written: `is_own` returns whether the file
    that begins with these bytes is one. A path that is no regular file, such as /dev/stdout, has no content to lose.
    """
    if overwrite or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        own = not head.strip() or is_own(head)
    except OSError:
        own = False
    if not own:
        origin = f" and was not written by `nbdag {command}`" if command else ""
        message = f"{short_path(path)} already exists{origin}; choose another file or pass --overwrite"
        raise click.UsageError(message, click.get_current_context())


def write_file(path: Path, content: bytes) -> None:
    """Write a file that the user has named. Raise click's error if that is impossible."""
    try:
        path.write_bytes(content)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.FileError(str(path), f"{reason}; choose a file in an existing, writable folder") from error


def write_picture(path: Path, picture: bytes, command: str, overwrite: bool) -> None:
    """Write a picture, also over an earlier picture of this command. Raise click's error for any other file."""
    from ..graphs import signature

    check_replaceable(path, overwrite, command, lambda head: signature.is_signed(head, command))
    write_file(path, signature.sign(picture, command))


def make_folder(path: Path) -> None:
    """Create a folder that the user has named. Raise click's error if that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.FileError(str(path), f"{reason}; choose another folder") from error


def short_path(path: Path | str) -> str:
    """Return a path in the current folder as a relative path, and any other path unchanged."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # ValueError: the path is on another drive
        return str(path)
    return str(path) if relative.startswith("..") else relative
