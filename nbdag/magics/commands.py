"""`%nbdag SUBCOMMAND`: the command line, called in this kernel."""

from __future__ import annotations

import shlex
import sys

from IPython.core.error import UsageError

from ..errors import NbdagError


def run_command(text: str) -> None:
    """Run a command, which prints into the cell's output.

    If the command fails, raise `UsageError` with one sentence.
    """
    import click

    from ..cli import main

    try:
        arguments = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(f"%nbdag: {str(error).lower()}") from None
    try:
        code = main.main(args=arguments or ["--help"], prog_name="%nbdag", standalone_mode=False)
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
