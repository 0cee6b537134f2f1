"""The notebook that a run was created with."""

from __future__ import annotations

from pathlib import Path

from ... import notebooks
from ...core.model.dag import Dag
from ...errors import NbdagError
from ...home import Home
from ...store.rows import RunRow


class PinnedGoneError(NbdagError):
    """The source of a run is no longer kept."""

    def __init__(self, run: str, path: Path) -> None:
        super().__init__(run, path)
        self.run = run
        self.path = path

    def __str__(self) -> str:
        return f"the notebook of run {self.run} is gone from {self.path}: run the notebook anew"


def text_of(home: Home, digest: str, whose: str) -> bytes:
    """The text of a version of a notebook; `whose` it is, for messages."""
    path = home.notebook(digest)
    try:
        return path.read_bytes()
    except OSError as error:
        raise PinnedGoneError(whose, path) from error


def source(home: Home, row: RunRow) -> bytes:
    """The notebook's text."""
    return text_of(home, row.digest, row.name)


def notebook_of(home: Home, digest: str, path: str) -> Dag:
    """A version of a notebook, by its digest; `path` is the file that it came from."""
    name = Path(path).name
    return notebooks.read_text(text_of(home, digest, name), name=name)


def pinned(home: Home, row: RunRow) -> Dag:
    """The notebook, understood."""
    return notebooks.read_text(source(home, row), name=Path(row.path).name)
