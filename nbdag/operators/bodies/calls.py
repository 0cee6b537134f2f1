'''Write a body in another language as one Python call, and read its arguments when the task runs.

The arguments are the texts of the body, on the same lines, and between them the values that the body reads:

    __import__("nbdag.operators.sql", fromlist=["run"]).run("""SELECT *
    FROM orders WHERE day = :day""", ("day", day))

So the analysis sees an ordinary read of `day`, and the value never becomes part of the text. There are two kinds of
reads. A *named* value remains a name in the text (`$day` in bash, `:day` in SQL), and the shell or the database gets
the value separately. A *field* `{day:%Y-%m-%d}` is replaced by the formatted value. The operator escapes this value as
its position requires.'''

from __future__ import annotations

import ast
import re
import secrets
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...templates import is_template
from ..base import OperatorError, known_names, pull_source
from .rendering import rendered_pieces

if TYPE_CHECKING:
    from ...templates import Slot

Piece = str | tuple[str, Any]  # a text of the body, or (name of a value, value)

_TEMPLATE = (
    r"\{\{.*?\}\}|(?<!\$)\{\#.*?\#\}|\{%[-+]?\s*(?:end)?"
    r"(?:if|else|elif|for|set|raw|do|with|macro|call|filter|block|include|import|from|extends|autoescape)\b.*?%\}"
)
_TEMPLATED = re.compile(_TEMPLATE, re.DOTALL)
_FIELD = re.compile(rf"(?P<template>{_TEMPLATE})|(?<!\\)\{{(?P<field>[^\W\d][^{{}}\n]*)\}}", re.DOTALL)


# The syntax, besides {name}, with which a text reads a variable of the notebook. Key: name of the text in messages.
_VARIABLES = {"the script": "$%s", "the SQL": ":%s"}


@dataclass(frozen=True, slots=True)
class Read:
    """A place in a text that reads a value."""

    start: int
    end: int  # end of the place; equals `start` for a named value, because its name remains in the text
    name: str
    expression: str  # Python expression of the value


def write_call(function: str, pieces: Iterable[str], **arguments: Any) -> str:
    """Return the source of a call of `module:function`. `pieces` are source code; arguments are written with `repr`."""
    module, _, name = function.partition(":")
    keywords = [f"{key}={value if isinstance(value, Source) else repr(value)}" for key, value in arguments.items()]
    return f"__import__({module!r}, fromlist=[{name!r}]).{name}({', '.join([*pieces, *keywords])})"


class Source(str):
    """An argument of `write_call` that is Python source. Other texts are written as literals."""


def write_pieces(text: str, reads: Iterable[Read], *, what: str) -> list[str]:
    """Return the pieces of a text as sources, on the same lines. `what` names the text in errors of templates.

    A template may pull values of other tasks. Each pull becomes a piece without a name, which exists only for the
    analysis. Raise `OperatorError` for an invalid template.
    """
    made, at = [], 0
    for read in sorted([*pulls(text, what), *reads], key=lambda each: each.start):
        if at < read.start:
            made.append(literal(text[at : read.start]))
        made.append(f"({read.name!r}, {read.expression})")
        at = read.end
    return [*made, literal(text[at:])] if at < len(text) or not made else made


def pulls(text: str, what: str) -> list[Read]:
    """Return the XCom pulls of a text's templates, each placed at the start of its line. Raise `OperatorError`."""
    if not is_template(text):
        return []
    # Imported here because it imports Jinja, and most texts have no template.
    from ...templates.names import read_template
    from ...templates.rendering import TemplateError

    try:
        names = read_template(text, what=what)
    except TemplateError as error:
        found = re.fullmatch(r"unknown name '(\w+)'", error.message)
        hint = error.hint
        if found and found[1] in (known_names() or ()):
            written = _VARIABLES.get(what, "{%s}") % found[1]
            hint = f"a template has Airflow's names; write {written} for the variable of the notebook"
        raise OperatorError(f"{error.what}: {error.message}", hint=hint, line=error.line) from None
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    pulled = dict.fromkeys((starts[pull.line - 1], pull_source(pull)) for pull in names.pulls)
    return [Read(start, start, "", source) for start, source in pulled]


def literal(text: str) -> str:
    """Return a text as a Python literal with the same lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\0", "\\x00")
    return f'"""{escaped}"""'


def fields(text: str) -> list[Read]:
    """Return the `{expression:format}` fields of a text.

    Templates, and braces around other text, are not fields.
    """
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
    """Return the text with blanks in place of its templates; positions and lines do not change."""
    if not is_template(text):
        return text
    return _TEMPLATED.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def render_literals(source: str, *, first_line: int = 1) -> str:
    """Return a Python expression in which each text literal with a template is rendered when the task runs.

    `first_line` is the line of the body in which the source begins. Raise `OperatorError` for an invalid template.
    """
    if not is_template(source):
        return source
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def position(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    tree = ast.parse(source, mode="eval")
    inside = {id(each) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in ast.walk(node)}
    found = [
        (position(node.lineno, node.col_offset), position(node.end_lineno or 0, node.end_col_offset or 0), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in inside
        and is_template(node.value)
    ]
    for start, end, node in sorted(found, key=lambda each: each[0], reverse=True):
        try:
            uses = dict.fromkeys(read.expression for read in pulls(str(node.value), "the text"))
        except OperatorError as error:
            error.line = first_line + node.lineno - 1
            raise
        source = f"{source[:start]}dag_run.render({', '.join([source[start:end], *uses])}){source[end:]}"
    return source


# -- when the task runs ------------------------------------------------------------------------------------------------


def named(pieces: Iterable[Piece], *, what: str) -> tuple[list[str | Slot], dict[str, Any]]:
    """Return the rendered text, with a `Slot` for each value of a template, and the named values of the pieces."""
    text, values = "", {}
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        elif piece[0]:
            values[piece[0]] = piece[1]
    return rendered_pieces(text, what), values


def filled(
    pieces: Iterable[Piece], escape: Callable[[str, str], str] = lambda value, before: value, *, what: str
) -> str:
    """Return the rendered text with a value in place of each field and each template.

    `escape(value, before)` returns the text to insert for a value after the text `before`.
    """
    # Until the text is rendered, placeholders stand for the values of fields. So no value is rendered as a template.
    mark = secrets.token_hex(8)
    text, values, marks = "", list[str](), dict[str, str]()
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        elif piece[0]:
            marked = f"{mark}{len(values)};"
            marks[marked] = piece[0]
            values.append(str(piece[1]))
            text += marked
    made = ""
    for part in rendered_pieces(text, what, marks):
        if not isinstance(part, str):
            made += escape(str(part), made)
            continue
        for n, between in enumerate(re.split(rf"{mark}(\d+);", part)):
            made += escape(values[int(between)], made) if n % 2 else between
    return made


def assigned(names: tuple[str, ...], call: str, *, sensor: bool = False) -> str:
    """Return a statement that assigns the result of the call to the names. Without names, return the call itself."""
    if not names:
        return call
    return f"({names[0]} := {call})" if sensor else f"{', '.join(names)} = {call}"


def only_name(out: tuple[str, ...], result: str) -> tuple[str, ...]:
    """Return the name of `--out`, if any. Raise `OperatorError` if `--out` has several names."""
    if len(out) > 1:
        raise OperatorError(f"--out has several variables, but {result}", hint="write one variable after --out")
    return out
