"""A Kale notebook: its tags become headers.

`nbdag run` also reads Kale's tags, so an import is only useful for a notebook that will be edited without Kale.
"""

from __future__ import annotations

from pathlib import Path

from ... import notebooks
from ...core.cells.kale_tags import METADATA, TAG_KINDS, is_kale, translate
from ...core.model.cell_tags import metadata_of, tags_of
from ...errors import NbdagError
from .imported import LOAD, Imported, ImportedNotebook, ImportSourceError, code_cell, copied_cells, without_tags


def detect(path: Path) -> bool:
    """Return whether this is a notebook with Kale's tags."""
    if not path.is_file() or not notebooks.is_notebook(path):
        return False
    try:
        raw, _ = notebooks.read_raw(notebooks.read_file(path), name=path.name)
    except NbdagError:
        return False
    return is_kale(raw)


def read(path: Path) -> Imported:
    """Return the notebook with headers in the place of Kale's tags."""
    text = notebooks.read_file(path)
    content = notebooks.parse(text, name=path.name)
    raw, metadata = notebooks.read_raw(text, name=path.name)
    translated, problems = translate(raw, metadata)
    if not is_kale(raw):
        raise ImportSourceError(str(path), "has no tags of Kale", "a step has the tag block:NAME or step:NAME")
    found = Imported()
    for problem in problems:
        place = path.name if problem.place is None else f"{path.name}, {problem.place}"
        found.leave(place, problem.message, problem.hint)
    settings = metadata.get(METADATA)
    experiment = settings.get("experiment_name") if isinstance(settings, dict) else None
    if experiment:
        found.leave(path.name, f"experiment {experiment}", "runs of nbdag belong to their pipeline alone")
    cells = []
    for cell, own in zip(copied_cells(content), translated, strict=True):
        if own.translated is None:
            cells.append(cell)
        elif own.translated:
            tags = [tag for tag in tags_of(cell) if tag.partition(":")[0] in TAG_KINDS]
            cells.append({**without_tags(cell, tags), "source": own.translated})
    kept = {key: value for key, value in metadata_of(content).items() if key != METADATA}
    cells.insert(0, code_cell(LOAD))
    made = {"cells": cells, "metadata": kept, "nbformat": 4, "nbformat_minor": 4}
    found.notebooks.append(ImportedNotebook(name=f"{path.stem}_tasks.ipynb", folder=path.parent, content=made))
    return found
