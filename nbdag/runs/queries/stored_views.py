"""Store views of a pinned notebook that take long to compute: its analysis, its graphs and its cells.

For a notebook of 2,000 tasks, computing the analysis and the layout takes about a second. Reading stored views takes
a tenth of a second. So views are stored in the home when a large notebook is pinned or deployed. If a stored view is
missing or damaged, the reader computes the view again. `nbdag gc` deletes the views of notebooks that no run needs.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec

from ...home import Home, path_part

V = TypeVar("V")

MANY_TASKS = 100  # the views of a notebook with at least this number of tasks are stored


def read_view(home: Home, digest: str, view: str, kind: type[V]) -> V | None:
    """Return a stored view of a pinned notebook, or None if it is not stored or its file is damaged."""
    try:
        if not any(_folder(home).glob(f"{path_part(digest)}.*")):
            return None  # most notebooks have no stored view, and `_code` takes 10 ms
        return msgspec.json.decode(_path(home, digest, view).read_bytes(), type=kind)
    except (OSError, ValueError):
        return None


def store_view(home: Home, digest: str, view: str, made: V, kind: type[V]) -> None:
    """Store a view of a pinned notebook. Do nothing if it is already stored, or if JSON cannot represent it exactly."""
    path = _path(home, digest, view)
    if path.exists():
        return
    try:
        text = msgspec.json.encode(made)
        same = msgspec.json.decode(text, type=kind) == made
    except (TypeError, ValueError, OverflowError):  # JSON cannot represent a part, such as a text with a lone surrogate
        return
    if same:
        home.write(path, text)


def _folder(home: Home) -> Path:
    return home.files / "views"


def _path(home: Home, digest: str, view: str) -> Path:
    key = hashlib.sha256(f"{_code()}\n{view}".encode()).hexdigest()[:20]
    return _folder(home) / f"{path_part(digest)}.{key}"


@cache
def _code() -> str:
    """Return a text that identifies the code of nbdag and the version of Python.

    Views that other code has stored are not used, because they may differ.
    """
    files = Path(__file__).parents[2].rglob("*.py")
    newest = max((each.stat().st_mtime_ns for each in files), default=0)
    return f"{version('nbdag')} {newest} {sys.version}"
