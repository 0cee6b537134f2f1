"""Read notebook files as `Dag`s.

`read` accepts any notebook of format 4, with or without cell ids. For any other file it raises an error with the path
and the next step. Mistakes inside a notebook raise no error: they are in `Dag.problems`, and a problem of severity
error prevents the notebook from running. Reading executes and writes nothing, so the tasks of a `%%dag` cell are not
built (`Dag.unbuilt`). `with_built` inserts cells of built tasks below the `%%dag` cell. In the metadata of an inserted
cell, `nbdag.built` is the line of the `%%dag` cell that built the inserted cell, for messages. In the `%%dag` cell
itself, `nbdag.built` is 0.

A file is parsed only with `json`, and only the fields that nbdag needs are checked, so reading is as fast as parsing.
`text` converts text notebooks (`.py`, `.md`) into the format of `.ipynb`. So other modules know only this format.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from .. import operators
from ..core.analysis.scopes import names_of
from ..core.cells import cells as sorting
from ..core.cells import kale_tags
from ..core.cells.cells import ClassifiedCells, RawCell
from ..core.cells.source import Python, to_python
from ..core.dataflow.graph import dag_from_cells
from ..core.model.cell_tags import TEXT_LINE, built_line, line_in_text, metadata_of, nbdag_metadata, tags_of
from ..core.model.dag import Cell, CellKind, Dag, Problem
from ..core.model.problems import problem, word_repair
from ..core.options.option_types import ID, nearest
from ..core.options.options import TaskOptions
from ..templates import is_template
from .files import SAVE_AGAIN, NotebookError, content_for, executable, parse, read_file
from .text import has_tasks, is_notebook, is_text, stem_of

__all__ = [
    "NotebookError",
    "content_for",
    "executable",
    "has_tasks",
    "id_of",
    "is_notebook",
    "is_text",
    "kernel_of",
    "parse",
    "read",
    "read_cells",
    "read_file",
    "read_raw",
    "read_text",
    "stem_of",
    "with_built",
    "without_built",
]

_TYPES = ("code", "markdown", "raw")


def read(path: str | os.PathLike[str]) -> Dag:
    """Return the pipeline of a notebook file; raise `NotebookError` if it cannot be read."""
    return read_text(read_file(path), name=os.fspath(path))


def read_text(text: str | bytes, *, name: str) -> Dag:
    """Return the pipeline of a notebook's text; `name` is the file's name, for messages and the DAG's id."""
    raw, metadata = read_raw(text, name=name)
    return read_cells(raw, name=name, metadata=metadata)


def read_raw(text: str | bytes, *, name: str) -> tuple[list[RawCell], Mapping[str, Any]]:
    """Return the cells of a notebook's text, and its metadata."""
    content = parse(text, name=name)
    return _raw_cells(content, name), metadata_of(content)


def without_built(text: str | bytes, *, name: str) -> bytes:
    """Return the notebook without built cells, which `with_built` or the report of a run has inserted."""
    content = parse(text, name=name)
    raw = _raw_cells(content, name)
    if all(cell.built is None for cell in raw):
        return text if isinstance(text, bytes) else text.encode()
    content["cells"] = [cell for cell, each in zip(content["cells"], raw, strict=True) if not each.built]
    for cell in content["cells"]:
        nbdag_metadata(cell).pop("built", None)
    return _written(content)


def with_built(text: str | bytes, built: Mapping[int, Sequence[RawCell]], *, name: str, printed: str = "") -> bytes:
    """Return the notebook with the cells that its %%dag cells built.

    `built`: key: index of a %%dag cell; value: the cells that it built. `printed` becomes the output of the first %%dag
    cell.
    """
    content = parse(text, name=name)
    with_ids = (content["nbformat"], content.get("nbformat_minor", 0)) >= (4, 5)
    cells: list[dict[str, Any]] = []
    for index, cell in enumerate(content["cells"]):
        cells.append(cell)
        if index not in built:
            continue
        cell["metadata"] = _marked(cell, 0)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
        printed = ""
        for n, new in enumerate(built[index]):
            inserted: dict[str, Any] = {
                "cell_type": "code",
                "source": new.source,
                "metadata": _marked(_text_line_of(cell), new.built),
                "execution_count": None,
                "outputs": [],
            }
            cells.append({**inserted, "id": f"nbdag-{index}-{n}"} if with_ids else inserted)
    content["cells"] = cells
    return _written(content)


def with_pins(text: bytes, pins: Mapping[str, Any], *, name: str) -> bytes:
    """Return the notebook with a record of its pins.

    In `pins`, `files` is the digest of the pinned files, and `packages` has the exact versions of the packages of the
    environment. If `pins` is empty, the record of an earlier version is removed.
    """
    if not pins and b'"pins"' not in text:
        return text
    content = parse(text, name=name)
    own = nbdag_metadata(content)
    if not pins and "pins" not in own:
        return text
    own = {key: value for key, value in own.items() if key != "pins"} | ({"pins": dict(pins)} if pins else {})
    content["metadata"] = {**metadata_of(content), "nbdag": own}
    return _written(content)


def pins_of(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what `with_pins` has recorded in the metadata of a notebook."""
    pins = nbdag_metadata({"metadata": metadata}).get("pins")
    return pins if isinstance(pins, dict) else {}


def read_cells(raw: Sequence[RawCell], *, name: str, metadata: Mapping[str, Any] | None = None) -> Dag:
    """Return the pipeline of these cells."""
    kernel, language = kernel_of(metadata or {})
    stem = stem_of(PurePath(name).name)
    if language.lower() not in ("python", "python3", "ipython"):
        return _foreign(raw, id_of(stem), kernel, language)
    raw, of_tags = kale_tags.translate(raw, metadata)
    found = sorting.classify(raw)
    made, problems = _apply_operators(found)
    problems += of_tags
    problems += _useless_options(made, found)
    named = found.dag.name if found.dag else None
    if named is None and not re.search(r"[A-Za-z0-9]", id_of(stem)):
        message = f"the file name {stem!r} gives no distinguishable DAG id"
        problems.append(problem("NB113", message, hint="name the pipeline: %dag NAME"))
    dag = dag_from_cells(
        made,
        dag_id=named or id_of(stem),
        options=found.options,
        task_options=found.task_options,
        declared=found.declared,
        problems=(*found.problems, *problems),
        language=language.lower(),
        kernel_name=kernel,
    )
    pins = {key: value for key, value in pins_of(metadata).items() if isinstance(value, str)}
    return replace(dag, pinned_files=pins.get("files", ""), packages=pins.get("packages", "")) if pins else dag


def id_of(stem: str) -> str:
    """Return a DAG id for a file name: accents are removed, and _ replaces characters that are not allowed in ids."""
    plain = unicodedata.normalize("NFKD", stem)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    id = re.sub(r"[^A-Za-z0-9_.-]", "_", plain)[:250]
    return id if ID.match(id) else f"_{id}"[:250]


# -- the contents ------------------------------------------------------------------------------------------------------


def _raw_cells(content: Mapping[str, Any], name: str) -> list[RawCell]:
    raw = [_raw_cell(cell, n, name) for n, cell in enumerate(content["cells"])]
    below = False  # whether all code cells between the previous %%dag cell and this cell are built cells
    for n, cell in enumerate(raw):
        if cell.type == "code":
            below = cell.built == 0 or (below and cell.built is not None)
        if not below and cell.built:
            raw[n] = replace(cell, built=None)  # a cell that the user has moved or copied counts as written by the user
    return raw


def _raw_cell(cell: object, n: int, name: str) -> RawCell:
    def invalid(reason: str) -> NotebookError:
        return NotebookError(name, f"has an invalid cell ({n}, counted from 0): {reason}", SAVE_AGAIN)

    if not isinstance(cell, dict):
        raise invalid("it is not a JSON object")
    if cell.get("cell_type") not in _TYPES:
        raise invalid(f"unknown type {cell.get('cell_type')!r}, expected one of {', '.join(_TYPES)}")
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise invalid("its source is not text")
    try:
        source.encode()
    except UnicodeEncodeError:
        raise invalid("its source contains half of a character (a lone surrogate)") from None
    return RawCell(source, cell["cell_type"], tags_of(cell), built_line(cell), line_in_text(cell))


def _marked(cell: Mapping[str, Any], built: int | None) -> dict[str, Any]:
    return {**metadata_of(cell), "nbdag": {**nbdag_metadata(cell), "built": built}}


def _text_line_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with only the line of a cell in its text notebook; empty for other notebooks."""
    line = line_in_text(cell)
    return {} if line is None else {"metadata": {"nbdag": {TEXT_LINE: line}}}


def _written(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def kernel_of(metadata: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the name of the notebook's kernel, or None, and the notebook's language."""

    def field(section: str, key: str) -> str | None:
        part = metadata.get(section)
        value = part.get(key) if isinstance(part, dict) else None
        return value if isinstance(value, str) and value else None

    language = field("kernelspec", "language") or field("language_info", "name") or "python"
    return field("kernelspec", "name"), language


def _foreign(raw: Sequence[RawCell], dag_id: str, kernel: str | None, language: str) -> Dag:
    """Return a `Dag` without tasks for a notebook in an unsupported language, with the problem."""
    made = [
        Cell(index=n, kind=CellKind.SCRATCH if cell.type == "code" else CellKind.PROSE, source=cell.source)
        for n, cell in enumerate(raw)
    ]
    hint = "choose a Python kernel for it in Jupyter"
    unsupported = problem("NB110", f"the notebook's language is {language}, but nbdag reads Python", hint=hint)
    return Dag(
        id=dag_id,
        options=sorting.classify(()).options,
        cells=tuple(made),
        tasks={},
        problems=(unsupported,),
        language=language.lower(),
        kernel_name=kernel,
    )


def _apply_operators(found: ClassifiedCells) -> tuple[list[Cell], list[Problem]]:
    """Return the cells and problems. In a task's cell, `code` is the source that the operator makes from the body."""
    made, problems = _generated(found, None)
    if any(options.operator not in ("python", "sensor") for options in found.task_options.values()):
        # Some operators need the names that other cells set.
        return _generated(found, _names_of(made, found))
    return made, problems


_DEFAULTS = TaskOptions()


def _useless_options(cells: Sequence[Cell], found: ClassifiedCells) -> Iterator[Problem]:
    """Yield an error for each header option that has no effect, although its author expects one."""
    for cell in cells:
        options = found.task_options.get(cell.index)
        if options is None:
            continue
        if options.zip and not options.map:
            hint = "add --map x=xs once for each list to pair, or remove --zip"
            message = "--zip pairs maps, but there is no --map"
            yield problem("NB314", message, hint=hint, task=cell.task, place=cell.at(1))
        if options.in_step is not None and not options.map:
            hint = f"add --map x=x for a result x of {options.in_step}, or remove --in-step"
            message = "--in-step is for mapped tasks, but there is no --map"
            yield problem("NB314", message, hint=hint, task=cell.task, place=cell.at(1))
        limited = options.max_map_length != _DEFAULTS.max_map_length and "max_map_length" not in found.options.defaults
        if limited and not options.map:
            message = "--max-map-length limits the instances of a mapped task, but there is no --map"
            hint = "add --map x=xs, or remove --max-map-length"
            yield problem("NB314", message, hint=hint, task=cell.task, place=cell.at(1))
        for name in ("poke", "reschedule", "soft_fail"):
            is_set = getattr(options, name) != getattr(_DEFAULTS, name)
            if is_set and not cell.polls and name not in found.options.defaults:
                flag = name.replace("_", "-")
                message = f"--{flag} is for sensors, but the operator is {options.operator}"
                hint = f"add --operator sensor, or remove --{flag}"
                yield problem("NB314", message, hint=hint, task=cell.task, place=cell.at(1))


def _names_of(cells: Sequence[Cell], found: ClassifiedCells) -> frozenset[str]:
    """Return all names that any cell sets."""
    names: set[str] = set()
    for options in found.task_options.values():
        names.update(options.out, (name for name, _ in options.map))
    for cell in cells:
        python = None if cell.kind is CellKind.PROSE else to_python(cell.code)
        if isinstance(python, Python):
            names.update(names_of(python.tree.body).bound, (name for name, _ in python.writes))
    return frozenset(names)


def _generated(found: ClassifiedCells, known: frozenset[str] | None) -> tuple[list[Cell], list[Problem]]:
    made: list[Cell] = []
    problems: list[Problem] = []
    parameters = [name for cell in found.cells if cell.kind is CellKind.PARAMETERS for name in _bound(cell)]
    for cell in found.cells:
        options = found.task_options.get(cell.index)
        if options is None or options.operator == "python":
            made.append(cell)
            continue
        start = found.body[cell.index]
        lines = cell.code.split("\n")
        head, body = lines[: start - 1], "\n".join(lines[start - 1 :])
        try:
            source = operators.source(body, options, known)
        except operators.UnknownOperatorError as failure:
            place = cell.at(max(start - 1, 1))
            repair = word_repair(failure.name, operators.names(), place) if cell.made_at is None else None
            message, hint = failure.message, failure.hint
            problems.append(problem("NB108", message, hint=hint, task=cell.task, place=place, repair=repair))
            source = "pass"
        except operators.OperatorError as failure:
            place = cell.at(start + failure.line - 1)
            problems.append(problem("NB109", failure.message, hint=failure.hint, task=cell.task, place=place))
            source = "pass"
        made.append(replace(cell, code="\n".join([*head, source]), polls=operators.is_sensor(options.operator)))
        if known and source != "pass" and options.operator in operators.BUILT_IN and options.operator != "sensor":
            problems += _unknown_params(cell, body, start, parameters)
        for line, message, hint in operators.body_warnings(body, options, known) if known and source != "pass" else ():
            problems.append(problem("NB116", message, hint=hint, task=cell.task, place=cell.at(start + line - 1)))
    return made, problems


def _bound(cell: Cell) -> frozenset[str]:
    python = to_python(cell.code)
    return names_of(python.tree.body).bound if isinstance(python, Python) else frozenset()


def _unknown_params(cell: Cell, body: str, start: int, parameters: Sequence[str]) -> Iterator[Problem]:
    """Yield an error for each `params.x` in the templates of a body if no cell sets the parameter `x`."""
    if not is_template(body):
        return
    from ..templates.names import read_template
    from ..templates.rendering import TemplateError

    try:
        used = read_template(body).params
    except TemplateError:
        return  # the operator has already reported the error
    for name, line in used:
        if name not in parameters:
            similar = nearest(name, parameters)
            hint = f"did you mean params.{similar}?" if similar else f"set {name} in a cell with %%params"
            message = f"the template reads params.{name}, but no parameters cell sets {name}"
            yield problem("NB109", message, hint=hint, task=cell.task, place=cell.at(start + line - 1))
