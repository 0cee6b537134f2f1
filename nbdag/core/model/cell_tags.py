"""Read the metadata of cells: tags, and the part under the key nbdag.

Metadata may be missing, null or of any type, because any tool may have written the notebook. The functions accept
any metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HELPER = "nbdag"  # tag of every cell that nbdag adds to an attempt's notebook
SETUP = "nbdag-setup"
PARAMETERS = "nbdag-parameters"
TASK = "nbdag-task"
INJECTED = "injected-parameters"  # papermill's tag for the cell with overridden parameters
DISPLAY_ID = "nbdag_display_id"  # in the metadata of an attempt's output: the id by which it can be updated
DISPLAY_UPDATES = "display_updates"  # in the nbdag metadata of an attempt: its updates of outputs of other tasks
RENDERED = "rendered"  # key of nbdag's metadata of an attempt: the texts whose templates were rendered, by name
ERROR = "papermill-error-cell-tag"  # papermill's tag for error messages, removed when a report is executed again


def metadata_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a cell or a notebook."""
    return _dict_or_empty(cell.get("metadata"))


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a cell."""
    tags = metadata_of(cell).get("tags")
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def nbdag_metadata(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a cell's metadata under the key nbdag."""
    return _dict_or_empty(metadata_of(cell).get("nbdag"))


def built_line(cell: Mapping[str, Any]) -> int | None:
    """Return the line of the %%dag cell that built this cell, 0 for the %%dag cell itself, None for any other cell."""
    line = nbdag_metadata(cell).get("built")
    return line if isinstance(line, int) and line >= 0 else None


def _dict_or_empty(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
