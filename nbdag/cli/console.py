"""A rich console that prints text literally and survives a closed output."""

from __future__ import annotations

import os
from typing import IO

from rich.console import Console


class PatientConsole(Console):
    """A console that stops printing once its output is closed.

    Rich's own console would exit the program instead, and with it the run whose progress it prints.
    """

    def __init__(self, *, file: IO[str], width: int | None = None) -> None:
        # A notebook gets plain lines, because rich would send a new output for each change of a live table. ipykernel
        # sets FORCE_COLOR, from which rich would conclude that it writes to a terminal.
        in_kernel = type(file).__module__.startswith("ipykernel")
        super().__init__(
            file=file, width=width, highlight=False, markup=False, emoji=False, force_jupyter=False,
            force_terminal=False if in_kernel else None,
        )  # fmt: skip

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # The text still in the stream's buffer would fail again when the interpreter flushes it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
