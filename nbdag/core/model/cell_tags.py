"""Read the metadata of cells: tags, and nbdag's own metadata under the key `nbdag`.

Metadata may be missing, null or of any type, because any tool may have written the notebook. The functions accept
any metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HELPER = "nbdag"  # tag of every cell that nbdag adds to an attempt's notebook
SETUP = "nbdag-setup"
PARAMETERS = "nbdag-parameters"
TASK = "nbdag-task"
INJECTED = "injected-parameters"  # papermill's tag for the cell with overridden parameters
# Key in the metadata of an output. Value: the display id by which later code can update the output.
DISPLAY_ID = "nbdag_display_id"
# Key in the nbdag metadata of an attempt. Value: the attempt's changes of outputs of other tasks.
DISPLAY_UPDATES = "display_updates"
# Key in the nbdag metadata of an attempt. Key: name of a text with templates; value: the rendered text.
RENDERED = "rendered"
# Key in the nbdag metadata of a cell that was read from a text notebook. Value: the line of the text file, from 1, at
# which the cell's source begins.
TEXT_LINE = "text_line"
ERROR = "papermill-error-cell-tag"  # papermill's tag for cells with an error message; a new execution removes the cells


def metadata_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a cell or a notebook."""
    return _dict_or_empty(cell.get("metadata"))


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags of a cell."""
    tags = metadata_of(cell).get("tags")
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def nbdag_metadata(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that a cell has under the key `nbdag`."""
    return _dict_or_empty(metadata_of(cell).get("nbdag"))


def built_line(cell: Mapping[str, Any]) -> int | None:
    """Return the line of the %%dag cell that built this cell.

    Return 0 for the %%dag cell itself, and None for any other cell.
    """
    line = nbdag_metadata(cell).get("built")
    return line if isinstance(line, int) and line >= 0 else None


def line_in_text(cell: Mapping[str, Any]) -> int | None:
    """Return the line, from 1, at which this cell's source begins in a text notebook; None for other notebooks."""
    line = nbdag_metadata(cell).get(TEXT_LINE)
    return line if isinstance(line, int) and line > 0 else None


def remove_text_lines(cells: Sequence[dict[str, Any]]) -> None:
    """Remove the key `text_line` from the metadata of cells, because the cells are written into another file."""
    for cell in cells:
        if line_in_text(cell) is not None:
            own = cell["metadata"]["nbdag"]
            del own[TEXT_LINE]
            if not own:
                del cell["metadata"]["nbdag"]


def _dict_or_empty(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
