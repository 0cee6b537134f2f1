"""The operator `bash`: a cell that is a shell script.

    %%task fetch --operator bash
    curl -fsS "$url" -o "data/$day.csv"
    wc -l "${files[@]}"

Values of the notebook are variables of the shell, and never become part of the script's text. `$name` or `${name}`
reads the notebook's `name` if parameters, setup or tasks set this name. Put `$name` in double quotes, as in any script.
A text is passed unchanged, a list as a bash array, any other value as JSON (dates as ISO texts). To format a number,
compute a text in a Python cell. Names that the script sets before it uses them, and variables such as PATH and HOME,
are variables of the shell. Programs that the script starts see all of these variables except arrays.

For bash itself, a value is only data. In code of another language inside the script, it is not: in
`python -c "print('$name')"` or `awk "/$name/"`, bash pastes the value into the code. Then a quote in the value ends a
string of the code, and the rest of the value is executed. Write such code in single quotes, and read the value in it:
`os.environ["name"]` in Python, `ENVIRON["name"]` in awk, `$ENV{name}` in perl, `process.env.name` in node, `"$name"` in
`sh -c`. `nbdag check` warns about a value in quotes inside such code.

The script runs in bash under `set -e`, so it ends at the first command that fails (`set +e` turns this off). Output
appears without delay. As in Airflow, exit status 99 skips the task, and any other status except 0 fails it. With
`--out NAME`, the standard output is assigned to the variable NAME.
"""

from __future__ import annotations

import codecs
import difflib
import errno
import json
import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import date, time
from typing import IO, Any

from ..core.options.options import TaskOptions
from ..errors import NbdagError, Skip, error
from .base import BodyWarning, known_names
from .bodies.calls import Piece, Read, assigned, is_field, named, only_name, without_templates, write_call, write_pieces
from .bodies.plain import list_of, plain_value
from .tasks import Operator

SKIP = 99  # exit status of a script that skips the task
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_READ = re.compile(rf"(?<![\\$])\$(?:(?P<plain>{_NAME})|\{{[#!]?(?P<braced>{_NAME}))")
# Finds each assignment: the variable that is set, and the assigned text, which may read the same variable.
_ASSIGNED = re.compile(
    rf"(?:^|(?<=[\s;&|(`]))(?P<name>{_NAME})(?:\[[^\]\n]*\])?\+?="
    r"""(?P<value>(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s;&|"'\\])*)"""
    rf"|\b(?:for|select)\s+(?P<loop>{_NAME})\b"
    r"|\b(?:read|mapfile|readarray|local|declare|unset)\b(?P<words>[^\n;|&<]*)",
    re.MULTILINE | re.DOTALL,
)
_SHELL_VARIABLES = frozenset({"BASH_ENV", "HOME", "IFS", "LANG", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})
_ALWAYS = frozenset({"dag_run"})  # names that exist in every kernel
# Code of another language in double quotes, within which bash replaces variables.
_CODE = re.compile(
    r"""(?<![\w./-])(?:[\w./-]*/)?(?P<program>python|perl|ruby|node|g?awk|sh|bash)[\d.]*"""
    r"""(?P<options>(?:\s+-[\w-]+)*)\s+"(?P<code>(?:[^"\\]|\\.)*)\"""",
    re.DOTALL,
)
# Expressions that read a variable of the environment; key: language.
_ENVIRONMENT = {
    "python": 'os.environ["%s"]',
    "perl": "$ENV{%s}",
    "ruby": 'ENV["%s"]',
    "node": "process.env.%s",
    "awk": 'ENVIRON["%s"]',
    "gawk": 'ENVIRON["%s"]',
    "sh": '"$%s"',
    "bash": '"$%s"',
}
_OLD_FIELD = re.compile(r"(?<![$\\{])\{(?P<field>(?P<name>[^\W\d]\w*)[^{}\n]*)\}")
_ITEM = "_nbdag_item_"  # prefix of the environment variables that contain the elements of an array


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
        # IPython calls this method. The traceback is omitted, because it shows no code of the user.
        return [f"{type(self).__name__}: {self}"]


@error
class ShellValueError(NbdagError):
    """A value cannot be passed to a shell."""

    name: str
    reason: str
    hint: str
    template = "bash cannot take {name!r}: {reason}; {hint}"

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Bash(Operator):
    """Translates a script into a call of `run`.

    The arguments of the call are the pieces of the script, each on its original line.
    """

    summary = (
        "The body is a bash script that ends at the first command that fails (set -e). $name is a variable of the "
        "notebook if a cell sets that name: a text is passed unchanged, a list as a bash array, any other value as "
        "JSON. --out NAME is the standard output."
    )
    example = '%%task fetch --operator bash\ncurl -fsS "$url" -o "data/$day.csv"'

    def __init__(self, task_id: str | None = None, body: str = "", *, bash_command: str = "", **options: Any) -> None:
        super().__init__(task_id, body or bash_command, **options)

    def source(self, body: str, options: TaskOptions) -> str:
        out = only_name(options.out, "a script has one standard output")
        made = assigned(
            out,
            write_call("nbdag.operators.bash:run", write_pieces(body, reads(body, known_names()), what="the script")),
        )
        return made if out else f"{made};"  # `;` prevents the display of the result

    def body_warnings(self, body: str) -> Iterator[BodyWarning]:
        """Yield a warning for each `{name}`, each misspelt `$name`, and each value in code of another language.

        Bash does not replace `{name}`.
        """
        known = sorted(known_names() or ())
        own = _own(body)
        text = without_templates(body)
        for match in _OLD_FIELD.finditer(text):
            if match["name"] in known and is_field(match["field"]):
                message = f"bash does not replace {match.group()}"
                yield _line(text, match.start()), message, _instead(match["name"], match["field"])
        seen = set(known) | own.keys() | os.environ.keys() | _SHELL_VARIABLES | _ALWAYS
        for match in _READ.finditer(text):
            name = match["plain"] or match["braced"]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
            if name not in seen and near and not name.isupper():
                seen.add(name)
                yield _line(text, match.start()), f"no cell and no script sets ${name}", f"did you mean ${near[0]}?"
        for at, program, name in _pasted(text, {read.name for read in reads(body, known)}):
            message = f"bash pastes ${name} into the code of {program}, where a quote in the value ends the text"
            hint = f"write the code in single quotes, with {_ENVIRONMENT[program] % name} for the value"
            yield _line(text, at), message, hint


def reads(script: str, known: Collection[str] | None) -> list[Read]:
    """For each variable of the notebook that a script reads before setting it, return the first read."""
    names = {*(known or ()), *_ALWAYS} - _SHELL_VARIABLES
    own = _own(script)
    found: dict[str, Read] = {}
    for match in _READ.finditer(without_templates(script)):
        name = match["plain"] or match["braced"]
        set_at = own.get(name)
        if name in names and name not in found and (set_at is None or match.start() < set_at):
            found[name] = Read(match.start(), match.start(), name, name)
    return list(found.values())


def _own(script: str) -> dict[str, int]:
    """Return the variables that a script sets, each with the position from which the script's value applies."""
    found: dict[str, int] = {}
    for match in _ASSIGNED.finditer(script):
        if match["name"]:
            found.setdefault(match["name"], match.end())
        for name in (match["loop"] or match["words"] or "").split():
            found.setdefault(name.partition("=")[0], match.start())
    return found


def _pasted(text: str, names: Collection[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (position, program, name) for each value inside quoted code of another language."""
    for match in _CODE.finditer(text):
        is_awk = match["program"].endswith("awk")
        if not is_awk and not re.search(r"-\w*[ceE]$", match["options"]):
            continue  # the name of a file
        code = match["code"]
        for read in _READ.finditer(code):
            name, before = read["plain"] or read["braced"], code[: read.start()]
            quotes = (before.replace("\\'", "").count("'"), before.count('\\"'))
            if name in names and any(count % 2 for count in quotes):
                yield match.start("code") + read.start(), match["program"], name


def _instead(name: str, field: str) -> str:
    if field == name:
        return f'write "${name}"'
    return f'compute a text in a Python cell, such as {name}_text = f"{{{field}}}", and write "${name}_text"'


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


# -- when the task runs ------------------------------------------------------------------------------------------------


def run(*pieces: Piece) -> str:
    """Run a script, forward its output immediately, and return its standard output as `$(…)` does.

    Raise `ScriptError` if the script fails, `Skip` if it exits with status 99, `ShellValueError` if a value cannot be
    passed.
    """
    parts, values = named(pieces, what="the script")
    script = "".join(map(str, parts))
    if not all(isinstance(each, str) for each in parts):
        # Imported here because it imports Jinja, and most scripts have no template.
        from ..templates.quoting import shell

        made = shell(parts)
        script, values = made.text, {**values, **made.values}
    return run_script(script, values)


def run_script(
    script: str,
    values: Mapping[str, Any],
    *,
    environment: Mapping[Any, Any] | None = None,
    cwd: str | None = None,
    errexit: bool = True,
    skips: Collection[int] = (SKIP,),
) -> str:
    """Run a script with these variables, forward its output immediately, and return its standard output; see `run`.

    `environment` replaces the environment of this process. With `errexit`, the first command that fails ends the
    script. An exit status in `skips` skips the task.
    """
    arrays, variables = shell_variables(values)
    if "\0" in script:
        raise NbdagError("the script contains a NUL character, which bash cannot read; remove it")
    try:
        process = subprocess.Popen(
            ["bash", *(["-e"] if errexit else []), "-c", arrays + script, "bash"],
            env={**(os.environb if environment is None else environment), **variables},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NbdagError("no bash in PATH; install it, or write the task in Python") from None
    except OSError as failure:
        if failure.errno != errno.E2BIG:
            raise
        largest = max(variables, key=lambda name: len(variables[name]), default=b"").decode()
        name = largest.removeprefix(_ITEM).rpartition("_")[0] if largest.startswith(_ITEM) else largest
        hint = "write it to a file in a Python cell, and pass the path"
        raise ShellValueError(name, "it is too large for the environment", hint) from None
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


def shell_variables(values: Mapping[str, Any]) -> tuple[str, dict[bytes, bytes]]:
    """Return the environment variables for these values, and shell text that creates arrays from them.

    The shell text has no line break and contains no value. Environment variables cannot be arrays, so each element gets
    a variable of its own; the shell text moves these variables into the array.
    """
    variables: dict[bytes, bytes] = {}
    arrays = ""
    for name, value in values.items():
        items = list_of(value)
        if items is None:
            variables[name.encode()] = _encoded(name, value)
            continue
        for n, item in enumerate(items):
            variables[f"{_ITEM}{name}_{n}".encode()] = _encoded(name, item)
        item = f"{_ITEM}{name}_"
        arrays += (
            f"{name}=(); while {_ITEM}={item}${{#{name}[@]}}; [[ -v ${_ITEM} ]]; "
            f'do {name}+=("${{!{_ITEM}}}"); unset "${_ITEM}"; done; unset {_ITEM}; '
        )
    return arrays, variables


def _encoded(name: str, value: Any) -> bytes:
    try:
        encoded = value if isinstance(value, bytes) else os.fsencode(_text(value))
    except (TypeError, ValueError) as failure:
        hint = "pass the data that the script needs as a text, or write the value to a file in a Python cell"
        raise ShellValueError(name, str(failure), hint) from None
    if b"\0" in encoded:
        raise ShellValueError(name, "it contains a NUL character", "write it to a file in a Python cell")
    return encoded


def _text(value: Any) -> str:
    """Return the text that a script gets for a value: a text, path or date unchanged, any other value as JSON."""
    if isinstance(value, date | time | os.PathLike):
        value = plain_value(value)
    return value if isinstance(value, str) else json.dumps(value, default=plain_value, ensure_ascii=False)


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
