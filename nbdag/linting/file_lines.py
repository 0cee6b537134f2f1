"""Find the line of a cell in the notebook's file, for programs that show the file as text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..core.model.dag import Place

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]|\n|[^\s{}\[\],"]+')


def line_in_file(lines: Mapping[int, tuple[int, ...]], place: Place | None) -> int:
    """Return the line of the file, from 1, that contains a place in a cell. `lines` is the result of `source_lines`."""
    if place is not None and place.text_line is not None:  # the file is a text notebook
        return place.text_line
    found = lines.get(place.cell, ()) if place is not None else ()
    return found[min(place.line, len(found)) - 1] if place is not None and found else 1


def source_lines(text: str) -> dict[int, tuple[int, ...]]:
    """Return the lines of the file, from 1, that contain the strings of each cell's source. The keys are cell indexes.

    Jupyter writes each line of a cell as a separate string. If a program has written the source as a single string, the
    tuple of the cell has one entry.
    """
    found: dict[int, tuple[int, ...]] = {}
    # For each open object, the key of the current member; for each open array, the index of the current element.
    opened: list[str | int] = []
    line = 1
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "\n":
                line += 1
            case "{":
                opened.append("")
            case "[":
                opened.append(0)
            case "}" | "]":
                opened = opened[:-1]
            case "," if opened and isinstance(opened[-1], int):
                opened[-1] += 1
            case string if string.startswith('"') and opened:
                if isinstance(opened[-1], str) and text[token.end() : token.end() + 9].lstrip().startswith(":"):
                    opened[-1] = string[1:-1]
                elif opened[0] == "cells" and opened[2:3] == ["source"]:
                    index = opened[1]
                    assert isinstance(index, int)
                    found[index] = (*found.get(index, ()), line)
    return found
