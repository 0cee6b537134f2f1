"""A cell that is a shell script.

    %%task fetch --operator bash
    curl -fsS {url} -o data/{day:%Y-%m-%d}.csv
    wc -l data/*.csv

`{name}`, and any expression that begins with a name (`{day:%Y-%m-%d}`, `{paths[0]}`), is replaced by its value in the
notebook, as in IPython's `!` lines; `{{name}}` is `{name}` for the shell, and `$name`, `${name}` and `{a,b}` are the
shell's own. The script is bash's, and ends at the first command that fails (`set +e` goes on). What it prints appears
as it comes. A status other than 0 fails the task, 99 skips it, as in Airflow. With `--out NAME`, what it printed to
standard output becomes the string NAME.
"""

from __future__ import annotations

import ast
import codecs
import os
import re
import selectors
import signal
import subprocess
import sys
import warnings
from typing import IO, Any

from ..core.options import TaskOptions
from ..errors import NbdagError, Skip
from . import OperatorError
from .tasks import Operator

SKIP = 99  # the exit status that skips the task
_FIELD = re.compile(r"\{\{(?P<kept>[^{}\n]*)\}\}|(?<![$\\])\{(?P<field>[^\W\d][^{}\n]*)\}")
_RUN = '__import__("nbdag.operators.bash", fromlist=["run"]).run('


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
        return f"{target}{_RUN}{', '.join(pieces(body))}){end}"


def pieces(script: str) -> list[str]:
    """Python literals that, joined, are the script: strings for its text, f-strings for what Python fills in."""
    found: list[str] = []
    text, at = "", 0
    for match in _FIELD.finditer(script):
        text += script[at : match.start()]
        at = match.end()
        if match["kept"] is not None:
            text += f"{{{match['kept']}}}"
        elif _is_field(match["field"]):
            found += [_literal(text), f'f"""{match.group()}"""']
            text = ""
        else:
            text += match.group()
    return [*found, _literal(text + script[at:])]


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\0")
    return f'"""{escaped}"""'


def _is_field(field: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(f'f"""{{{field}}}"""', mode="eval").body
    except (SyntaxError, ValueError):
        return False
    # {a,b} is the shell's.
    return (
        isinstance(tree, ast.JoinedStr)
        and len(tree.values) == 1
        and isinstance(tree.values[0], ast.FormattedValue)
        and not isinstance(tree.values[0].value, ast.Tuple)
    )


def run(*script: str) -> str:
    """Run a script and pass on what it prints, as it comes; its standard output is the answer, as `$(…)` gives it.

    Raises `ScriptError`, or skips the task where the script asks for it.
    """
    try:
        process = subprocess.Popen(
            ["bash", "-e", "-c", "".join(script), "bash"],
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
