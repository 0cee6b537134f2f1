"""The group of commands: lazy, and the one place where an error becomes a sentence and an exit code.

A person's mistake is answered in one sentence that begins with `nbdag:`. An exception that nobody foresaw is a bug of
nbdag's: its traceback goes to a file that is named, or to the terminal with NBDAG_DEBUG=1.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any, NoReturn

import click

from ..errors import NbdagError

INTERRUPTED = 130

# What the machine refuses, rather than what nbdag got wrong.
_OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)

Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class Commands(click.Group):
    """Commands by section: name → (module in this package, one line of help)."""

    def __init__(self, name: str, *, help: str, sections: Sections) -> None:
        super().__init__(
            name,
            help=help,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            epilog="'nbdag COMMAND --help' shows a command's options, with examples. Runs are kept in the nearest "
            ".nbdag folder at or above this one, else in a new one here, or in what NBDAG_HOME names. Exit codes: 0 "
            "done, 1 the run failed or problems were found, 2 usage, 130 interrupted.",
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    expose_value=False,
                    is_eager=True,
                    callback=_version,
                    help="Show the version and exit.",
                )
            ],
        )
        self.sections = sections
        self.modules = {command: module for lines in sections.values() for command, (module, _) in lines.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self.modules.get(cmd_name)
        if module is None:
            return None
        found = import_module(f".{module}", __package__)
        # `list` and `next` are Python's own words.
        command = getattr(found, f"{cmd_name}_", None) or getattr(found, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        said = args[0]
        if said not in self.modules and not said.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(said, self.modules, n=1)
            if near:
                hint = f"did you mean '{near[0]}'?"
            elif said.endswith(".ipynb"):
                hint = f"did you mean 'run {said}'?"
            else:
                hint = f"there are {', '.join(self.modules)}"
            raise click.UsageError(f"there is no command {said!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, lines in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(command, help) for command, (_, help) in lines.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        try:
            code = super().main(args, prog_name, complete_var, False, **extra)
            sys.stdout.flush()
        except Exception as error:
            if isinstance(error, click.UsageError) and error.ctx is None:
                error.ctx = self._context_of(sys.argv[1:] if args is None else args)
            sys.exit(_answer(error, sys.argv[1:] if args is None else args))
        except KeyboardInterrupt:
            _say("interrupted")
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)

    def _context_of(self, args: Sequence[str]) -> click.Context:
        """Whose help to name where click does not say it, as of an option without its value."""
        context = click.Context(self, info_name="nbdag")
        command = self.get_command(context, args[0]) if args else None
        return context if command is None else click.Context(command, parent=context, info_name=args[0])


def fail(message: str, code: int = 1) -> NoReturn:
    """Say one sentence and leave."""
    _say(message)
    raise click.exceptions.Exit(code)


def _answer(error: Exception, args: Sequence[str]) -> int:
    """Tell the person what happened; the exit code."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone: nothing is left to be said, not even by the interpreter as it closes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else "")
        return 2
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "nbdag"
        if equals := _with_equals(args):
            _say(f"{equals} (see '{command} --help')")
            return error.exit_code
        _say(f"{_sentence(error.format_message())} (see '{command} --help')")
        return error.exit_code
    if isinstance(error, click.ClickException):
        _say(_sentence(error.format_message()))
        return error.exit_code
    if isinstance(error, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    if isinstance(error, NbdagError):
        _say(str(error))
        _show_if_debugging(error)
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        where = f" ({error.filename})" if error.filename else ""
        _say(f"{(error.strerror or str(error)).lower()}{where}: free some space or change who may write, and try again")
        _show_if_debugging(error)
        return 1
    if (lacking := _lacking(error)) is not None:
        _say(lacking)
        _show_if_debugging(error)
        return 1
    if (old := _unmet()) is not None:  # the likeliest cause, and a person can mend it
        _say(str(old))
        _show_if_debugging(error)
        return old.exit_code
    return _confess(error)


def _lacking(error: Exception) -> str | None:
    """Return what the system lacks or refuses, in one sentence; None if the error has another cause."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "the working directory was removed: change to another folder and try again"
    except OSError:
        return None
    number = error.errno if isinstance(error, OSError) else None
    is_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if number in (errno.EAGAIN, errno.ENOMEM) or isinstance(error, MemoryError) or is_thread:
        return "the system allows no further process, thread or memory: end others or raise the limits (ulimit -u, -v)"
    if number in (errno.EMFILE, errno.ENFILE):
        return "the system allows no further open file: close others or raise the limit (ulimit -n)"
    return None


def _unmet() -> NbdagError | None:
    """Return what is wrong with the installed packages, if anything is."""
    from ..packages import require

    try:
        require()
    except NbdagError as error:
        return error
    except Exception:  # the packages are broken beyond being asked: the first error says more
        return None
    return None


def _with_equals(args: Sequence[str]) -> str:
    """What `-p n=3` is answered, which other tools take; empty where nobody says so."""
    for option, said in pairwise(args):
        if option in ("-p", "-r", "--parameters", "--parameters_raw") and re.match(r"[^\W\d]\w*=", said):
            return f"{option} takes a name and a value: write {option} {said.replace('=', ' ', 1)}"
    return ""


def _confess(error: Exception) -> int:
    """An exception that nobody foresaw."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    if _debugging():
        click.echo(text, err=True)
        _say(f"this is a bug in nbdag: {what}")
        return 1
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nbdag-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        _say(f"this is a bug in nbdag: {what}; its traceback is in {file.name}, please report it")
    except OSError:
        _say(f"this is a bug in nbdag: {what}; run it again with NBDAG_DEBUG=1 to see the traceback, and report it")
    return 1


def _say(message: str) -> None:
    click.echo(f"nbdag: {message}", err=True)


def _sentence(message: str) -> str:
    """A message of click's, in our manner: no capital, no full stop."""
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _show_if_debugging(error: Exception) -> None:
    if _debugging():
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)


def _debugging() -> bool:
    return os.environ.get("NBDAG_DEBUG", "") not in ("", "0")


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"nbdag {version('nbdag')}")
        ctx.exit()


def examples(*pairs: tuple[str, str]) -> str:
    """An epilog that shows how a command is used: (command, what it does) each."""
    width = max(len(command) for command, _ in pairs)
    text = [f"  {command:<{width}}  {what}".rstrip() for command, what in pairs]
    return "\b\nExamples:\n" + "\n".join(text)
