"""Read the files of notebooks, and parse them."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.model.cell_tags import metadata_of
from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from . import text

_MAX_SIZE = 512 << 20  # maximum size of a file in bytes; reading JSON takes several times as much memory
SAVE_AGAIN = "open the file in Jupyter and save it again"


@error
class NotebookError(NbdagError):
    """A file cannot be read as a notebook."""

    exit_code = 2
    path: str  # path of the file, as the caller gave it
    reason: str
    hint: str  # what the user can do
    template = "{path} {reason}; {hint}"


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a notebook file as JSON; raise `NotebookError` if it cannot be read.

    A text notebook is converted. If an `.ipynb` file is paired with a newer text notebook, the text notebook is read
    instead, as Jupyter with jupytext does.
    """
    content = _bytes(path)
    if not text.is_text(path):
        pair = text.newer_pair(content, Path(path))
        return content if pair is None else pair.content
    with _conversion(path):
        return text.to_notebook(_decoded(content, os.fspath(path)), Path(path))


def content_for(notebook: bytes, path: str | os.PathLike[str]) -> bytes:
    """Return a notebook's JSON in the format of its target file: as it is, or as the text of a text notebook."""
    if not text.is_text(path):
        return notebook
    with _conversion(path):
        return text.to_text(notebook, Path(path))


@contextmanager
def _conversion(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except text.ConversionError as failure:
        raise NotebookError(os.fspath(path), failure.reason, failure.hint) from None


def _bytes(path: str | os.PathLike[str]) -> bytes:
    given, file = os.fspath(path), Path(path)
    try:
        seen = file.stat()
        if not stat.S_ISREG(seen.st_mode) and not stat.S_ISDIR(seen.st_mode) and not given.startswith("/dev/fd/"):
            # The file is not read, because reading from a pipe or device might never end.
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
        inside = _notebooks_in(file, ".ipynb")
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
    names = _notebooks_in(file.parent, ".ipynb", file.suffix if text.is_text(file) else ".ipynb")
    like = nearest(file.stem, (Path(name).stem for name in names))
    if like:
        found = next(name for name in names if Path(name).stem == like)
        return f"did you mean {file.parent / found}?"
    return f"its folder has {', '.join(names[:3])}" if 0 < len(names) <= 3 else "check the path"


def _notebooks_in(folder: Path, *suffixes: str) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in suffixes)
    except OSError:
        return []


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise NotebookError(name, f"is not UTF-8 text (byte {failure.start})", SAVE_AGAIN) from None


def parse(source: str | bytes, *, name: str) -> dict[str, Any]:
    """Return the contents of a notebook's text as parsed JSON; raise `NotebookError` if it is no notebook."""
    if isinstance(source, bytes):
        source = _decoded(source, name)
    if not source.strip():
        raise NotebookError(name, "is empty", "create a notebook in Jupyter instead")
    try:
        content = json.loads(source.removeprefix("\ufeff"))
    except json.JSONDecodeError as failure:
        reason = f"is not valid JSON (line {failure.lineno}, column {failure.colno}: {failure.msg.lower()})"
        hint = "resolve the merge conflict in it" if re.search("^<<<<<<< ", source, re.MULTILINE) else SAVE_AGAIN
        raise NotebookError(name, reason, hint) from None
    except (RecursionError, ValueError) as failure:
        raise NotebookError(name, f"is not valid JSON ({failure})", SAVE_AGAIN) from None
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
        raise NotebookError(name, "is a notebook without a list of cells", SAVE_AGAIN)
    return dict(content)


def executable(content: Mapping[str, Any]) -> Any:
    """Return a parsed notebook as nbformat's object, whose code cells nbclient can execute.

    The object lacks the outputs, and the metadata that nbformat cannot read.
    """
    import nbformat

    cells = []
    for cell in content["cells"]:
        fresh: dict[str, Any] = {"outputs": [], "execution_count": None} if cell.get("cell_type") == "code" else {}
        cells.append({**cell, **fresh, "metadata": metadata_of(cell)})
    metadata = {
        key: value for key, value in metadata_of(content).items() if key != "kernelspec" or isinstance(value, dict)
    }
    return nbformat.reads(json.dumps({**content, "cells": cells, "metadata": metadata}), as_version=4)
