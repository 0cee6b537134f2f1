"""Convert a notebook that another scheduler ran as a whole.

The result is a copy of the notebook with tasks, the schedule, and the values of parameters. The tasks are those that
`nbdag suggest` proposes, or one task for the whole notebook if nothing is proposed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ... import notebooks
from ...core.cells.cells import INJECTED_TAG, classify
from ...core.model.cell_tags import metadata_of, remove_text_lines, tags_of
from ...errors import NbdagError
from ..suggest import suggest
from ..tagged_copy import tagged_copy
from .imported import (
    LOAD,
    PARAMETERS,
    Imported,
    Source,
    assignments,
    code_cell,
    copied_cells,
    dag_header,
    notebook,
    placeholder_cell,
    read_source,
    task_cells,
    task_header,
    task_name,
)


def scheduled_notebook(
    path: Path, shown: str, name: str, options: Mapping[str, Any], values: Mapping[str, str], found: Imported
) -> dict[str, Any]:
    """Return a tagged copy of a notebook.

    `shown` is the path for messages, `name` the id of the pipeline, and `options` are those of %dag. `values` has the
    values of parameters, as code. Raise `ImportSourceError` if the file cannot be read.
    """
    source = read_source(path, shown, injected=not values)
    text = notebooks.read_file(path)
    content = notebooks.parse(text, name=shown)
    remove_text_lines(content["cells"])
    content = {**content, "cells": _with_values(copied_cells(content), values), "nbformat_minor": 4}
    raw, metadata = notebooks.read_raw(json.dumps(content), name=shown)
    dag = notebooks.read_cells(raw, name=shown, metadata=metadata)
    if not dag.tasks and not dag.unbuilt:
        content = _proposed(content, shown) or notebook(
            _one_task(source, task_name(path.stem), values), metadata_of(content).get("kernelspec"), load=False
        )
    elif classify(raw).dag is not None:
        line = dag_header(name, **options)
        found.leave(
            shown,
            line,
            "the notebook already has a %dag line; add the options of this line to it",
        )
        return content
    cells = [cell for cell in content["cells"] if "".join(cell["source"]).strip() != f"{LOAD}\n%dag"]
    return {**content, "cells": [code_cell(f"{LOAD}\n{dag_header(name, **options)}"), *cells]}


def _with_values(cells: list[dict[str, Any]], values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the cells with these values as defaults: in the parameters cell, or in a new one if there is none."""
    if not values:
        return cells
    cells = [cell for cell in cells if INJECTED_TAG not in tags_of(cell)]
    code = "\n".join(f"{name} = {value}" for name, value in values.items())
    for cell in cells:
        if cell["cell_type"] == "code" and PARAMETERS in tags_of(cell):
            source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
            own = assignments(source)
            if own is not None:
                kept = [statement for name, statement in own.items() if name not in values]
                source = "\n".join(kept)
            cell["source"] = f"{source}\n{code}".strip("\n")
            return cells
    return [code_cell(code, tags=[PARAMETERS]), *cells]


def _proposed(content: Mapping[str, Any], shown: str) -> dict[str, Any] | None:
    """Return the notebook with the proposed tasks, or None if there is no proposal without errors."""
    raw, metadata = notebooks.read_raw(json.dumps(content), name=shown)
    counts = [cell.get("execution_count") for cell in content["cells"]]
    with contextlib.suppress(NbdagError):
        proposal = suggest(raw, name=shown, executed=counts, language=notebooks.kernel_of(metadata)[1])
        if not proposal.dag.errors:
            made: dict[str, Any] = json.loads(tagged_copy(content, proposal))
            return made
    return None


def _one_task(source: Source, name: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the cells of a notebook that is one task."""
    header = task_header(name)
    if source.language.lower() not in ("python", "python3", "ipython"):
        return [placeholder_cell(header, f"the notebook is in {source.language}, and tasks are in Python", source.code)]
    lines = [f"{key} = {value}" for key, value in values.items()]
    parameters = "\n".join(part for part in (source.parameters, *lines) if part)
    cells = [code_cell(f"%%params\n{parameters}")] if parameters else []
    return [*cells, *task_cells(replace(source, parameters=""), header)]


def local_zone() -> str | None:
    """Return the name of this machine's time zone, or None if it is unknown."""
    name = os.environ.get("TZ", "").removeprefix(":")
    with contextlib.suppress(OSError):
        name = name or Path("/etc/localtime").readlink().as_posix().partition("zoneinfo/")[2]
    with contextlib.suppress(OSError):
        name = name or Path("/etc/timezone").read_text(encoding="utf-8").strip()
    try:
        key = ZoneInfo(name).key if name else None
        return "UTC" if key in ("Etc/UTC", "Etc/UCT", "UCT", "Universal", "Zulu") else key
    except (ValueError, OSError, KeyError):
        return None
