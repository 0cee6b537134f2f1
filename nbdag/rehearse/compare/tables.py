"""Compare two HTML tables cell by cell, as pandas, polars and others display data frames."""

from __future__ import annotations

from html.parser import HTMLParser

from .texts import TOLERANCE, change, equal_texts, meaningful, text_difference

_MAX_LABEL = 40  # maximum length of a label in a message
_MAX_ROWS = 10_000  # maximum number of rows that are compared


class _Reader(HTMLParser):
    """Reads the tables of a page, and the text outside of them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self.headers: list[int] = []  # number of rows in each table's head
        self.text: list[str] = []
        self._open: list[list[list[str]]] = []
        self._cell: list[str] | None = None
        self._hidden = 0
        self._in_head = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script"):
            self._hidden += 1
        elif tag == "table":
            self.tables.append([])
            self.headers.append(0)
            self._open.append(self.tables[-1])
        elif tag == "thead":
            self._in_head = True
        elif self._open and tag == "tr":
            self._open[-1].append([])
            if self._in_head:
                self.headers[-1] += 1
        elif self._open and tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._hidden = max(0, self._hidden - 1)
        elif tag == "table" and self._open:
            self._open.pop()
        elif tag == "thead":
            self._in_head = False
        elif tag in ("td", "th") and self._cell is not None and self._open:
            if not self._open[-1]:
                self._open[-1].append([])
            self._open[-1][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._cell is not None:
            self._cell.append(data)
        elif data.strip():
            self.text.append(" ".join(data.split()))


def html_difference(first: str, second: str, tolerance: float = TOLERANCE) -> str | None:
    """Return the first visible difference between two HTML texts; None if there is none.

    Tables are compared by cell, and other elements by their text. Attributes, styles and scripts do not count.
    """
    before, after = _read(first), _read(second)
    for old, new, head in zip(before.tables, after.tables, before.headers, strict=False):
        if (found := _table_difference(old, new, head, tolerance)) is not None:
            return found
    if len(before.tables) != len(after.tables):
        return f"{len(before.tables)} tables became {len(after.tables)}"
    return text_difference("\n".join(before.text), "\n".join(after.text), tolerance)


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def _table_difference(old: list[list[str]], new: list[list[str]], head: int, tolerance: float) -> str | None:
    if (size := _size(old, head)) != (other := _size(new, head)):
        return f"a table of {size} became one of {other}"
    names = old[head - 1] if head else []
    changed: list[str] = []
    for row, (before, after) in enumerate(zip(old[:_MAX_ROWS], new[:_MAX_ROWS], strict=True)):
        for column, (a, b) in enumerate(zip(before, after, strict=False)):
            if not equal_texts(a, b, tolerance):
                changed.append(
                    f"{_place(row, column, before, names, head)}: {change(meaningful(a), meaningful(b), 40)}"
                )
    if not changed:
        return None
    return changed[0] if len(changed) == 1 else f"{changed[0]} ({len(changed)} cells of the table differ)"


def _size(table: list[list[str]], head: int) -> str:
    rows = len(table) - head
    columns = max((len(row) for row in table), default=0)
    return f"{rows} row{'' if rows == 1 else 's'} and {columns} column{'' if columns == 1 else 's'}"


def _place(row: int, column: int, cells: list[str], names: list[str], head: int) -> str:
    if row < head:
        return f"heading {column + 1} of the table"
    name = names[column] if column < len(names) and 0 < len(names[column]) <= _MAX_LABEL else str(column + 1)
    label = cells[0] if column and 0 < len(cells[0]) <= _MAX_LABEL else str(row - head + 1)
    return f"row {label}, column {name}"
