"""Pass the values of templates to bash, SQL and URLs as data.

The author writes the text of a template, but the values may come from anywhere: parameters, other tasks, files. A value
is never interpreted as syntax of the language:

- **bash**: a value of harmless characters (letters, digits, `_ @ % + = : , . / -`) is inserted as it is. Any other
  value is passed in an environment variable, to which the script then refers. Bash does not parse the value of a
  variable. In plain code and in '…' and "…" the value arrives unchanged; elsewhere (backticks, here-documents,
  `$(( ))`, `[[ ]]`, `eval` and the like) it is rejected. In arithmetic, such as `$(( ))` and `a[ ]`, only a number is
  inserted, because bash would take a word as a variable and evaluate that variable's value.
- **SQL**: a value becomes a bound parameter. Inside '…', the whole literal becomes one parameter, so that `'{{ ds }}'`
  and `'s3://lake/{{ ds }}/'` work as in Airflow. After FROM, or directly beside a letter, the value must be a name.
- **URL**: a value is percent-encoded, except at the beginning of the URL, where it may be the server's address.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ..errors import NbdagError, error
from .rendering import Slot

Pieces = Sequence[str | Slot]

_HARMLESS = re.compile(r"[\w@%+=:,./-]*\Z", re.ASCII)
_PREFIX = "NBDAG_VALUE_"
# Constructs of bash that make a value unsafe: after some of them, the quotes around the value are unknown; in others,
# bash evaluates the value of a variable.
_UNCERTAIN = re.compile(
    r"`|<<(?!<)|\$\(\(|(?<!\$)\(\(|\[\[|\$'|\$\{[^}]*\{|\beval\b|\blet\b|\bcase\b|\bcompgen\b|\bPS4="
    r"|(?<![.\w-])(?:ba|da|z|k)?sh\b[^\n;|&]*\s-\w*c\b|(?<![.\w-])(?:su|ssh)\s"
    r"|\b(?:declare|typeset|local)\s+-\w*[ni]|\bprintf\s+-v|\btrap\b|\bsource\b"
    r"|(?:\btest|(?<![\w$\[])\[)\s[^\n;|&]*-v\b|\bunset\b|\bread\b"
)
_INTEGER = re.compile(r"-?\d+\Z", re.ASCII)
# Matches the end of a script in which arithmetic, such as `$(( `, has begun and not ended. In arithmetic, bash takes a
# word as a variable and evaluates the variable's value.
_ARITHMETIC = re.compile(
    r"(?:\(\((?:(?!\)\)).)*"
    r"|(?:\$|(?<![\w\\])[A-Za-z_]\w*)\[(?:[^\[\]\n]|\[[^\[\]\n]*\])*"
    r"|\w\+?=\((?:[^()\n]*\s)?\[[^\]\n]*"
    r"|\$\{[!#]?[\w@*]+(?:\[[^\]\n]*\])?:(?![-+=?])(?:[^{}\n]|\{[^{}\n]*\})*"
    r"|\blet\b[^\n;|&]*|\b(?:declare|typeset|local)\s+-\w*i[^\n;|&]*)\Z",
    re.DOTALL,
)
_CONDITION = re.compile(r"\[\[(?:(?!\]\]).)*\Z", re.DOTALL)
_COMPARISON = r"\s-(?:eq|ne|lt|le|ge|gt)\s"
_NAME = re.compile(r"[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*\Z", re.ASCII)
_DOLLAR = re.compile(r"(?<![\w$])\$(?:[^\W\d]\w*)?\$")
_BEFORE_NAME = re.compile(r"\b(?:from|join|into|table|update|view|index|schema|database|exists|truncate)\s+\Z", re.I)


@error
class UnsafeValueError(NbdagError):
    """A value cannot be passed as data at this place, and has characters that the language would interpret."""

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
    prefix = f"{_PREFIX}{secrets.token_hex(8)}_"  # random, so that no value can name these variables
    scan = _ShellScan()
    for n, piece in enumerate(pieces):
        if isinstance(piece, str):
            scan.pass_text(piece)
            text += piece
            continue
        value = str(piece)
        arithmetic = _arithmetic(text, pieces[n + 1 : n + 2])
        if (_INTEGER if arithmetic else _HARMLESS).match(value) and (value or scan.quote):
            scan.pass_text(value)
            text += value
            continue
        if "\0" in value:
            raise UnsafeValueError.of(value, "to a script", "no variable of a shell can hold a NUL character")
        if arithmetic:
            hint = "only an integer can be inserted there, because bash evaluates names in arithmetic"
            raise UnsafeValueError.of(value, f"below {arithmetic!r} of this script", hint)
        if scan.uncertain:
            hint = "assign it to a variable in a line above this construct, such as x='{{ … }}', and use \"$x\""
            raise UnsafeValueError.of(value, f"below {scan.uncertain!r} of this script", hint)
        if scan.in_comment:
            continue  # the value could end the comment
        name = f"{prefix}{len(variables) + 1}"
        variables[name] = value
        scan.pass_value()
        reference = f"${{{name}}}"
        text += {'"': reference, "'": f"'\"{reference}\"'"}.get(scan.quote, f'"{reference}"')
    return Statement(text, variables)


def _arithmetic(before: str, after: Pieces) -> str:
    """Return the beginning of the bash arithmetic that would contain a value between `before` and `after`.

    Return "" if the value would not be in arithmetic.
    """
    if found := _ARITHMETIC.search(before):
        return found[0][:20]
    opened = _CONDITION.search(before)
    following = "".join(each for each in after if isinstance(each, str))
    compared = opened and (re.search(rf"{_COMPARISON}\s*\S*\Z", before) or re.match(rf"\S*{_COMPARISON}", following))
    return "[[" if compared else ""


class _ShellScan:
    """Tracks which quote is open in a script, up to the first construct of bash that makes this uncertain."""

    def __init__(self) -> None:
        self.quote = ""  # the quote that is open, or ""
        self.uncertain = ""  # the first construct after which bash may interpret a value, or ""
        self.in_comment = False
        self._before = ""  # the code so far, without texts in quotes

    def pass_text(self, text: str) -> None:
        n = 0
        while n < len(text):
            char = text[n]
            if self.in_comment:
                self.in_comment = char != "\n"
                self._before += "" if self.in_comment else char
                n += 1
                continue
            if char == "\\" and self.quote != "'":
                if n + 1 == len(text):  # this backslash would escape the value's first character
                    self.uncertain = self.uncertain or char
                n += 2
                self._before += "\\x" if not self.quote else ""
                continue
            if self.quote:
                self.quote = "" if char == self.quote else self.quote
                if self.quote == '"' and (char == "`" or text[n : n + 2] == "$("):
                    self.uncertain = self.uncertain or text[n : n + 2]
            elif char == "#" and (not self._before or self._before[-1] in " \t\n;&|()"):
                self.in_comment = True
            elif char in "'\"":
                self.quote = char
                self._before += char
            else:
                self._before += char
            n += 1
        found = _UNCERTAIN.search(self._before)
        if found:
            self.uncertain = self.uncertain or found[0]

    def pass_value(self) -> None:
        """Continue after a reference to a value, which the script has at this place."""
        self._before += "x"


def sql(pieces: Pieces, prefix: str = "nbdag_") -> Statement:
    """Return SQL with `:name` in place of each value, and the values by name. Raise `UnsafeValueError`.

    Colons in the author's text are not escaped, so `:name` in the text is a parameter, too.
    """
    text, values = "", dict[str, Any]()
    while any(isinstance(each, str) and f":{prefix}" in each for each in pieces):
        prefix += "_"  # the author's text already uses this prefix for other values

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
                hint = "a name may contain only letters, digits and _ there"
                raise UnsafeValueError.of(value, f"in the name {text[-20:].split()[-1]}…", hint)
            text += str(value)
        elif _BEFORE_NAME.search(text):
            if not _NAME.match(str(value)):
                hint = "a name such as sales.orders is expected there"
                raise UnsafeValueError.of(value, f"after {text.split()[-1]}", hint)
            text += str(value)
        elif isinstance(value, list | tuple | set | frozenset):
            # An empty list is bound as one value, because the words before it decide what replaces it.
            many = ", ".join(bound(each) for each in value) or bound(list(value))
            text += many if not value or re.search(r"\(\s*\Z", text) else f"({many})"
        else:
            text += bound(value)
    return Statement(text, values)


def _sql_parts(pieces: Pieces) -> Iterator[str | list[Any]]:
    """Yield the parts of a statement.

    A part is a text, a list with one `Slot`, or a literal that contains values. Such a literal is a list: "'" and then
    the literal's pieces.
    """
    literal: list[Any] | None = None  # the pieces of the current literal; None outside of a literal
    comment = ""  # the text that ends the current comment; "" outside of a comment
    dollar = ""  # the tag of the current $tag$…$tag$; "" outside of one
    name_quote = ""  # the character that opened the current quoted name; "" outside of a quoted name
    text = ""
    for piece in pieces:
        if isinstance(piece, Slot):
            if comment:
                continue  # a value in a comment is dropped
            if dollar:
                hint = "close it above the template, and write the value as a separate literal, '{{ … }}'"
                raise UnsafeValueError.of(piece.value, f"inside {dollar}…{dollar}", hint)
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
            if end := comment or dollar:
                found = piece.find(end, n)
                after = len(piece) if found < 0 else found + len(end)
                text += piece[n:after]
                n = after
                if found >= 0:
                    comment = dollar = ""
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
            elif char == "$" and (tag := _DOLLAR.match(piece, n)):
                dollar = tag[0]
                text += dollar
                n += len(dollar)
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
