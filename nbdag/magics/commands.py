"""`%nbdag SUBCOMMAND`: the commands of the command line, and in addition `load`, which works only in a kernel."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from ..errors import NbdagError

if TYPE_CHECKING:
    from ..frontend.load_task import Loaded

# Commands that read one notebook; without an argument, they read the notebook of this kernel.
_OF_A_NOTEBOOK = ("check", "show", "suggest", "deploy", "run", "rehearse")


def run_command(text: str, *, notebook: Path | None, load_task: Callable[..., Loaded]) -> None:
    """Run a command; what it prints appears below the cell. `notebook` is this kernel's notebook, or None if unknown.

    If the command fails, raise `UsageError` with one sentence.
    """
    import click

    from ..cli import main

    try:
        arguments = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(f"%nbdag: {str(error).lower()}") from None
    try:
        if arguments[:1] == ["load"]:
            from .load_command import load

            code = load.main(args=arguments[1:], prog_name="%nbdag load", standalone_mode=False, obj=load_task)
        else:
            defaults = {name: {"notebook": _argument(name, notebook)} for name in _OF_A_NOTEBOOK} if notebook else {}
            code = main.main(
                args=arguments or ["--help"], prog_name="%nbdag", standalone_mode=False, default_map=defaults
            )
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    except NbdagError as error:
        raise UsageError(str(error)) from None
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
    if code:
        name = next((word for word in arguments if not word.startswith("-")), "")
        raise UsageError(f"%nbdag {name} ended with exit code {code}")


def _argument(command: str, notebook: Path) -> str | list[str]:
    return [str(notebook)] if command == "check" else str(notebook)
