"""Read pinned notebooks: the version of a notebook that a run or a deployment uses."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ... import notebooks
from ...core.model.dag import Dag
from ...errors import NbdagError, error
from ...home import Home
from ...storage import local_copy, upload_copy
from ...store.rows import RunRow

_KEPT = 32  # number of analysed notebooks that are kept


@error
class PinnedNotebookMissingError(NbdagError):
    """The pinned notebook of a run has been removed."""

    run: str
    path: Path
    template = "the pinned notebook of {run} is missing at {path}; run the notebook again"


def pin(home: Home, digest: str, text: bytes) -> None:
    """Store a notebook under its digest, also in the storage for other hosts."""
    upload_copy(home, home.pin(digest, text))


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
    return read_once(pinned_text(home, digest, name), name)


def run_dag(home: Home, row: RunRow) -> Dag:
    """Return the DAG of a run's pinned notebook."""
    return read_once(run_text(home, row), Path(row.path).name)


@lru_cache(maxsize=_KEPT)
def read_once(text: bytes, name: str) -> Dag:
    """Return the DAG of a notebook, whose file has this name. A server reads the same notebook again and again."""
    return notebooks.read_text(text, name=name)
