"""A run as a terminal shows it, as SVG.

`nbdag run` writes to a pseudo-terminal; rich draws the text that the terminal shows at the end.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from rich.text import Text

COLUMNS, ROWS = 84, 40
# The sequences that rich's live table uses to draw over itself; colours stay in the text.
_MOVES = re.compile(r"\x1b\[(\d*)A|\x1b\[2K|\x1b\[\?25[lh]|\r\n?|\n")
_WEB_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.S)  # a picture in a README cannot load any
_WHITE_FRAME, _GREY_FRAME = 'stroke="rgba(255,255,255,0.35)"', 'stroke="#d0d7de"'  # rich assumes a dark page


def terminal(words: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> str:
    """Return an SVG of a terminal in which this nbdag command has run to its end in this folder."""
    printed = _printed([sys.executable, "-m", "nbdag", *words], folder, environment)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "dim"), (" ".join(["nbdag", *words]), "bold")))
    for line in screen(printed):
        console.print(Text.from_ansi(line), soft_wrap=True)
    console.print()  # else the last line's underscores are cut off
    drawn = console.export_svg(title="", theme=DEFAULT_TERMINAL_THEME, unique_id="run")
    return _WEB_FONTS.sub("", drawn).replace(_WHITE_FRAME, _GREY_FRAME)


def _printed(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Return all that the command writes to a terminal of its own; raise `CalledProcessError` where it fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        chunks = []
        while chunk := _read(ours):
            chunks.append(chunk)
    os.close(ours)
    text = b"".join(chunks).decode()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    return text


def _read(terminal: int) -> bytes:
    """Return the next bytes, or none once every process has closed the terminal."""
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux reports the end of a terminal as an error
        return b""


def screen(printed: str) -> list[str]:
    """Return the lines that a terminal shows after it was sent this text."""
    lines, row, end = [""], 0, 0
    for move in _MOVES.finditer(printed):
        lines[row] += printed[end : move.start()]
        end = move.end()
        if move[0].endswith("\n"):
            row += 1
            lines += [""] * (row == len(lines))
        elif move[0].endswith("A"):
            row = max(0, row - int(move[1] or 1))
        elif move[0].endswith("2K"):
            lines[row] = ""
    lines[row] += printed[end:]
    while lines and not lines[-1]:
        lines.pop()
    return lines
