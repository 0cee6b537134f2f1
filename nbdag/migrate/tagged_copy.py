"""Write the proposed notebook: a copy with tagged cells; outputs, metadata and all other cells stay as they are."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from ..core.cells.cells import PARAMETERS_TAG
from ..core.model.cell_tags import metadata_of, tags_of
from .suggest import ProposedCell, Suggestion


def tagged_copy(content: Mapping[str, Any], found: Suggestion) -> bytes:
    """Return the text of the proposed notebook; `content` is the notebook as parsed JSON, format 4."""
    with_ids = (content["nbformat"], content.get("nbformat_minor", 0)) >= (4, 5)
    seen: set[int] = set()  # cells of which the copy already has the id and the outputs
    working = {cell for each in found.cells if each.source.startswith("%%task ") for cell in each.cells}
    cells = []
    for position, proposed in enumerate(found.cells):
        cell = _cell(content, proposed, seen, working)
        if with_ids and not cell.get("id"):
            cell["id"] = f"nbdag-{position}"
        cells.append(cell)
    return (json.dumps({**content, "cells": cells}, indent=1, ensure_ascii=False) + "\n").encode()


def _cell(content: Mapping[str, Any], proposed: ProposedCell, seen: set[int], working: set[int]) -> dict[str, Any]:
    if not proposed.cells:
        return {
            "cell_type": "code",
            "source": proposed.source,
            "metadata": {},
            "execution_count": None,
            "outputs": [],
        }
    first, *others = proposed.cells
    cell: dict[str, Any] = copy.deepcopy(content["cells"][first])
    if not proposed.changed:
        return cell
    cell["source"] = proposed.source
    if proposed.tags:
        cell["metadata"] = {**metadata_of(cell), "tags": list(proposed.tags)}
    elif PARAMETERS_TAG in tags_of(cell):  # a task changes the parameters, so the cell is part of the task
        cell["metadata"]["tags"] = [tag for tag in tags_of(cell) if tag != PARAMETERS_TAG]
    if proposed.type != "code":
        return cell
    is_task = proposed.source.startswith("%%task ")
    if first in seen or (first in working and not is_task):  # one part of a cell that is split
        cell.pop("id", None)
        cell["outputs"] = []
    for other in others:
        if other not in seen:
            cell["outputs"] = [*_outputs(cell), *_outputs(content["cells"][other])]
    if is_task or first not in working:
        seen.update(proposed.cells)
    return cell


def _outputs(cell: Mapping[str, Any]) -> list[Any]:
    outputs = cell.get("outputs")
    return outputs if isinstance(outputs, list) else []
