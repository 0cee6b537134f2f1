"""Read notebook files as `Dag`s.

`read` accepts any notebook of format 4, with or without cell ids. For any other file it raises an error with the path
and the next step. Mistakes inside a notebook raise no error: they are in `Dag.problems`, and a problem of severity
error prevents the notebook from running. Reading executes and writes nothing, so the tasks of a `%%dag` cell are not
built (`Dag.unbuilt`). `with_built` inserts cells of built tasks below the `%%dag` cell. In the metadata of each
inserted cell, `nbdag.built` is the line of the `%%dag` cell that built it (and 0 in the `%%dag` cell itself), so that
places in messages refer to the user's file.

A file is parsed only with `json`, and only the few fields that matter are checked, so reading a thousand cells takes no
longer than parsing them.
"""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from . import operators
from .core.analysis.scopes import names_of
from .core.cells import cells as sorting
from .core.cells.cells import ClassifiedCells, RawCell
from .core.cells.source import Python, to_python
from .core.dataflow.graph import dag_from_cells
from .core.model.cell_tags import built_line, metadata_of, nbdag_metadata, tags_of
from .core.model.dag import Cell, CellKind, Dag, Problem
from .core.model.problems import problem
from .core.options.option_types import ID, nearest
from .errors import NbdagError, error
from .templates import is_template

_TYPES = ("code", "markdown", "raw")
_MAX_SIZE = 512 << 20  # maximum size of a file in bytes; reading JSON takes several times as much memory
_SAVE_AGAIN = "open the file in Jupyter and save it again"


@error
class NotebookError(NbdagError):
    """A file cannot be read as a notebook."""

    exit_code = 2
    path: str  # path of the file, as the caller gave it
    reason: str
    hint: str  # what the user can do
    template = "{path} {reason}; {hint}"


def read(path: str | os.PathLike[str]) -> Dag:
    """Return the pipeline of a notebook file; raise `NotebookError` if it cannot be read."""
    return read_text(_bytes(path), name=os.fspath(path))


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
    """Return the notebook with built cells and the printed output. Both are given by the index of the %%dag cell."""
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
                "metadata": _marked({}, new.built),
                "execution_count": None,
                "outputs": [],
            }
            cells.append({**inserted, "id": f"nbdag-{index}-{n}"} if with_ids else inserted)
    content["cells"] = cells
    return _written(content)


def read_cells(raw: Sequence[RawCell], *, name: str, metadata: Mapping[str, Any] | None = None) -> Dag:
    """Return the pipeline of these cells."""
    kernel, language = kernel_of(metadata or {})
    stem = PurePath(name).name.removesuffix(".ipynb")
    if language.lower() not in ("python", "python3", "ipython"):
        return _foreign(raw, id_of(stem), kernel, language)
    found = sorting.classify(raw)
    made, problems = _apply_operators(found)
    problems += _useless_options(made, found)
    named = found.dag.name if found.dag else None
    if named is None and not re.search(r"[A-Za-z0-9]", id_of(stem)):
        message = f"the file name {stem!r} gives no distinguishable DAG id"
        problems.append(problem("NB113", message, hint="name the pipeline: %dag NAME"))
    return dag_from_cells(
        made,
        dag_id=named or id_of(stem),
        options=found.options,
        task_options=found.task_options,
        declared=found.declared,
        problems=(*found.problems, *problems),
        language=language.lower(),
        kernel_name=kernel,
    )


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a notebook file; raise `NotebookError` if it cannot be read."""
    return _bytes(path)


def id_of(stem: str) -> str:
    """Return a DAG id for a file name: accents are removed, and _ replaces characters that are not allowed in ids."""
    plain = unicodedata.normalize("NFKD", stem)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    id = re.sub(r"[^A-Za-z0-9_.-]", "_", plain)[:250]
    return id if ID.match(id) else f"_{id}"[:250]


# -- the file ----------------------------------------------------------------------------------------------------------


def _bytes(path: str | os.PathLike[str]) -> bytes:
    given, file = os.fspath(path), Path(path)
    try:
        seen = file.stat()
        if not stat.S_ISREG(seen.st_mode) and not stat.S_ISDIR(seen.st_mode) and not given.startswith("/dev/fd/"):
            # Not read, because reading from a pipe or device might never end.
            raise NotebookError(given, "is not a regular file", "name a notebook's file")
        if seen.st_size > _MAX_SIZE:
            raise NotebookError(
                given, f"is larger than {_MAX_SIZE >> 20} MB", "clear its outputs in Jupyter and save it"
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise NotebookError(given, "does not exist", _near(file)) from None
    except NotADirectoryError:
        raise NotebookError(given, "does not exist", "part of its path is a file, not a folder") from None
    except IsADirectoryError:
        inside = _notebooks_in(file)
        hint = f"name a notebook in it, such as {file / inside[0]}" if inside else "name a notebook"
        raise NotebookError(given, "is a folder", hint) from None
    except PermissionError:
        raise NotebookError(given, "cannot be read (permission denied)", "change its permissions") from None
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        raise NotebookError(repr(given), f"cannot be read ({reason.lower()})", "check the path") from None
    except MemoryError:
        raise NotebookError(given, "is too large for this machine's memory", "clear its outputs and save it") from None


def _near(file: Path) -> str:
    if not file.parent.is_dir():
        return f"folder {file.parent} does not exist"
    names = _notebooks_in(file.parent)
    like = nearest(file.name.removesuffix(".ipynb"), (name.removesuffix(".ipynb") for name in names))
    if like:
        return f"did you mean {file.parent / like}.ipynb?"
    return f"its folder has {', '.join(names[:3])}" if 0 < len(names) <= 3 else "check the path"


def _notebooks_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".ipynb")
    except OSError:
        return []


# -- the contents ------------------------------------------------------------------------------------------------------


def parse(text: str | bytes, *, name: str) -> dict[str, Any]:
    """Return the contents of a notebook's text as parsed JSON; raise `NotebookError` if it is no notebook."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as failure:
            raise NotebookError(name, f"is not UTF-8 text (byte {failure.start})", _SAVE_AGAIN) from None
    if not text.strip():
        raise NotebookError(name, "is empty", "create a notebook in Jupyter instead")
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as failure:
        reason = f"is not valid JSON (line {failure.lineno}, column {failure.colno}: {failure.msg.lower()})"
        hint = "resolve the merge conflict in it" if re.search("^<<<<<<< ", text, re.MULTILINE) else _SAVE_AGAIN
        raise NotebookError(name, reason, hint) from None
    except (RecursionError, ValueError) as failure:
        raise NotebookError(name, f"is not valid JSON ({failure})", _SAVE_AGAIN) from None
    version = content.get("nbformat") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise NotebookError(name, "is JSON but not a notebook", "choose a file that Jupyter saved")
    if version < 4:
        hint = f"convert it: jupyter nbconvert --to notebook --nbformat 4 --inplace {name}"
        raise NotebookError(name, f"has notebook format {version}, but nbdag reads format 4", hint)
    if version > 4:
        hint = "save it as format 4, or install a newer nbdag"
        raise NotebookError(name, f"has notebook format {version}, but nbdag reads format 4", hint)
    if not isinstance(content.get("cells"), list):
        raise NotebookError(name, "is a notebook without a list of cells", _SAVE_AGAIN)
    return dict(content)


def _raw_cells(content: Mapping[str, Any], name: str) -> list[RawCell]:
    raw = [_raw_cell(cell, n, name) for n, cell in enumerate(content["cells"])]
    below = False  # whether only built cells are between this cell and the %%dag cell above
    for n, cell in enumerate(raw):
        if cell.type == "code":
            below = cell.built == 0 or (below and cell.built is not None)
        if not below and cell.built:
            raw[n] = replace(cell, built=None)  # a cell that the user has moved or copied counts as written by the user
    return raw


def _raw_cell(cell: object, n: int, name: str) -> RawCell:
    def invalid(reason: str) -> NotebookError:
        return NotebookError(name, f"has an invalid cell ({n}, counted from 0): {reason}", _SAVE_AGAIN)

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
    return RawCell(source, cell["cell_type"], tags_of(cell), built_line(cell))


def _marked(cell: Mapping[str, Any], built: int | None) -> dict[str, Any]:
    return {**metadata_of(cell), "nbdag": {**nbdag_metadata(cell), "built": built}}


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
    """Return the cells; the code of each task is the source into which its operator translates the body."""
    made, problems = _generated(found, None)
    if any(options.operator not in ("python", "sensor") for options in found.task_options.values()):
        # Some operators need the names that other cells set.
        return _generated(found, _names_of(made, found))
    return made, problems


def _useless_options(cells: Sequence[Cell], found: ClassifiedCells) -> Iterator[Problem]:
    """Yield an error for each option of a header that has no effect, because its author must have expected one."""
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
        if options.reschedule and not cell.polls and not found.options.defaults.get("reschedule"):
            message = f"--reschedule is for sensors, but the operator is {options.operator}"
            hint = "add --operator sensor, or remove --reschedule"
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
            problems.append(problem("NB108", failure.message, hint=failure.hint, task=cell.task, place=place))
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
    """Yield an error for each `params.x` in the templates of a body whose parameter no cell sets."""
    if not is_template(body):
        return
    from .templates.names import read_template
    from .templates.rendering import TemplateError

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
