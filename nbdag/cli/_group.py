"""The command group: it loads commands lazily, and turns every error into a message and an exit code.

A user's mistake is reported in one sentence that begins with `nbdag:`. An unexpected exception is a bug in nbdag: its
traceback is saved to a file, and the path of the file is printed. With NBDAG_DEBUG=1, the traceback itself is printed.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click

from ..errors import NbdagError
from ..home import FolderGoneError

INTERRUPTED = 130

# Errors of the operating system, such as a full disk. They are not reported as bugs in nbdag.
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)

_PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENODEV})

# Options that accept an empty value: YAML without parameters (papermill accepts it, too), and an approval's reason.
_MAY_BE_EMPTY = frozenset({"parameters_yaml", "parameters_base64", "why"})

Sections = Mapping[str, Mapping[str, tuple[str, str]]]


class Commands(click.Group):
    """The commands by section; each name maps to its module in this package and its one-line help."""

    def __init__(self, name: str, *, help: str, sections: Sections) -> None:
        super().__init__(
            name,
            help=help,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            epilog="'nbdag COMMAND --help' shows a command's options and examples. Runs are stored in the folder "
            "NBDAG_HOME if it is set, else in the nearest .nbdag folder at or above the current folder, else in a new "
            ".nbdag folder here. A .nbdag folder that belongs to another user, or that others may write, is used only "
            "if NBDAG_HOME names it; this also holds for root and in containers. Exit codes: 0 success, 1 the run "
            "failed or problems were found, 2 wrong usage, 130 interrupted.",
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
        # `list` and `next` are builtins and `import` is a keyword, so the functions of these commands end with `_`.
        command = getattr(found, f"{cmd_name}_", None) or getattr(found, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.modules and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self.modules, n=1)
            if near:
                hint = f"did you mean '{near[0]}'?"
            elif name.lower().endswith((".ipynb", ".py", ".md")):
                hint = f"did you mean 'run {name}'?"
            else:
                hint = f"expected one of {', '.join(self.modules)}"
            raise click.UsageError(f"unknown command {name!r}; {hint}", ctx)
        found = super().resolve_command(ctx, args)
        if found[1] is not None and not ctx.resilient_parsing:
            _reject_empty_values(found[1], found[2], ctx)
        return found

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
        closed = _open_standard_streams()
        words = sys.argv[1:] if args is None else list(args)
        try:
            _reject_invalid_text(words)
            code = super().main(words, prog_name, complete_var, False, **extra)
            sys.stdout.flush()
            if closed is not None and closed.is_used and not code:
                _print_message("cannot write to standard output (it is closed); redirect it to a file or to /dev/null")
                code = 1
        except Exception as error:
            if isinstance(error, click.UsageError) and error.ctx is None:
                error.ctx = self._context_of(words)
            sys.exit(_report_error(error, words))
        except KeyboardInterrupt:
            _print_message("interrupted")
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)

    def _context_of(self, args: Sequence[str]) -> click.Context:
        """Return the click context of the called command, to name the command in an error message.

        click raises some errors without a context, such as the error for an option without a value.
        """
        context = click.Context(self, info_name="nbdag")
        command = self.get_command(context, args[0]) if args else None
        return context if command is None else click.Context(command, parent=context, info_name=args[0])


class _ClosedOutput(io.FileIO):
    """The null device in place of a closed standard output."""

    is_used = False  # whether output was lost

    def write(self, data: Any) -> int:
        """Discard the output, and record that output was lost."""
        self.is_used = True
        return super().write(data)


def _open_standard_streams() -> _ClosedOutput | None:
    """Open the null device in place of each closed standard stream (`>&-`).

    Without the null device, the next file to be opened, such as the database, would get the file descriptor of the
    closed stream. Text printed to the stream would then be written into that file.

    Return the object that replaces standard output, or None if standard output was open.
    """
    closed = None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            # `os.open` uses the lowest free file descriptor.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
        raw = _ClosedOutput(os.devnull, "w" if number else "r")
        closed = raw if number == 1 else closed
        buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
        setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8"))
    plain = sys.__stdout__
    if plain is not None and sys.stdout is plain and isinstance(plain.buffer, io.FileIO):  # PYTHONUNBUFFERED is set
        # The buffer keeps text that cannot be written. So flushing it fails again in `_report_error`,
        # which then knows that the error came from standard output.
        writer = io.BufferedWriter(plain.buffer)
        sys.stdout = io.TextIOWrapper(writer, plain.encoding, plain.errors, line_buffering=True)
    return closed


def _reject_invalid_text(words: Sequence[str]) -> None:
    """Reject arguments that are not valid text, because the database, JSON and notebooks cannot store them."""
    for number, word in enumerate(words, 1):
        shown = ascii(word)
        try:
            word.encode()
        except UnicodeEncodeError:
            hint = "rename the file, or use a UTF-8 locale"
            raise click.UsageError(f"argument {number} ({shown}) contains a byte that is not UTF-8; {hint}") from None
        if "\0" in word:
            raise click.UsageError(f"argument {number} ({shown}) contains a null character; remove it")


def _reject_empty_values(command: click.Command, words: Sequence[str], parent: click.Context) -> None:
    """Reject an empty value of an option or argument, such as `--storage "$PLACE"` with a variable that is not set.

    Without this check, the command would use the default. Options whose type or callback checks the value are skipped,
    because they report their own errors.
    """
    options: dict[str, Any] = {**command.context_settings, "allow_interspersed_args": command.allow_interspersed_args}
    context = click.Context(command, parent=parent, info_name=command.name, **options)
    given, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group):
        if rest and (inner := command.get_command(context, rest[0])) is not None:
            _reject_empty_values(inner, rest[1:], context)
        return
    for parameter in command.params:
        found = given.get(parameter.name or "")
        values = found if isinstance(found, list | tuple) else [found]
        is_text = isinstance(parameter.type, click.types.StringParamType | click.Path) and parameter.callback is None
        if is_text and parameter.name not in _MAY_BE_EMPTY and any(not str(each).strip() for each in values):
            may_omit = "" if isinstance(parameter, click.Argument) and parameter.required else ", or omit it"
            raise click.BadParameter(f"it is empty; write a value{may_omit}", context, parameter)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a one-sentence error and exit with `code`."""
    _print_message(message)
    raise click.exceptions.Exit(code)


def _report_error(error: Exception, args: Sequence[str]) -> int:
    """Print the error's message and return the exit code."""
    if isinstance(error, OSError) and not _can_flush():
        # Writing to the null device avoids an error when the interpreter flushes the stream at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A broken pipe is not reported: the program that read the output has exited.
        if not isinstance(error, BrokenPipeError):
            _print_message(f"cannot write to standard output ({(error.strerror or str(error)).lower()})")
        return 1
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.ctx.get_help() if error.ctx else "")
        return 2
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "nbdag"
        if equals := _with_equals(args):
            _print_message(f"{equals} (see '{command} --help')")
            return error.exit_code
        message = _uncapitalized(error.format_message())
        if _is_output_option(error):
            message = "no such option '--json'; did you mean '--output json'?"
        _print_message(f"{message} (see '{command} --help')")
        return error.exit_code
    if isinstance(error, click.ClickException):
        _print_message(_uncapitalized(error.format_message()))
        return error.exit_code
    if isinstance(error, click.Abort):
        _print_message("interrupted")
        return INTERRUPTED
    if isinstance(error, NbdagError):
        _print_message(str(error))
        _show_if_debugging(error)
        return error.exit_code
    if isinstance(error, FileNotFoundError) and not _folder_exists():
        _print_message(str(FolderGoneError()))
        return FolderGoneError.exit_code
    if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
        where = f" ({error.filename})" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        _print_message(f"{reason}{where}; free disk space or change the permissions, and try again")
        _show_if_debugging(error)
        return 1
    if isinstance(error, OSError) and error.errno in _PATH_ERRORS:
        where = f": {str(error.filename)[:200]}" if error.filename else ""
        _print_message(f"{(error.strerror or str(error)).lower()}{where}; choose another path")
        _show_if_debugging(error)
        return 2
    if (lacking := _lacking(error)) is not None:
        _print_message(lacking)
        _show_if_debugging(error)
        return 1
    # Any other error is most likely caused by a missing package, which the user can install.
    if (packages := _package_error()) is not None:
        _print_message(str(packages))
        _show_if_debugging(error)
        return packages.exit_code
    return _report_bug(error)


def _can_flush() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _folder_exists() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _lacking(error: Exception) -> str | None:
    """Return a message if the system has reached a limit (processes, memory, files), or None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    is_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if number in (errno.EAGAIN, errno.ENOMEM) or isinstance(error, MemoryError) or is_thread:
        return "the limit of processes, threads or memory is reached: end other programs or raise it (ulimit -u, -v)"
    if number in (errno.EMFILE, errno.ENFILE):
        return "the limit of open files is reached: close files or raise it (ulimit -n)"
    return None


def _package_error() -> NbdagError | None:
    """Return the error for missing or outdated packages, or None if all requirements are met."""
    from ..packages import require

    try:
        require()
    except NbdagError as error:
        return error
    except Exception:  # a broken package can make this check fail; then the original error is reported
        return None
    return None


def _is_output_option(error: click.UsageError) -> bool:
    """Return whether --json was passed to a command that has --output instead."""
    known = error.ctx.command.params if error.ctx and isinstance(error, click.NoSuchOption) else []
    return "--json" in str(getattr(error, "option_name", "")) and any("--output" in each.opts for each in known)


def _with_equals(args: Sequence[str]) -> str:
    """Return a hint if a parameter is written as in other tools (`-p n=3`), or "" if none is."""
    for option, value in pairwise(args):
        if option in ("-p", "-r", "--parameters", "--parameters_raw") and re.match(r"[^\W\d]\w*=", value):
            return f"{option} takes a name and a value: write {option} {value.replace('=', ' ', 1)}"
    return ""


def _report_bug(error: Exception) -> int:
    """Save or print the traceback of an unexpected exception, and return the exit code."""
    import tempfile
    import traceback

    text = _masked("".join(traceback.format_exception(error)))
    what = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    if _debugging():
        click.echo(text, err=True)
        _print_message(f"this is a bug in nbdag: {what}")
        return 1
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nbdag-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        _print_message(f"this is a bug in nbdag: {what}; please report it with its traceback, in {file.name}")
    except OSError:
        _print_message(f"this is a bug in nbdag: {what}; run again with NBDAG_DEBUG=1 and report the traceback")
    return 1


def _print_message(message: str) -> None:
    click.echo(f"nbdag: {_masked(message)}", err=True)


def _masked(text: str) -> str:
    """Mask the secrets that this process has looked up, if any."""
    secrets = sys.modules.get("nbdag.secrets")
    return text if secrets is None else str(secrets.mask(text))


def _uncapitalized(message: str) -> str:
    """Return click's message in nbdag's style: no initial capital letter, no final full stop."""
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _show_if_debugging(error: Exception) -> None:
    if _debugging():
        import traceback

        click.echo(_masked("".join(traceback.format_exception(error))), err=True)


def _debugging() -> bool:
    return os.environ.get("NBDAG_DEBUG", "") not in ("", "0")


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"nbdag {version('nbdag')}")
        ctx.exit()


def examples(*pairs: tuple[str, str]) -> str:
    """Return the "Examples:" section of a command's help, from pairs of a command and its effect."""
    width = max(len(command) for command, _ in pairs)
    text = [f"  {command:<{width}}  {effect}".rstrip() for command, effect in pairs]
    return "\b\nExamples:\n" + "\n".join(text)
