"""Read pinned notebooks: the version of a notebook that a run or a deployment uses."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path

from ... import notebooks
from ...core.model.dag import Dag
from ...errors import NbdagError, error
from ...home import Home
from ...storage import local_copy, upload_copy
from ...storage.pinned_files import archive_path
from ...store.rows import RunRow
from .stored_views import MANY_TASKS, read_view, store_view

_KEPT = 32  # maximum number of analysed notebooks in memory


@error
class PinnedNotebookMissingError(NbdagError):
    """The pinned notebook of a run has been removed."""

    run: str
    path: Path
    template = (
        "the pinned notebook of {run} is missing at {path}; deploy or run the notebook here, or give all hosts that "
        "share this database the same NBDAG_HOME or NBDAG_STORAGE"
    )


def pin(home: Home, digest: str, text: bytes, name: str, tasks: int) -> None:
    """Store a notebook under its digest, also in the storage for other hosts.

    If the notebook has many tasks, also store its analysis. `name` is the name of the notebook's file, and `tasks` is
    the number of its tasks.
    """
    upload_copy(home, home.pin(digest, text))
    if tasks >= MANY_TASKS:
        # Errors are ignored, because without a stored analysis each reader analyses the notebook itself.
        with contextlib.suppress(NbdagError, OSError):
            store_view(home, digest, _analysis(name), notebook_dag(home, digest, text, name), Dag)


def pin_archive(home: Home, digest: str, archive: bytes) -> None:
    """Store the archive of pinned files under its digest, also in the storage for other hosts."""
    path = archive_path(home.files, digest)
    try:
        os.utime(path)  # `nbdag gc` keeps files that were used recently
    except OSError:
        home.write(path, archive)
    upload_copy(home, path)


def pinned_text(home: Home, digest: str, name: str) -> bytes:
    """Return the text of a pinned notebook. Error messages use `name` for the notebook."""
    path = local_copy(home, home.notebook(digest))
    try:
        return path.read_bytes()
    except OSError as error:
        raise PinnedNotebookMissingError(name, path) from error


def run_text(home: Home, row: RunRow) -> bytes:
    """Return the text of a run's pinned notebook."""
    return pinned_text(home, row.digest, row.name)


def pinned_dag(home: Home, digest: str, path: str) -> Dag:
    """Return the DAG of a pinned notebook; `path` is the notebook's original file."""
    name = Path(path).name
    return notebook_dag(home, digest, pinned_text(home, digest, name), name)


def run_dag(home: Home, row: RunRow) -> Dag:
    """Return the DAG of a run's pinned notebook."""
    return notebook_dag(home, row.digest, run_text(home, row), Path(row.path).name)


@lru_cache(maxsize=_KEPT)
def notebook_dag(home: Home, digest: str, text: bytes, name: str) -> Dag:
    """Return the DAG of the pinned notebook `text`; `name` names its file. Cached, because servers read DAGs often."""
    stored = read_view(home, digest, _analysis(name), Dag)
    return notebooks.read_text(text, name=name) if stored is None else stored


def _analysis(name: str) -> str:
    """Return the name of a notebook's stored analysis. It contains the file's name, which determines the DAG's id."""
    return f"{name}\nanalysis"
