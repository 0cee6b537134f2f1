"""Read the command in a crontab's line: its parts, and the arguments of papermill."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_SEPARATORS = ("&&", ";", "||", "|", "&")
# Papermill options that take no value.
_FLAGS = frozenset(
    f"--{name}"
    for name in (
        *("inject-input-path", "no-inject-input-path", "inject-output-path", "inject-paths", "progress-bar"),
        *("no-progress-bar", "log-output", "no-log-output", "request-save-on-cell-execute", "prepare-execute"),
        *("no-report-mode", "no-request-save-on-cell-execute", "version", "help"),
    )
)
_DATE = re.compile(r"""\$\(\s*date\s+["']?\+([^"')]*)["']?\s*\)|`\s*date\s+["']?\+([^"'`]*)["']?\s*`""")
_EXPANSION = re.compile(r"\$\(|`|\$\{?[A-Za-z_]")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")
_WRAPPERS = {"env": 0, "nice": 0, "ionice": 0, "nohup": 0, "exec": 0, "time": 0, "sudo": 0, "setsid": 0, "chronic": 0}


@dataclass(slots=True)
class Command:
    """One command of a shell line."""

    words: list[str]
    operator: str = ""  # the separator before the command
    redirected: list[tuple[str, str]] = field(default_factory=list)  # its redirections: operator and file


@dataclass(slots=True)
class Papermill:
    """The arguments of papermill."""

    notebook: str
    output: str = ""
    values: dict[str, str] = field(default_factory=dict)  # key: parameter; value: code of its value
    files: list[str] = field(default_factory=list)  # YAML files with parameters
    kernel: str = ""
    cwd: str = ""
    left: list[tuple[str, str]] = field(default_factory=list)  # (option, reason) for options that are not carried over
    unknown: list[str] = field(default_factory=list)  # parameters whose value the shell computes


def commands(text: str) -> list[Command]:
    """Return the commands of a shell line; raise `ValueError` for an unclosed quote."""
    protected: list[str] = []

    def protect(match: re.Match[str]) -> str:
        protected.append(match[0])
        return f"\ue000{len(protected) - 1}\ue001"

    lexer = shlex.shlex(re.sub(r"\$\([^()]*\)|`[^`]*`", protect, text), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"

    def restored(word: str) -> str:
        return re.sub("\ue000(\\d+)\ue001", lambda match: protected[int(match[1])], word)

    found = [Command([])]
    words = list(lexer)
    index = 0
    while index < len(words):
        word = words[index]
        if word in _SEPARATORS:
            found.append(Command([], word))
        elif set(word) <= set("<>&") and word:
            words_above = found[-1].words
            stream = words_above.pop() if words_above and words_above[-1].isdigit() else ""  # as in 2>
            if index + 1 < len(words):
                index += 1
                found[-1].redirected.append((f"{stream}{word}", restored(words[index])))
        elif word not in ("(", ")"):
            found[-1].words.append(restored(word))
        index += 1
    return [each for each in found if each.words]


def unwrapped(words: Sequence[str]) -> tuple[list[str], dict[str, str], list[str]]:
    """Return a command's words without prefixes, and the prefixes: variables (`A=1`), wrappers such as `timeout`."""
    left, variables, wrappers = list(words), dict[str, str](), list[str]()
    while left:
        word = left[0]
        name = Path(word).name
        if re.fullmatch(r"[A-Za-z_]\w*=.*", word, re.DOTALL):
            key, _, value = left.pop(0).partition("=")
            variables[key] = value
        elif name in _WRAPPERS:
            left.pop(0)
            while left and left[0].startswith("-"):
                option = left.pop(0)
                if option in ("-n", "-u", "-c") and left:
                    left.pop(0)
            if name not in ("env", "exec"):
                wrappers.append(name)
        elif name in ("flock", "timeout", "caffeinate"):
            left.pop(0)
            while left and left[0].startswith("-"):
                option = left.pop(0)
                if option in ("-w", "-E", "-k", "-s", "--kill-after", "--signal") and left:
                    left.pop(0)
            if left and name != "caffeinate":
                wrappers.append(f"{name} {left.pop(0)}")
        elif name in ("conda", "mamba", "micromamba", "uv", "poetry", "pipenv") and left[1:2] == ["run"]:
            environment = [word]
            left = left[2:]
            while left and left[0].startswith("-"):
                option = left.pop(0)
                if option in ("-n", "--name", "-p", "--prefix", "--with", "--project") and left:
                    environment.append(left.pop(0))
            wrappers.append(" ".join(environment))
        elif re.fullmatch(r"python[\d.]*", name) and left[1:3] == ["-m", "papermill"]:
            if word.startswith("/"):
                wrappers.append(word)
            left = ["papermill", *left[3:]]
            break
        else:
            break
    return left, variables, wrappers


def papermill_of(words: Sequence[str], variables: Mapping[str, str]) -> Papermill:
    """Return the arguments of papermill; `words` begin with the command. Raise `ValueError` if no notebook is given."""
    found = Papermill("")
    positional: list[str] = []
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue

        def take(joined: str = joined, value: str = value) -> str:
            return value if joined else rest.pop(0) if rest else ""

        if name in ("-p", "--parameters", "-r", "--parameters_raw"):
            key, text = take(), rest.pop(0) if rest else ""
            found.values[key] = _code(text, variables, found, key, raw=name in ("-r", "--parameters_raw"))
        elif name in ("-f", "--parameters_file"):
            found.files.append(_filled(take(), variables))
        elif name in ("-y", "--parameters_yaml", "-b", "--parameters_base64"):
            _add_yaml(take(), name in ("-b", "--parameters_base64"), found)
        elif name in ("-k", "--kernel"):
            found.kernel = take()
        elif name == "--cwd":
            found.cwd = _filled(take(), variables)
        elif name in ("--execution-timeout", "--start-timeout", "--start_timeout"):
            found.left.append((f"{name} {take()}", "--timeout limits a task, not a cell"))
        elif name in ("--prepare-only", "--report-mode"):
            found.left.append((name, "a run of nbdag executes the tasks, and its report shows the code"))
        elif name not in _FLAGS:
            found.left.append((f"{name} {take()}".strip(), "this setting of papermill is nbdag's own"))
    if not positional:
        raise ValueError("the command names no notebook")
    found.notebook = _filled(positional[0], variables)
    found.output = positional[1] if len(positional) > 1 else ""
    return found


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), text)


def _code(text: str, variables: Mapping[str, str], found: Papermill, name: str, *, raw: bool) -> str:
    """Return the code of a parameter's value, with the type that papermill gives it."""
    date = _DATE.fullmatch(text.strip())
    if date:
        form = (date[1] or date[2]).replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")
        return f'__import__("datetime").datetime.now().strftime({form!r})'
    text = _filled(text, variables)
    if _EXPANSION.search(text):
        found.unknown.append(name)
    if raw:
        return repr(text)
    if text in ("True", "False", "None"):
        return text
    for kind in (int, float):
        try:
            return repr(kind(text))
        except ValueError:
            continue
    return repr(text)


def _add_yaml(text: str, encoded: bool, found: Papermill) -> None:
    import base64
    import binascii

    try:
        values = yaml.safe_load(base64.b64decode(text) if encoded else text)
    except (yaml.YAMLError, binascii.Error, UnicodeDecodeError):
        values = None
    if isinstance(values, dict):
        found.values.update({str(key): repr(value) for key, value in values.items()})
    else:
        found.left.append((f"parameters {text}", "they are no YAML mapping"))


def yaml_values(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of a YAML file; raise `OSError` or `ValueError` if it cannot be read."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as failure:
        raise ValueError("it is not valid YAML") from failure
    if isinstance(values, dict):
        yield from ((str(key), value) for key, value in values.items())
