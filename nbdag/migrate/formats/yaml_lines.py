"""Load YAML with the line of each entry, for messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .imported import ImportSourceError


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a YAML file."""

    node: yaml.Node | None  # None for an empty file
    value: Any

    @property
    def line(self) -> int:
        """Return the line of the entry, from 1."""
        return 1 if self.node is None else self.node.start_mark.line + 1

    def lines(self) -> Iterator[tuple[str, int]]:
        """Yield the keys of a mapping with their lines."""
        if isinstance(self.node, yaml.MappingNode):
            yield from ((str(key.value), key.start_mark.line + 1) for key, _ in self.node.value)

    def line_of(self, key: str) -> int:
        """Return the line of a key; if the entry lacks the key, return the line of the entry."""
        return next((line for name, line in self.lines() if name == key), self.line)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key."""
        return self.value.get(key, default) if isinstance(self.value, dict) else default

    def child(self, key: str) -> Entry | None:
        """Return the entry of a key, or None."""
        if isinstance(self.node, yaml.MappingNode):
            for name, node in self.node.value:
                if name.value == key:
                    return Entry(node, self.value[key])
        return None

    def items(self) -> Iterator[Entry]:
        """Yield the entries of a sequence."""
        if isinstance(self.node, yaml.SequenceNode) and isinstance(self.value, list):
            yield from (Entry(node, value) for node, value in zip(self.node.value, self.value, strict=True))


def load(path: Path) -> Entry:
    """Return the contents of a YAML file; raise `ImportSourceError` if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return Entry(node, yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else "not UTF-8 text"
        raise ImportSourceError(str(path), f"cannot be read ({reason.lower()})", "check the path") from None
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ImportSourceError(str(path), f"is not valid YAML{where}", "correct it") from None
