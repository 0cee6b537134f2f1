"""Find the statements, bound values and tables in the text of SQL.

Strings, quoted names, comments and PostgreSQL's `$$…$$` are skipped, so a colon or semicolon in them is only text.
This module knows no dialect of SQL: only the database parses the statements completely.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NAME = r"[^\W\d]\w*"
_SKIPPED = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | --[^\n]* | /\*.*?\*/ | (?P<dollar>\$\w*\$).*?(?P=dollar)
    """,
    re.VERBOSE | re.DOTALL,
)
_BOUND = re.compile(rf"(?<![:\w\\]):(?P<name>{_NAME})(?!:)")
_IN = re.compile(r"\bIN\s*\Z", re.IGNORECASE)
_OPERAND = re.compile(
    r"(?:^|[\s(,])(?P<operand>(?!(?:END|NOT)\b)(?:\w+\.)*\w+)\s+(?:NOT\s+)?IN\s*\(?\s*\Z", re.IGNORECASE
)
_TABLE = rf'(?P<table>{_NAME}|"[^"]+")(?![\w.("])'
_FROM = re.compile(rf"\b(?:FROM|JOIN|SUMMARIZE|DESCRIBE|PIVOT|UNPIVOT|COPY|INTO)\s+{_TABLE}", re.IGNORECASE)
# Words that may follow the name of a table without being its alias.
_CLAUSE = r"WHERE|JOIN|ON|USING|GROUP|ORDER|LEFT|RIGHT|FULL|INNER|CROSS|NATURAL|SELECT|LIMIT|UNION|QUALIFY"
_NEXT = re.compile(rf"\s*(?:(?:AS\s+)?(?!(?:{_CLAUSE})\b){_NAME}\s*)?,\s*{_TABLE}", re.IGNORECASE)
_DEFINED = re.compile(
    rf"\b(?:WITH(?:\s+RECURSIVE)?|,)\s+(?P<cte>{_NAME})\s*(?:\([^()]*\)\s*)?AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\("
    rf"|\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?:TABLE|VIEW|MACRO)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"(?P<made>{_NAME})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text."""

    text: str
    line: int  # line of the statement's first word, from 1


def blanked(text: str, *, quoted_names: bool = True) -> str:
    """Return the text with blanks in place of strings, comments and, if `quoted_names`, quoted names."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] == '"' and not quoted_names else re.sub(r"[^\n]", " ", found)

    return _SKIPPED.sub(blank, text)


def bound_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the name of each `:name`."""
    for match in _BOUND.finditer(blanked(text)):
        yield match.start(), match["name"]


def tables(text: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the name of each table that the text reads without defining it."""
    plain = blanked(text, quoted_names=False)
    own = {(match["cte"] or match["made"]).lower() for match in _DEFINED.finditer(plain)}
    for match in _FROM.finditer(plain):
        found: re.Match[str] | None = match
        while found is not None:
            name = found["table"].strip('"')
            if name.lower() not in own:
                yield found.start("table"), name
            found = _NEXT.match(plain, found.end())


def statements(text: str, *, split: bool = True) -> list[Statement]:
    """Return the statements of a text, except empty statements."""
    plain = blanked(text, quoted_names=True)
    ends = [match.start() for match in re.finditer(";", plain)] if split else []
    found = []
    start = 0
    for end in [*ends, len(text)]:
        inside = plain[start:end]
        first = start + len(inside) - len(inside.lstrip())
        if inside.strip():
            found.append(Statement(text[first:end].rstrip(), text.count("\n", 0, first) + 1))
        start = end + 1
    return found


def bind(text: str, values: Mapping[str, Any], mark: str) -> tuple[str, dict[str, Any]]:
    """Return a statement in the database's syntax for bound values, and the values that it uses.

    `mark` is written before a name: `:` or `$`. A list after IN becomes one value for each element. If `mark` is
    `:`, other colons are written `\\:`, because SQLAlchemy would read these colons as bound values.
    """
    used: dict[str, Any] = {}
    elements: dict[str, list[str]] = {}  # key: name of a list; value: names of its elements
    made, at = "", 0
    for start, name in bound_names(text):
        if name not in values:
            continue
        made += _escaped(text[at:start], mark)
        at = start + 1 + len(name)
        value = values[name]
        if isinstance(value, list | tuple | set | frozenset) and _IN.search(blanked(text)[:start].rstrip(" (")):
            if name not in elements:
                elements[name] = _unused_names(name, len(value), {*values, *used})
            names = elements[name]
            used.update(zip(names, value, strict=True))
            inside = ", ".join(f"{mark}{each}" for each in names) or _no_rows(text[:start])
            made += inside if blanked(text)[:start].rstrip().endswith("(") else f"({inside})"
        else:
            used[name] = value
            made += f"{mark}{name}"
    return made + _escaped(text[at:], mark), used


def _unused_names(name: str, count: int, taken: Collection[str]) -> list[str]:
    while True:
        names = [f"{name}_{n}" for n in range(count)]
        if not set(names) & set(taken):
            return names
        name += "_"


def _no_rows(before: str) -> str:
    """Return a query without rows, which replaces an empty list after `x IN (`.

    If NULL replaced the list, NOT IN would be true for no row. The column of the query must have the type of `x`, so
    the query selects `x` if `x` is one word.
    """
    operand = _OPERAND.search(before)
    return f"SELECT {operand['operand'] if operand else 'NULL'} WHERE 1 = 0"


def unknown_names(text: str, known: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each `:name` that has no value."""
    for start, name in bound_names(text):
        if name not in known:
            yield text.count("\n", 0, start) + 1, name


def _escaped(text: str, mark: str) -> str:
    return re.sub(r"(?<!\\):", r"\\:", text) if mark == ":" else text
