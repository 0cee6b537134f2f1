"""A folder of numbered notebooks, such as `01_load.ipynb`. Each becomes a task that runs after all with lower numbers.

Notebooks with the same number do not depend on one another. A parameter moves into a common parameters cell if all
notebooks with this parameter give it the same default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...notebooks import id_of, is_notebook
from .imported import (
    Imported,
    ImportedNotebook,
    ImportSourceError,
    Source,
    assignments,
    code_cell,
    is_text_notebook,
    notebook,
    placeholder_cell,
    prose_cell,
    read_source,
    task_cells,
    task_header,
    task_name,
)

_NUMBERED = re.compile(r"(\d+(?:[._]\d+)*)([a-z])?(?=[\W_]|[A-Z]|$)[\W_]*(.*)")


def detect(path: Path) -> bool:
    """Return whether this is a folder with numbered notebooks."""
    return path.is_dir() and bool(_files(path))


def read(path: Path) -> Imported:
    """Return one notebook with a task for each numbered notebook of the folder."""
    files = _files(path)
    if not files:
        hint = "name its notebooks in order, such as 01_load.ipynb and 02_train.ipynb"
        raise ImportSourceError(str(path), "has no numbered notebooks", hint)
    found = Imported()
    sources = {file: read_source(file, file.name) for file in files.values()}
    shared = _shared_parameters(sources, found)
    cells = [prose_cell(f"# {path.resolve().name}")]
    if shared:
        cells.append(code_cell("\n".join(["%%params", *shared.values()])))
    by_number: dict[tuple[tuple[int, ...], str], list[str]] = {}
    taken: list[str] = []
    for (number, letter, _), file in files.items():
        key = (number, letter)
        before = [each for other, each in by_number.items() if other < key]
        match = _NUMBERED.fullmatch(file.stem)
        name = task_name(match[3] if match and re.search("[A-Za-z]", match[3]) else f"step_{file.stem}", taken)
        taken.append(name)
        header = task_header(name, after=tuple(before[-1]) if before else ())
        by_number.setdefault(key, []).append(name)
        source = sources[file]
        if source.language.lower() not in ("python", "python3", "ipython"):
            reason = f"{file.name} is in {source.language}, and tasks are in Python"
            cells.append(placeholder_cell(header, reason, source.code))
            found.leave(file.name, f"code in {source.language}", "the task fails until its code is in Python")
        else:
            cells += task_cells(_without_parameters(source, shared), header)
    kernels = {str(source.kernel["name"]): source.kernel for source in sources.values() if source.kernel.get("name")}
    for file, source in sources.items():
        if len(kernels) > 1 and source.kernel.get("name") not in (None, next(iter(kernels))):
            found.leave(file.name, f"kernel {source.kernel['name']}", f"all tasks run in {next(iter(kernels))}")
    content = notebook(cells, next(iter(kernels.values()), None))
    stem = id_of(path.resolve().name)
    found.notebooks.append(ImportedNotebook(name=f"{stem}.ipynb", folder=path, content=content))
    return found


def _files(path: Path) -> dict[tuple[tuple[int, ...], str, str], Path]:
    """Return the numbered notebooks in order. The key is the number, the letter after the number, and the file name."""
    found = {}
    try:
        entries = sorted(path.iterdir())
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
        raise ImportSourceError(str(path), f"cannot be read ({reason})", "check the path") from None
    stems = {entry.stem for entry in entries if entry.suffix == ".ipynb"}
    for entry in entries:
        match = _NUMBERED.fullmatch(entry.stem)
        if match is None or not entry.is_file() or not is_notebook(entry):
            continue
        is_script = entry.suffix == ".py" and not is_text_notebook(entry)
        if is_script or (entry.suffix != ".ipynb" and entry.stem in stems):  # a script, or paired with an .ipynb file
            continue
        number = tuple(map(int, re.split(r"[._]", match[1])))
        found[number, match[2] or "", entry.name] = entry
    return dict(sorted(found.items()))


def _shared_parameters(sources: Mapping[Path, Source], found: Imported) -> dict[str, str]:
    """Return the parameters that have the same default in all their notebooks."""
    values: dict[str, dict[str, list[str]]] = {}
    for file, source in sources.items():
        for name, statement in (assignments(source.parameters) or {}).items():
            values.setdefault(name, {}).setdefault(statement, []).append(file.name)
    for name, given in values.items():
        if len(given) > 1:
            files = ", ".join(each[0] for each in given.values())
            found.leave(files, f"parameter {name}", "its defaults differ, so each task keeps its own; -p cannot set it")
    return {name: next(iter(given)) for name, given in values.items() if len(given) == 1}


def _without_parameters(source: Source, shared: Mapping[str, str]) -> Source:
    own = assignments(source.parameters)
    if own is None:
        return source
    return replace(source, parameters="\n".join(own[name] for name in own if name not in shared))
