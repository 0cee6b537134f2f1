"""Write the proposed notebook: a copy with tagged cells; outputs, metadata and all other cells stay as they are."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from ..core.model.cell_tags import metadata_of
from .suggest import ProposedCell, Suggestion


def tagged_copy(content: Mapping[str, Any], found: Suggestion) -> bytes:
    """Return the text of the proposed notebook; `content` is the notebook as parsed JSON, format 4."""
    with_ids = (content["nbformat"], content.get("nbformat_minor", 0)) >= (4, 5)
    seen: set[int] = set()  # cells whose id and outputs a cell of the copy has already
    cells = []
    for position, proposed in enumerate(found.cells):
        cell = _cell(content, proposed, seen)
        if with_ids and not cell.get("id"):
            cell["id"] = f"nbdag-{position}"
        cells.append(cell)
    return (json.dumps({**content, "cells": cells}, indent=1, ensure_ascii=False) + "\n").encode()


def _cell(content: Mapping[str, Any], proposed: ProposedCell, seen: set[int]) -> dict[str, Any]:
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
    if proposed.type == "code":
        if first in seen:  # the second part of a cell that is split in two
            cell.pop("id", None)
            cell["outputs"] = []
        for other in others:
            cell["outputs"] = [*cell.get("outputs", []), *content["cells"][other].get("outputs", [])]
    seen.update(proposed.cells)
    return cell
