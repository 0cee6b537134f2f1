'''Write a body in another language as one Python call, and read its arguments when the task runs.

The call has the text of the body as literals, on the same lines, and the values that the text reads between them:

    __import__("nbdag.operators.sql", fromlist=["run"]).run("""SELECT *
    FROM orders WHERE day = :day""", ("day", day))

So the analysis sees an ordinary read of `day`, and the value never becomes a part of the text. There are two kinds of
reads. A *named* value stays a name in the text (`$day` in bash, `:day` in SQL), and the shell or the database gets it
separately. A *field* `{day:%Y-%m-%d}` is replaced by its formatted value, which the operator escapes for its place.
'''

from __future__ import annotations

import ast
import re
import secrets
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import OperatorError
from .rendering import rendered

Piece = str | tuple[str, Any]  # a text of the body, or the name of a value and the value

_TEMPLATE = r"\{\{.*?\}\}|\{%.*?%\}|\{\#.*?\#\}"
_FIELD = re.compile(rf"(?P<template>{_TEMPLATE})|(?<!\\)\{{(?P<field>[^\W\d][^{{}}\n]*)\}}", re.DOTALL)
_TEMPLATED = re.compile(_TEMPLATE, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Read:
    """A place of a text that reads a value."""

    start: int
    end: int  # equal to `start` for a named value, which stays in the text
    name: str
    expression: str  # Python that evaluates to the value


def write_call(function: str, pieces: Iterable[str], **arguments: Any) -> str:
    """Return the call of `module:function`; `pieces` are sources, and arguments are written by `repr`."""
    module, _, name = function.partition(":")
    keywords = [f"{key}={value if isinstance(value, Source) else repr(value)}" for key, value in arguments.items()]
    return f"__import__({module!r}, fromlist=[{name!r}]).{name}({', '.join([*pieces, *keywords])})"


class Source(str):
    """Python source for an argument of `write_call`, where other texts are written as literals."""


def write_pieces(text: str, reads: Iterable[Read]) -> list[str]:
    """Return the sources of a text's pieces, on the lines of the text."""
    made, at = [], 0
    for read in sorted(reads, key=lambda each: each.start):
        if at < read.start:
            made.append(literal(text[at : read.start]))
        made.append(f"({read.name!r}, {read.expression})")
        at = read.end
    return [*made, literal(text[at:])] if at < len(text) or not made else made


def literal(text: str) -> str:
    """Return a text as Python source on the same lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\x00")
    return f'"""{escaped}"""'


def fields(text: str) -> list[Read]:
    """Return the `{expression:format}` fields of a text. Templates, and braces around anything else, are text."""
    found = []
    for match in _FIELD.finditer(text):
        if match["field"] and is_field(match["field"]):
            expression = f'f"""{{{match["field"]}}}"""'
            found.append(Read(match.start(), match.end(), match.group(), expression))
    return found


def is_field(text: str) -> bool:
    """Return whether the text between two braces is an expression, with or without a format."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(f'f"""{{{text}}}"""', mode="eval").body
    except (SyntaxError, ValueError):
        return False
    match tree:
        case ast.JoinedStr(values=[ast.FormattedValue(value=value)]):
            return not isinstance(value, ast.Tuple)
    return False


def without_templates(text: str) -> str:
    """Return the text with blanks in place of its templates, so that positions and lines stay equal."""
    return _TEMPLATED.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def render_literals(source: str) -> str:
    """Return Python source in which each text literal with a template is rendered when the task runs."""
    if "{{" not in source and "{%" not in source:
        return source
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def position(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    tree = ast.parse(source)
    inside = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in ast.walk(node)}
    found = [
        (position(node.lineno, node.col_offset), position(node.end_lineno or 0, node.end_col_offset or 0))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in inside
        and _TEMPLATED.search(node.value)
    ]
    for start, end in sorted(found, reverse=True):
        call = write_call("nbdag.operators.rendering:rendered", [source[start:end]])
        source = f"{source[:start]}{call}{source[end:]}"
    return source


# -- when the task runs ------------------------------------------------------------------------------------------------


def named(pieces: Iterable[Piece]) -> tuple[str, dict[str, Any]]:
    """Return the rendered text and its named values."""
    text, values = "", {}
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            values[piece[0]] = piece[1]
    return rendered(text), values


def filled(pieces: Iterable[Piece], escape: Callable[[str, str], str] = lambda value, before: value) -> str:
    """Return the rendered text with a value in place of each field.

    `escape(value, before)` returns the value as the text needs it after the text `before`.
    """
    # The values are inserted after the text is rendered, so that no value is taken for a template or a field.
    mark = secrets.token_hex(8)
    text, values = "", []
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            values.append(str(piece[1]))
            text += f"{mark}{len(values) - 1};"
    made, at = "", 0
    text = rendered(text)
    for match in re.finditer(rf"{mark}(\d+);", text):
        made += text[at : match.start()]
        made += escape(values[int(match[1])], made)
        at = match.end()
    return made + text[at:]


def assigned(names: tuple[str, ...], call: str, *, sensor: bool = False) -> str:
    """Return a statement that assigns the call's result; without names, an expression."""
    if not names:
        return call
    return f"({names[0]} := {call})" if sensor else f"{', '.join(names)} = {call}"


def only_name(out: tuple[str, ...], result: str) -> tuple[str, ...]:
    """Return the names of `--out`, of which there may be one. Raise `OperatorError`."""
    if len(out) > 1:
        raise OperatorError(f"--out has several variables, but {result}", hint="write one variable after --out")
    return out
