"""What is written beside a cell's source: tags, and nbdag's own part of the metadata.

A notebook comes from anywhere, so its metadata may be missing, null, or what another tool has left under our name; the
answers here are for any of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HELPER = "nbdag"  # tag of nbdag's own steps in an attempt's notebook; of the other cells there:
SETUP = "nbdag-setup"
PARAMETERS = "nbdag-parameters"
TASK = "nbdag-task"
INJECTED = "injected-parameters"  # papermill's, of the cell that it puts in
ERROR = "papermill-error-cell-tag"  # papermill's, of cells that it removes when a report is run again


def metadata_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's metadata, or a notebook's."""
    return _dict(cell.get("metadata"))


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """A cell's tags."""
    tags = metadata_of(cell).get("tags")
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def nbdag_metadata(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What nbdag has written into a cell's metadata."""
    return _dict(metadata_of(cell).get("nbdag"))


def built_line(cell: Mapping[str, Any]) -> int | None:
    """Of a cell that %%dag has built, the line that made it; 0 of the %%dag cell itself."""
    line = nbdag_metadata(cell).get("built")
    return line if isinstance(line, int) and line >= 0 else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
