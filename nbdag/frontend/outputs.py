"""What an attempt put out, fit to be shown elsewhere: the richest form of each output that nobody needs to trust.

Pictures are data, text is text, and HTML is left to the front end, which shows it in a frame where no script runs.
JavaScript, widgets and whatever else would have to run are told by their text instead.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.model.cell_tags import PARAMETERS, SETUP, TASK, tags_of
from .messages import Output

LOG = 40_000  # characters of a log's end
_MAX_BYTES = 4  # of a character in UTF-8
LARGEST = 2_000_000  # characters of one output
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
_BEST_FIRST = ("text/html", *_PICTURES, "text/markdown", "text/latex", "text/plain")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_SHOWN = frozenset({TASK, SETUP, PARAMETERS})


def of_attempt(notebook: Path) -> list[Output]:
    """The outputs of an attempt's notebook; none where it is not there (yet)."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    except (OSError, ValueError):
        return []
    found: list[Output] = []
    for cell in cells:
        own = _SHOWN & set(tags_of(cell))
        for output in cell.get("outputs", ()):
            # A helper's cell says nothing, unless it fails: then what it says is why the task did.
            if own or output.get("output_type") == "error":
                found.extend(of_output(output))
    return found


def of_output(output: Mapping[str, Any]) -> list[Output]:
    """One output of nbformat's."""
    kind = output.get("output_type")
    if kind == "stream":
        return [_told("text/x-stderr" if output.get("name") == "stderr" else "text/plain", _text(output.get("text")))]
    if kind == "error":
        lines = output.get("traceback") or [f"{output.get('ename')}: {output.get('evalue')}"]
        return [_told("text/x-error", "\n".join(map(str, lines)))]
    return of_bundle(output.get("data", {}))


def of_bundle(bundle: Mapping[str, Any]) -> list[Output]:
    """The richest form that a display has."""
    for mime in _BEST_FIRST:
        if mime in bundle:
            return [_told(mime, _text(bundle[mime]))]
    return []


def log(path: Path) -> str:
    """Return the end of an attempt's log. Only the end is read, as a log may have any size."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG * _MAX_BYTES))
            text = file.read(LOG * _MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return plain(text[-LOG:])


def plain(text: str) -> str:
    """Without a terminal's colours; a line that was written over shows what was written last."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _told(mime: str, data: str) -> Output:
    if len(data) > LARGEST:
        return {"mime": "text/plain", "data": f"an output of {len(data):,} characters is in the attempt's notebook"}
    picture = mime in _PICTURES and mime != "image/svg+xml"
    return {"mime": mime, "data": "".join(data.split()) if picture else data if mime == "text/html" else plain(data)}


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, Iterable):
        return "".join(map(str, data))
    return str(data)
