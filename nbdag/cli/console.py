"""A console that takes text as it is, and that nobody needs to be listening to."""

from __future__ import annotations

import os
from typing import IO

from rich.console import Console


class PatientConsole(Console):
    """Falls silent when its reader has gone. Rich would end the program, and with it the run that it tells of."""

    def __init__(self, *, file: IO[str], width: int | None = None) -> None:
        # In a notebook the answer is text that comes line by line: rich would send a new output for each change of a
        # live table, and ipykernel asks every program for colours, which rich takes for a terminal.
        in_kernel = type(file).__module__.startswith("ipykernel")
        super().__init__(
            file=file, width=width, highlight=False, markup=False, emoji=False, force_jupyter=False,
            force_terminal=False if in_kernel else None,
        )  # fmt: skip

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # What is still in the stream's buffer would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
