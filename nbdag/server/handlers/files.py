"""Notebook files below the root directory of the server."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import NbdagError, error
from .base import Call


@error
class NotInRootError(NbdagError):
    """A path leads out of the server's root directory."""

    path: str
    template = "{path!r} is not below the root directory of this server; name a notebook that its file browser shows"


def file_of(call: Call, path: str) -> Path:
    """Return the file at a path, which is absolute or, as in Jupyter, relative to the root directory.

    Raise `NotInRootError` if the file is not below the root directory.
    """
    root = call.root.absolute()
    within = path if Path(path).is_relative_to(root) else path.lstrip("/")
    file = Path(os.path.normpath(root / within))
    if "\0" in path or root not in file.parents:
        raise NotInRootError(path)
    return file
