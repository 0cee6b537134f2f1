"""A cell that is a shell script.

    %%task fetch --operator bash
    curl -fsS {url} -o "data/{day:%Y-%m-%d}.csv"
    wc -l data/*.csv

`{name}`, and any expression that begins with a name (`{day:%Y-%m-%d}`, `{paths[0]}`), is replaced by its value where
the notebook's parameters, setup or tasks set that name. The value is quoted as its place needs it: whatever it holds,
the shell takes it for text. What no cell sets stays as it stands, so `awk '{print}'` and `jq '{id}'` are the shell's,
as `{a,b}` is; `{{name}}` is `{name}` for the shell, and comments are left alone. `$name` is the value as an environment
variable, of which the shell makes several words where it is not in quotes; what the script itself sets, and PATH, HOME
and the like, are the shell's.

The script is bash's, under `set -e`: it ends at the first command that fails (`set +e` goes on). What it prints appears
as it comes. A status other than 0 fails the task, 99 skips it, as in Airflow. With `--out NAME`, what it printed to
standard output becomes the string NAME.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO, Any

from ..core.options.options import TaskOptions
from ..errors import NbdagError, Skip
from . import BodyWarning, OperatorError, known_names, script
from .tasks import Operator

SKIP = 99  # the exit status that skips the task
_RUN = '__import__("nbdag.operators.bash", fromlist=["run"]).run('
# How a value is written so that the shell takes it as it is, by what it stands in.
_QUOTED: dict[str, Callable[[str], str]] = {
    script.CODE: shlex.quote,
    script.PAREN: shlex.quote,
    script.SINGLE: lambda value: value.replace("'", r"'\''"),
    script.DOUBLE: lambda value: re.sub(r'([\\"$`])', r"\\\1", value),
    script.HERE: lambda value: re.sub(r"([\\$`])", r"\\\1", value),
    script.RAW_HERE: lambda value: value,
}


class ScriptError(NbdagError):
    """A script ended with a status other than 0."""

    def __init__(self, status: int, last: str) -> None:
        super().__init__(status, last)
        self.status = status  # negative: the signal that ended it
        self.last = last  # the last line that it printed to standard error

    def __str__(self) -> str:
        said = f": {self.last}" if self.last else ""
        if self.status < 0:
            return f"the script was ended by {signal.Signals(-self.status).name}{said}"
        return f"the script failed with status {self.status}{said}"

    def _render_traceback_(self) -> list[str]:
        # IPython asks for it. The lines of Python that ran the script are nothing that its author wrote.
        return [f"{type(self).__name__}: {self}"]


class Bash(Operator):
    """Makes a call of `run` whose pieces are the script, each on its own lines."""

    def __init__(self, task_id: str | None = None, body: str = "", *, bash_command: str = "", **options: Any) -> None:
        super().__init__(task_id, body or bash_command, **options)

    def source(self, body: str, options: TaskOptions) -> str:
        if len(options.out) > 1:
            raise OperatorError(
                "a script has one standard output, and --out names several variables", hint="name one with --out"
            )
        target = f"{options.out[0]} = " if options.out else ""
        end = "" if options.out else ";"  # nothing to display
        return f"{target}{_RUN}{', '.join(script_pieces(body, known_names()))}){end}"

    def body_warnings(self, body: str) -> Iterator[BodyWarning]:
        """Braces that are left to the shell, though a name that a cell sets is nearly the same."""
        known = known_names() or ()
        for left in script.parse_script(body, known)[1]:
            for name in sorted(left.names):
                near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
                if near:
                    message = f"no cell sets {name}, so {{{left.field}}} is left to the shell as it stands"
                    yield left.line, message, f"did you mean {near[0]}?"


def script_pieces(text: str, known: Collection[str] | None = None) -> list[str]:
    """Python for what `run` takes: each piece on the script's own lines. `known`: see `script.parse_script`."""
    made = []
    for part in script.parse_script(text, known)[0]:
        made.append(_literal(part.text) if part.within is None else f'({part.within!r}, f"""{{{part.text}}}""")')
    return made


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\x00")
    return f'"""{escaped}"""'


def run(*pieces: str | tuple[str, str]) -> str:
    """Run a script and pass on what it prints, as it comes; its standard output is the answer, as `$(…)` gives it.

    A piece is text of the script, or a value with what it stands in: quotes of the shell's, or `$name`. Raises
    `ScriptError`, or skips the task where the script asks for it.
    """
    text, variables = assemble(pieces)
    try:
        process = subprocess.Popen(
            ["bash", "-e", "-c", text, "bash"],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NbdagError("there is no bash on this machine's PATH; install it, or write the task in Python") from None
    try:
        printed, errors = _pass_on(process)
        status = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if status == SKIP:
        raise Skip(f"the script ended with status {SKIP}")
    if status:
        lines = errors.split("\n")
        raise ScriptError(status, next((line.strip() for line in reversed(lines) if line.strip()), ""))
    return printed.rstrip("\n")


def assemble(pieces: Iterable[str | tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """The script as bash is given it, and the variables that it finds in its environment."""
    text, variables = "", {}
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        elif piece[0].startswith("$"):
            variables[piece[0][1:]] = piece[1]
        else:
            text += _QUOTED[piece[0]](piece[1])
    return text, variables


def _pass_on(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Print what the process prints until it closes both streams; all of the one and the end of the other."""
    assert process.stdout is not None and process.stderr is not None
    printed: list[str] = []
    errors = ""
    decoders = {}
    with process.stdout, process.stderr, selectors.DefaultSelector() as ready:
        for stream in (process.stdout, process.stderr):
            decoders[stream.fileno()] = codecs.getincrementaldecoder("utf-8")("replace")
            ready.register(stream, selectors.EVENT_READ)
        while ready.get_map():
            for key, _ in ready.select():
                data = os.read(key.fd, 65_536)
                text = decoders[key.fd].decode(data, final=not data)
                if key.fileobj is process.stdout:
                    printed.append(text)
                    _show(text, sys.stdout)
                else:
                    errors = (errors + text)[-10_000:]
                    _show(text, sys.stderr)
                if not data:
                    ready.unregister(key.fileobj)
    return "".join(printed), errors


def _show(text: str, stream: IO[str]) -> None:
    if text:
        stream.write(text)
        stream.flush()
