"""Convert the outputs of an attempt into a form that is safe to show on any page.

Each output is reduced to its richest form that cannot run code: an image, text, or HTML, which the front
end shows in a frame without scripts. JavaScript, widgets and other active outputs are replaced by
their text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ..core.model.cell_tags import HELPER, TASK, tags_of
from .messages import DisplayOutput, MimeType

MAX_LOG = 40_000  # maximum number of characters to show from the end of a log
_MAX_BYTES = 4  # maximum number of bytes of a character in UTF-8
MAX_STREAM = 100_000  # maximum number of characters to show from the end of a stream's text
MAX_OUTPUT = 2_000_000  # maximum number of characters of an output; longer outputs are not shown
_BASE64_IMAGES: tuple[MimeType, ...] = ("image/png", "image/jpeg", "image/gif", "image/webp")
_RICHEST_FIRST: tuple[MimeType, ...] = (
    "text/html", *_BASE64_IMAGES, "image/svg+xml", "text/markdown", "text/latex", "text/plain",
)  # fmt: skip
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Outputs of setup cells are not shown, because they are the same for every task. The report shows them.
_SHOWN_CELLS = frozenset({TASK, HELPER})


def attempt_outputs(notebook: Path) -> list[DisplayOutput]:
    """Return the outputs in an attempt's notebook, or [] if the notebook is missing or not yet complete."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8")).get("cells", [])
    except (OSError, ValueError):
        return []
    found: list[DisplayOutput] = []
    for cell in cells:
        shown = _SHOWN_CELLS & set(tags_of(cell))
        for output in _joined(cell.get("outputs", ())):
            # Of all other cells, only errors are shown, because they explain why the task failed.
            if shown or output.get("output_type") == "error":
                found.extend(display_outputs(output))
    return found


def _joined(outputs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Join consecutive texts of the same stream into one output. Only the end of a long text is kept."""
    found: list[Mapping[str, Any]] = []
    for (kind, name), group in groupby(outputs, lambda each: (each.get("output_type"), each.get("name"))):
        if kind != "stream":
            found += group
            continue
        text = "".join(_text(each.get("text")) for each in group)
        if len(text) > MAX_STREAM:
            end = text[text.find("\n", len(text) - MAX_STREAM) + 1 :]
            text = f"[{len(text) - len(end):,} earlier characters are in the log]\n{end}"
        found.append({"output_type": "stream", "name": name, "text": text})
    return found


def display_outputs(output: Mapping[str, Any]) -> list[DisplayOutput]:
    """Return the safe form of an nbformat output, or [] if the output has no safe form."""
    kind = output.get("output_type")
    if kind == "stream":
        mime: MimeType = "text/x-stderr" if output.get("name") == "stderr" else "text/plain"
        return [_limited(mime, _text(output.get("text")))]
    if kind == "error":
        lines = output.get("traceback") or [f"{output.get('ename')}: {output.get('evalue')}"]
        return [_limited("text/x-error", "\n".join(map(str, lines)))]
    return bundle_outputs(output.get("data", {}))


def bundle_outputs(bundle: Mapping[str, Any]) -> list[DisplayOutput]:
    """Return the richest safe form of a MIME bundle, or [] if there is none."""
    for mime in _RICHEST_FIRST:
        if mime in bundle:
            return [_limited(mime, _text(bundle[mime]))]
    return []


def log_tail(path: Path) -> str:
    """Return the end of an attempt's log as plain text, or "" if the log cannot be read.

    Only the end of the file is read, because a log can be large.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG * _MAX_BYTES))
            text = file.read(MAX_LOG * _MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return plain_text(text[-MAX_LOG:])


def plain_text(text: str) -> str:
    """Return the text without ANSI codes. If carriage returns overwrite a line, only its last version is kept."""
    lines = _ANSI.sub("", text).replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _limited(mime: MimeType, data: str) -> DisplayOutput:
    if len(data) > MAX_OUTPUT:
        text = f"output of {len(data):,} characters is too long to show; see the attempt's notebook"
        return {"mime": "text/plain", "data": text}
    if mime in _BASE64_IMAGES:
        return {"mime": mime, "data": "".join(data.split())}
    return {"mime": mime, "data": data if mime == "text/html" else plain_text(data)}


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, Iterable):
        return "".join(map(str, data))
    return str(data)
