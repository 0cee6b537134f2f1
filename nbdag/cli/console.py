"""A rich console that prints text literally and survives a closed output."""

from __future__ import annotations

import os
from typing import IO

from rich.console import Console


class PatientConsole(Console):
    """A console that stops printing once its output is closed.

    A rich console would exit the program instead, and so stop the run whose progress is printed.
    """

    def __init__(self, *, file: IO[str], width: int | None = None) -> None:
        # In a notebook, rich would send a new output for each change of a live table, so plain lines are printed.
        # ipykernel sets FORCE_COLOR, which would make rich assume a terminal.
        in_kernel = type(file).__module__.startswith("ipykernel")
        super().__init__(
            file=file, width=width, highlight=False, markup=False, emoji=False, force_jupyter=False,
            force_terminal=False if in_kernel else None,
        )  # fmt: skip

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # Buffered text would raise the same error again when the interpreter flushes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
