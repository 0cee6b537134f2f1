"""From a notebook's file to a `Dag`.

`read` takes any notebook of format 4, with or without ids, and refuses what is none in one sentence with the path and
the next step. What is wrong inside a notebook is no error here: it stands in `Dag.problems`, and its errors keep the
notebook from running. Nothing is run and nothing written: of a `%%dag` cell it is only seen that its tasks are not
built (`Dag.unbuilt`). `with_built` puts them below it, each a cell that says so in its metadata (`nbdag.built`: the
line of the %%dag cell that made it; 0 at that cell itself), so that places stay those of the user's file.

A file is taken apart with `json` alone: the few facts that matter are checked where they are used, so reading a
thousand cells takes no longer than parsing them.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
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
from .errors import NbdagError

_TYPES = ("code", "markdown", "raw")
_AGAIN = "open it in Jupyter and save it again"


class NotebookError(NbdagError):
    """A file that cannot be read as a notebook."""

    exit_code = 2

    def __init__(self, path: str, reason: str, hint: str) -> None:
        super().__init__(path, reason, hint)
        self.path = path  # as it was given
        self.reason = reason
        self.hint = hint  # the next step

    def __str__(self) -> str:
        return f"{self.path} {self.reason}; {self.hint}"


def read(path: str | os.PathLike[str]) -> Dag:
    """The pipeline that a notebook's file holds. Raises `NotebookError`."""
    return read_text(_bytes(path), name=os.fspath(path))


def read_text(text: str | bytes, *, name: str) -> Dag:
    """The pipeline that a notebook's text holds; `name` is its file's, for messages and the DAG's id."""
    raw, metadata = read_raw(text, name=name)
    return read_cells(raw, name=name, metadata=metadata)


def read_raw(text: str | bytes, *, name: str) -> tuple[list[RawCell], Mapping[str, Any]]:
    """The cells of a notebook's text, and its metadata."""
    content = _content(text, name)
    return _raw_cells(content, name), metadata_of(content)


def without_built(text: str | bytes, *, name: str) -> bytes:
    """The notebook as it was before `with_built`: a report that is run again builds its tasks again."""
    content = _content(text, name)
    raw = _raw_cells(content, name)
    if all(cell.built is None for cell in raw):
        return text if isinstance(text, bytes) else text.encode()
    content["cells"] = [cell for cell, each in zip(content["cells"], raw, strict=True) if not each.built]
    for cell in content["cells"]:
        nbdag_metadata(cell).pop("built", None)
    return _written(content)


def with_built(text: str | bytes, built: Mapping[int, Sequence[RawCell]], *, name: str, printed: str = "") -> bytes:
    """The notebook with what each of its %%dag cells, by index, has built. `printed` is what they have printed."""
    content = _content(text, name)
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
            made: dict[str, Any] = {
                "cell_type": "code",
                "source": new.source,
                "metadata": _marked({}, new.built),
                "execution_count": None,
                "outputs": [],
            }
            cells.append({**made, "id": f"nbdag-{index}-{n}"} if with_ids else made)
    content["cells"] = cells
    return _written(content)


def read_cells(raw: Sequence[RawCell], *, name: str, metadata: Mapping[str, Any] | None = None) -> Dag:
    """The pipeline that these cells make."""
    kernel, language = _kernel(metadata or {})
    stem = PurePath(name).name.removesuffix(".ipynb")
    if language.lower() not in ("python", "python3", "ipython"):
        return _foreign(raw, id_of(stem), kernel, language)
    found = sorting.classify(raw)
    made, problems = _made_by_operators(found)
    named = found.dag.name if found.dag else None
    if named is None and not re.search(r"[A-Za-z0-9]", id_of(stem)):
        message = f"the file's name {stem!r} makes no id that can be told from others"
        problems.append(problem("NB113", message, hint="give the pipeline a name: %dag NAME"))
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
    """A notebook's text. Raises `NotebookError`."""
    return _bytes(path)


def id_of(stem: str) -> str:
    """An id made of a file's name: accents dropped, _ for what an id cannot hold."""
    plain = unicodedata.normalize("NFKD", stem)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    id = re.sub(r"[^A-Za-z0-9_.-]", "_", plain)[:250]
    return id if ID.match(id) else f"_{id}"[:250]


# -- the file ----------------------------------------------------------------------------------------------------------


def _bytes(path: str | os.PathLike[str]) -> bytes:
    given, file = os.fspath(path), Path(path)
    try:
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
        raise NotebookError(given, "may not be read by you", "change its permissions") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NotebookError(repr(given), f"cannot be read ({reason.lower()})", "check the path") from None


def _near(file: Path) -> str:
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    names = _notebooks_in(file.parent)
    like = nearest(file.name.removesuffix(".ipynb"), (name.removesuffix(".ipynb") for name in names))
    if like:
        return f"did you mean {file.parent / like}.ipynb?"
    return f"there is {', '.join(names[:3])}" if 0 < len(names) <= 3 else "check the path"


def _notebooks_in(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".ipynb")
    except OSError:
        return []


# -- what it holds -----------------------------------------------------------------------------------------------------


def _content(text: str | bytes, name: str) -> dict[str, Any]:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 text (byte {error.start})"
            raise NotebookError(name, reason, "a notebook is; " + _AGAIN) from None
    if not text.strip():
        raise NotebookError(name, "is empty", "a new notebook from Jupyter is not: make one there")
    try:
        content = json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        reason = f"is not JSON, as a notebook is (line {error.lineno}, column {error.colno}: {error.msg.lower()})"
        hint = "resolve the merge conflict in it" if re.search("^<<<<<<< ", text, re.MULTILINE) else _AGAIN
        raise NotebookError(name, reason, hint) from None
    except (RecursionError, ValueError) as error:
        raise NotebookError(name, f"is not JSON, as a notebook is ({error})", _AGAIN) from None
    version = content.get("nbformat") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise NotebookError(name, "is JSON but not a notebook", "name a file that Jupyter saved")
    if version < 4:
        hint = f"convert it: jupyter nbconvert --to notebook --nbformat 4 --inplace {name}"
        raise NotebookError(name, f"is a notebook of format {version}, and nbdag reads format 4", hint)
    if version > 4:
        hint = "save it as format 4, or install a newer nbdag"
        raise NotebookError(name, f"is a notebook of format {version}, and nbdag reads format 4", hint)
    if not isinstance(content.get("cells"), list):
        raise NotebookError(name, "is a notebook without a list of cells", _AGAIN)
    return dict(content)


def _raw_cells(content: Mapping[str, Any], name: str) -> list[RawCell]:
    raw = [_raw_cell(cell, n, name) for n, cell in enumerate(content["cells"])]
    below = False  # a %%dag cell that has built, so that a cell which says that it was built is one of its
    for n, cell in enumerate(raw):
        if cell.type == "code":
            below = cell.built == 0 or (below and cell.built is not None)
        if not below and cell.built:
            raw[n] = replace(cell, built=None)  # somebody has copied it, and it is theirs
    return raw


def _raw_cell(cell: object, n: int, name: str) -> RawCell:
    def refuse(reason: str) -> NotebookError:
        return NotebookError(name, f"has an invalid cell ({n}, counted from 0): {reason}", _AGAIN)

    if not isinstance(cell, dict):
        raise refuse("it is not an object")
    if cell.get("cell_type") not in _TYPES:
        raise refuse(f"its type is {cell.get('cell_type')!r}, not one of {', '.join(_TYPES)}")
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise refuse("its source is not text")
    try:
        source.encode()
    except UnicodeEncodeError:
        raise refuse("its source holds half of a character (a lone surrogate)") from None
    return RawCell(source, cell["cell_type"], tags_of(cell), built_line(cell))


def _marked(cell: Mapping[str, Any], built: int | None) -> dict[str, Any]:
    return {**metadata_of(cell), "nbdag": {**nbdag_metadata(cell), "built": built}}


def _written(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _kernel(metadata: Mapping[str, Any]) -> tuple[str | None, str]:
    """The kernel's name, None where the notebook names none, and its language."""

    def said(section: str, key: str) -> str | None:
        part = metadata.get(section)
        value = part.get(key) if isinstance(part, dict) else None
        return value if isinstance(value, str) and value else None

    language = said("kernelspec", "language") or said("language_info", "name") or "python"
    return said("kernelspec", "name"), language


def _foreign(raw: Sequence[RawCell], dag_id: str, kernel: str | None, language: str) -> Dag:
    """A notebook whose cells nbdag cannot read: it has no tasks, and says why."""
    made = [
        Cell(index=n, kind=CellKind.SCRATCH if cell.type == "code" else CellKind.PROSE, source=cell.source)
        for n, cell in enumerate(raw)
    ]
    hint = "choose a Python kernel for it in Jupyter"
    said = problem("NB110", f"the notebook's language is {language}, and nbdag reads Python", hint=hint)
    return Dag(
        id=dag_id,
        options=sorting.classify(()).options,
        cells=tuple(made),
        tasks={},
        problems=(said,),
        language=language.lower(),
        kernel_name=kernel,
    )


def _made_by_operators(found: ClassifiedCells) -> tuple[list[Cell], list[Problem]]:
    """The cells, with the code that operators make of their bodies."""
    made, problems = _made(found, None)
    if any(told.operator not in ("python", "sensor") for told in found.task_options.values()):
        return _made(found, _names_of(made, found))  # of these some depend on what the others set
    return made, problems


def _names_of(cells: Sequence[Cell], found: ClassifiedCells) -> frozenset[str]:
    """All names that some cell sets."""
    names: set[str] = set()
    for told in found.task_options.values():
        names.update(told.out, (name for name, _ in told.map))
    for cell in cells:
        python = None if cell.kind is CellKind.PROSE else to_python(cell.code)
        if isinstance(python, Python):
            names.update(names_of(python.tree.body).bound, (name for name, _ in python.writes))
    return frozenset(names)


def _made(found: ClassifiedCells, known: frozenset[str] | None) -> tuple[list[Cell], list[Problem]]:
    made: list[Cell] = []
    problems: list[Problem] = []
    for cell in found.cells:
        told = found.task_options.get(cell.index)
        if told is None or told.operator == "python":
            made.append(cell)
            continue
        start = found.body[cell.index]
        lines = cell.code.split("\n")
        head, body = lines[: start - 1], "\n".join(lines[start - 1 :])
        try:
            source = operators.source(body, told, known)
        except operators.UnknownOperatorError as error:
            place = cell.at(max(start - 1, 1))
            problems.append(problem("NB108", error.message, hint=error.hint, task=cell.task, place=place))
            source = "pass"
        except operators.OperatorError as error:
            place = cell.at(start + error.line - 1)
            problems.append(problem("NB109", error.message, hint=error.hint, task=cell.task, place=place))
            source = "pass"
        made.append(replace(cell, code="\n".join([*head, source])))
        for line, message, hint in operators.body_warnings(body, told, known) if known and source != "pass" else ():
            problems.append(problem("NB116", message, hint=hint, task=cell.task, place=cell.at(start + line - 1)))
    return made, problems
