"""Write Python source that a person reads: literals, calls and names."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

WIDTH = 110  # longest line of a call that is written on one line
_INDENT = "    "
_STANDARD = ("datetime", "json", "shlex")  # the modules of the standard library that exported files may import
_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


class Imports:
    """The imports of a file while it is written."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}  # key: module; value: imported names; empty for `import module`

    def add(self, module: str, *names: str) -> None:
        """Import names from a module. Without names, import the module itself."""
        self._names.setdefault(module, set()).update(names)

    def duration(self, seconds: float) -> Code:
        """Import `timedelta`, and return the source of a duration."""
        self.add("datetime", "timedelta")
        return duration(seconds)

    def lines(self) -> list[str]:
        """Return the lines in the order of isort: first those of the standard library."""
        found: list[str] = []
        for standard in (True, False):
            group = [module for module in sorted(self._names) if (module in _STANDARD) is standard]
            lines = [f"import {module}" for module in group if not self._names[module]]
            for module in group:
                if names := sorted(self._names[module], key=_import_order):
                    lines.append(f"from {module} import {', '.join(names)}")
            found += ["", *lines] if found and lines else lines
        return found


class Code(str):
    """Text that is Python source already, unlike a `str`, which becomes a literal."""


def literal(value: Any) -> str:
    """Return the source of a plain value; `Code` is returned unchanged."""
    match value:
        case Code():
            return str(value)
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(map(literal, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
        case _:
            return repr(value)


def duration(seconds: float) -> Code:
    """Return the source of a `timedelta` for a duration."""
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return Code(f"timedelta({unit}={int(seconds // size)})")
    return Code(f"timedelta(seconds={seconds:g})")


def call(name: str, positional: Iterable[Any], named: Mapping[str, Any], *, indent: int = 0) -> Code:
    """Return a call: on one line if it fits after `indent` characters, otherwise with one argument per line."""
    given = [*map(literal, positional), *(f"{key}={literal(value)}" for key, value in named.items())]
    line = f"{name}({', '.join(given)})"
    if indent + len(line) <= WIDTH and "\n" not in line:
        return Code(line)
    return Code(f"{name}(\n{block(given)})")


def block(items: Iterable[str]) -> str:
    """Return the items, indented and one per line, with a comma after each item that is not a comment."""
    return "".join(f"{_INDENT}{indented(item)}{'' if item.startswith('#') else ','}\n" for item in items)


def indented(text: str, level: int = 1) -> str:
    """Return a text whose lines after the first are indented."""
    return text.replace("\n", f"\n{_INDENT * level}")


def identifier(text: str, taken: Collection[str]) -> str:
    """Return a variable name that is similar to a text and is not in `taken`."""
    name = re.sub(r"\W", "_", text)
    if not name.isidentifier() or keyword.iskeyword(name) or hasattr(builtins, name):
        name = f"task_{name}"
    while name in taken:
        name += "_"
    return name


def _import_order(name: str) -> tuple[bool, bool, str]:
    """Return the key by which isort sorts names: constants, then classes, then functions."""
    return not name.isupper(), not name[0].isupper(), name


def _text(value: str) -> str:
    """Return a text in double quotes, unless single quotes save backslashes."""
    written = repr(value)
    if written[0] == "'" and '"' not in value:
        return f'"{written[1:-1]}"'.replace("\\'", "'")
    return written
