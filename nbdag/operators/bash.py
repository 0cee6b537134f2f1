"""The operator `bash`: a cell that is a shell script.

    %%task fetch --operator bash
    curl -fsS {url} -o "data/{day:%Y-%m-%d}.csv"
    wc -l data/*.csv

`{name}`, and any expression that begins with a name (`{day:%Y-%m-%d}`, `{paths[0]}`), is replaced by its value if the
notebook's parameters, setup or tasks set that name. The value is quoted according to its position, so the shell always
treats it as text. Names that no cell sets are not replaced: `awk '{print}'`, `jq '{id}'`, `{a,b}` and comments are
passed to the shell unchanged. `{{name}}` is passed to the shell as `{name}`. `$name` is the value as an environment
variable, which the shell splits into words outside of quotes. `$name` is not replaced if the script itself sets the
variable, nor for variables such as PATH and HOME.

The script runs in bash under `set -e`, so it ends at the first command that fails (`set +e` turns this off). Output
appears without delay. As in Airflow, exit status 99 skips the task, and any other status except 0 fails it. With
`--out NAME`, the standard output is assigned to the variable NAME.
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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import IO, Any

from ..core.options.options import TaskOptions
from ..errors import NbdagError, Skip, error
from . import BodyWarning, OperatorError, known_names, script
from .tasks import Operator

SKIP = 99  # exit status of a script that skips the task
_RUN = '__import__("nbdag.operators.bash", fromlist=["run"]).run('
# Key: quotes around a value in the script; value: function that escapes the value so that the shell does not interpret
# it.
_QUOTED: dict[str, Callable[[str], str]] = {
    script.CODE: shlex.quote,
    script.PAREN: shlex.quote,
    script.SINGLE: lambda value: value.replace("'", r"'\''"),
    script.DOUBLE: lambda value: re.sub(r'([\\"$`])', r"\\\1", value),
    script.HERE: lambda value: re.sub(r"([\\$`])", r"\\\1", value),
    script.RAW_HERE: lambda value: value,
}


@error
class ScriptError(NbdagError):
    """A script failed."""

    status: int  # the script's exit status; a negative number is the signal that killed it
    last: str  # the last line that the script wrote to standard error
    template = "the script {outcome}{detail}"

    @property
    def outcome(self) -> str:
        """A description of the exit status or signal."""
        if self.status < 0:
            return f"was killed by {signal.Signals(-self.status).name}"
        return f"failed with status {self.status}"

    @property
    def detail(self) -> str:
        """The last line of standard error, as a suffix of the message."""
        return f": {self.last}" if self.last else ""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. It omits the traceback, because the traceback shows no code of the user.
        return [f"{type(self).__name__}: {self}"]


class Bash(Operator):
    """Translates a script into a call of `run`.

    The arguments of the call are the pieces of the script, each on its original line.
    """

    def __init__(self, task_id: str | None = None, body: str = "", *, bash_command: str = "", **options: Any) -> None:
        super().__init__(task_id, body or bash_command, **options)

    def source(self, body: str, options: TaskOptions) -> str:
        if len(options.out) > 1:
            raise OperatorError(
                "--out has several variables, but a script has one standard output",
                hint="write one variable after --out",
            )
        target = f"{options.out[0]} = " if options.out else ""
        end = "" if options.out else ";"  # `;` prevents the display of the result
        return f"{target}{_RUN}{', '.join(script_pieces(body, known_names()))}){end}"

    def body_warnings(self, body: str) -> Iterator[BodyWarning]:
        """Yield a warning for each unknown name in braces that is similar to a name that a cell sets."""
        known = known_names() or ()
        for unresolved in script.parse_script(body, known)[1]:
            for name in sorted(unresolved.names):
                near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
                if near:
                    message = f"no cell sets {name}, so {{{unresolved.field}}} is passed to the shell unchanged"
                    yield unresolved.line, message, f"did you mean {near[0]}?"


def script_pieces(text: str, known: Collection[str] | None = None) -> list[str]:
    """Return the arguments of `run` as Python source; each piece keeps its line of the script.

    For `known`, see `parse_script`.
    """
    made = []
    for piece in script.parse_script(text, known)[0]:
        made.append(_literal(piece.text) if piece.within is None else f'({piece.within!r}, f"""{{{piece.text}}}""")')
    return made


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\x00")
    return f'"""{escaped}"""'


def run(*pieces: str | tuple[str, str]) -> str:
    """Run a script, forward its output at once, and return its standard output as `$(…)` does.

    A piece is a text of the script, or a pair: the quotes around a value (or `$name`), and the value. Raise
    `ScriptError` if the script fails, `Skip` if it exits with status 99.
    """
    text, variables = assemble(pieces)
    return run_command(text, {**os.environ, **variables})


def run_command(
    script: str,
    environment: Mapping[Any, Any],
    *,
    cwd: str | None = None,
    errexit: bool = True,
    skips: Collection[int] = (SKIP,),
) -> str:
    """Run a script in this environment, forward its output at once, and return its standard output.

    With `errexit`, the first command that fails ends the script. An exit status in `skips` skips the task.
    """
    try:
        process = subprocess.Popen(
            ["bash", *(["-e"] if errexit else []), "-c", script, "bash"],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NbdagError("no bash in PATH; install it, or write the task in Python") from None
    try:
        printed, errors = _forward_output(process)
        status = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if status in skips:
        raise Skip(f"the script exited with status {status}")
    if status:
        lines = errors.split("\n")
        raise ScriptError(status, next((line.strip() for line in reversed(lines) if line.strip()), ""))
    return printed.rstrip("\n")


def assemble(pieces: Iterable[str | tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """Join the pieces of a script; return its text for bash and the environment variables that it needs."""
    text, variables = "", {}
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        elif piece[0].startswith("$"):
            variables[piece[0][1:]] = piece[1]
        else:
            text += _QUOTED[piece[0]](piece[1])
    return text, variables


def _forward_output(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Forward the output until both streams are closed. Return standard output, and the end of standard error."""
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
                    _write(text, sys.stdout)
                else:
                    errors = (errors + text)[-10_000:]
                    _write(text, sys.stderr)
                if not data:
                    ready.unregister(key.fileobj)
    return "".join(printed), errors


def _write(text: str, stream: IO[str]) -> None:
    if text:
        stream.write(text)
        stream.flush()
