"""Pass the values of templates to bash, SQL and URLs as data.

The author writes the text of a template, but the values may come from anywhere: parameters, other tasks, files. A value
is never interpreted as syntax of the language:

- **bash**: a value of harmless characters (letters, digits, `_ @ % + = : , . / -`) is inserted as it is. Any other
  value becomes an environment variable, and its place a reference to this variable. Bash does not parse the value of
  a variable. In plain code and in '…' and "…" the value arrives unchanged; elsewhere (backticks, here-documents,
  `$(( ))`, `[[ ]]`, `eval` and the like) it is rejected with an error.
- **SQL**: a value becomes a bound parameter. Inside '…', the whole literal becomes one parameter, so that
  `'{{ ds }}'` and `'s3://lake/{{ ds }}/'` work as in Airflow. In the place of a name (after FROM, or beside a letter) a
  value must be a name.
- **URL**: a value is percent-encoded, except at the beginning of the URL, where it may be the server's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import NbdagError, error
from .rendering import Slot

Pieces = Sequence[str | Slot]

_HARMLESS = re.compile(r"[\w@%+=:,./-]*\Z", re.ASCII)
_PREFIX = "NBDAG_VALUE_"
# Constructs of bash after which the quotes around a value cannot be determined, or in which bash evaluates the value of
# a variable.
_UNCERTAIN = re.compile(
    r"`|<<(?!<)|\$\(\(|(?<!\$)\(\(|\[\[|\$'|\$\{[^}]*\{|\beval\b|\blet\b|\b(?:ba|da|z|k)?sh\s+-\w*c\b|\bcase\b"
    r"|\b(?:declare|typeset|local)\s+-\w*[ni]|\bprintf\s+-v|\btrap\b|\bsource\b|\btest\s+-v|\bunset\b|\bread\b"
)
_NAME = re.compile(r"[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*\Z", re.ASCII)
_BEFORE_NAME = re.compile(r"\b(?:from|join|into|table|update|view|index|schema|database|exists|truncate)\s+\Z", re.I)


@error
class UnsafeValueError(NbdagError):
    """A value has characters that the language would interpret, and cannot be passed as data at this place."""

    value: str  # the value, shortened for the message
    where: str
    hint: str
    template = "the value {value!r} cannot be passed as data {where}; {hint}"

    @classmethod
    def of(cls, value: object, where: str, hint: str) -> UnsafeValueError:
        """Return the error for a value."""
        text = str(value)
        return cls(text if len(text) <= 40 else f"{text[:40]}…", where, hint)


@dataclass(frozen=True, slots=True)
class Statement:
    """A script, SQL statement or URL, and the values to pass to it by name."""

    text: str
    values: dict[str, Any] = field(default_factory=dict)


def shell(pieces: Pieces) -> Statement:
    """Return a script for bash, and the environment variables that it needs. Raise `UnsafeValueError`."""
    text, variables = "", dict[str, Any]()
    scan = _ShellScan()
    for piece in pieces:
        if isinstance(piece, str):
            scan.pass_text(piece)
            text += piece
            continue
        value = str(piece)
        if _HARMLESS.match(value) and (value or scan.quote):
            scan.pass_text(value)
            text += value
            continue
        if "\0" in value:
            raise UnsafeValueError.of(value, "to a script", "no variable of a shell can hold a NUL character")
        if scan.uncertain:
            hint = "assign it to a variable in a line above this construct, such as x='{{ … }}', and use \"$x\""
            raise UnsafeValueError.of(value, f"below {scan.uncertain!r} of this script", hint)
        name = f"{_PREFIX}{len(variables) + 1}"
        variables[name] = value
        reference = f"${{{name}}}"
        text += {'"': reference, "'": f"'\"{reference}\"'"}.get(scan.quote, f'"{reference}"')
    return Statement(text, variables)


class _ShellScan:
    """Follows the quotes of a script, up to the first construct that is too complex."""

    def __init__(self) -> None:
        self.quote = ""  # the quote that is open, or ""
        self.uncertain = ""  # the first construct after which it is uncertain how bash would interpret a value, or ""
        self._before = ""  # the code so far, without texts in quotes

    def pass_text(self, text: str) -> None:
        n = 0
        while n < len(text):
            char = text[n]
            if char == "\\" and self.quote != "'":
                n += 2
                self._before += "\\x" if not self.quote else ""
                continue
            if self.quote:
                self.quote = "" if char == self.quote else self.quote
                if self.quote == '"' and (char == "`" or text[n : n + 2] == "$("):
                    self.uncertain = self.uncertain or text[n : n + 2]
            elif char == "#" and (not self._before or self._before[-1] in " \t\n;&|()"):
                end = text.find("\n", n)
                n = len(text) if end < 0 else end
                continue
            elif char in "'\"":
                self.quote = char
                self._before += char
            else:
                self._before += char
            n += 1
        found = _UNCERTAIN.search(self._before)
        if found:
            self.uncertain = self.uncertain or found[0]


def sql(pieces: Pieces, prefix: str = "nbdag_") -> Statement:
    """Return SQL with `:name` for each value, and the values by name. Raise `UnsafeValueError`.

    Colons in the author's text are not escaped, so `:name` in the text is a parameter.
    """
    text, values = "", dict[str, Any]()

    def bound(value: Any) -> str:
        name = f"{prefix}{len(values) + 1}"
        values[name] = value
        return f":{name}"

    parts = list(_sql_parts(pieces))
    for n, part in enumerate(parts):
        if isinstance(part, str):
            text += part
            continue
        if len(part) > 1 or part[0] == "'":  # the part is a literal that contains values
            content = "".join(str(each).replace("''", "'") if isinstance(each, str) else str(each) for each in part[1:])
            text += bound(content)
            continue
        value = part[0].value
        after = parts[n + 1] if n + 1 < len(parts) else ""
        beside = isinstance(after, str) and bool(re.match(r"[\w.\"`]", after))
        if re.search(r"[\w.\"`]\Z", text) or beside:
            if not re.fullmatch(r"\w+", str(value), re.ASCII):
                hint = "there only letters, digits and _ are part of a name"
                raise UnsafeValueError.of(value, f"in the name {text[-20:].split()[-1]}…", hint)
            text += str(value)
        elif _BEFORE_NAME.search(text):
            if not _NAME.match(str(value)):
                hint = "there a name is expected, such as sales.orders"
                raise UnsafeValueError.of(value, f"after {text.split()[-1]}", hint)
            text += str(value)
        elif isinstance(value, list | tuple | set | frozenset):
            many = ", ".join(bound(each) for each in value) or "NULL"
            text += many if re.search(r"\(\s*\Z", text) else f"({many})"
        else:
            text += bound(value)
    return Statement(text, values)


def _sql_parts(pieces: Pieces) -> Iterator[str | list[Any]]:
    """Yield the parts of a statement: a text; a list with one `Slot`; or, for a literal with values, a list of "'" and
    the literal's pieces.
    """
    literal: list[Any] | None = None  # the pieces of the literal that is open, or None
    comment = ""  # the text that ends the comment that is open, or ""
    name_quote = ""  # the quote of the quoted name that is open, or ""
    text = ""
    for piece in pieces:
        if isinstance(piece, Slot):
            if comment:
                continue  # a value in a comment is dropped
            if name_quote:
                if not re.fullmatch(r"[^\"`\x00]*", str(piece)):
                    raise UnsafeValueError.of(piece.value, f"inside {name_quote}…{name_quote}", "remove its quotes")
                text += str(piece)
            elif literal is not None:
                literal.append(piece)
            else:
                if text:
                    yield text
                yield [piece]
                text = ""
            continue
        n = 0
        while n < len(piece):
            char, two = piece[n], piece[n : n + 2]
            if comment:
                if piece.startswith(comment, n):
                    text += comment
                    n += len(comment)
                    comment = ""
                else:
                    text += char
                    n += 1
            elif literal is not None:
                if two == "''":
                    literal.append("''")
                    n += 2
                    continue
                if char == "'":
                    if any(isinstance(each, Slot) for each in literal):
                        if text:
                            yield text
                        yield literal
                        text = ""
                    else:
                        text += "".join(literal) + "'"
                    literal = None
                else:
                    literal.append(char)
                n += 1
            elif name_quote:
                name_quote = "" if char == name_quote else name_quote
                text += char
                n += 1
            elif two in ("--", "/*"):
                comment = "\n" if two == "--" else "*/"
                text += two
                n += 2
            elif char == "'":
                literal = ["'"]
                n += 1
            else:
                name_quote = char if char in '"`' else ""
                text += char
                n += 1
    if literal is not None:
        if any(isinstance(each, Slot) for each in literal):
            raise NbdagError("the statement has a literal without an end; close it with '")
        text += "".join(literal)
    if text:
        yield text


def url(pieces: Pieces) -> str:
    """Return a URL with percent-encoded values.

    A value at the beginning, such as the server's address, is not encoded.
    """
    return "".join(
        piece if isinstance(piece, str) else (str(piece) if n == 0 else quote(str(piece), safe=""))
        for n, piece in enumerate(pieces)
    )
