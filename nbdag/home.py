"""Where state lives.

Under `NBDAG_HOME`, else in the nearest `.nbdag` at or above the working directory, else in a new one there; the
database under `NBDAG_DB_URL` instead, where that is set. `find` only looks: a folder is made by who first writes
to it, so a question asked in the wrong folder leaves nothing behind.

    nbdag.db                                  the store
    runs/DAG/RUN/notebook.ipynb               the report
    runs/DAG/RUN/tasks/TASK[.INDEX]/TRY.ipynb each attempt
    values/ab/abcdef…                         values by digest
    notebooks/DIGEST.ipynb                    pinned sources

Every path that holds an id is made here, and an id that could lead out of its folder is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .core.model.job import Key
from .errors import NbdagError
from .writing import write_atomically

NAME = ".nbdag"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")
_PASSWORD = re.compile(r"(://[^:@/?]*:).*@")  # to the last @, as one in a password need not be written otherwise
_SECRET = re.compile(r"([?&][^=&]*(?:pass|secret|scram)[^=&]*=)[^&]*", re.IGNORECASE)  # libpq's names of them
_LIKE_AN_INSTANCE = re.compile(r"\.\d+(\._)*$")


class UnsafeIdError(NbdagError):
    """An id that must not become part of a path."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id

    def __str__(self) -> str:
        return (
            f"{self.id[:60]!r} cannot be an id: use at most 250 letters, digits, '_', '.' and '-', beginning with a "
            "letter, digit or '_'"
        )


class HomeError(NbdagError):
    """The folder that holds nbdag's state cannot be written."""

    def __init__(self, path: Path, why: OSError) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        reason = (self.why.strerror or str(self.why)).lower()
        return (
            f"nbdag cannot write to {self.path} ({reason}): make it writable or free some space, or set NBDAG_HOME to "
            "another folder"
        )


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one project's state. Nothing of it need exist yet."""

    root: Path  # absolute
    url: str | None = None  # of a database elsewhere; None: SQLite, in `root`

    @property
    def database(self) -> Path:
        """The SQLite file, where no other database is named."""
        return self.root / "nbdag.db"

    @property
    def values(self) -> Path:
        """The root of the value store."""
        return self.root / "values"

    @property
    def exists(self) -> bool:
        """Whether anything can have been recorded here."""
        return self.url is not None or self.database.exists()

    def make(self) -> None:
        """Make the folder, and keep git from it."""
        try:
            if not self.root.is_dir():
                self.root.mkdir(parents=True, exist_ok=True)
                (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise HomeError(self.root, error) from error

    def run_folder(self, dag: str, run: str) -> Path:
        """Where one run's notebooks lie."""
        return self.root / "runs" / part(dag) / part(run)

    def report(self, dag: str, run: str) -> Path:
        """A run's report notebook."""
        return self.run_folder(dag, run) / "notebook.ipynb"

    def attempt(self, key: Key) -> Path:
        """The notebook of one attempt; its log stands beside it."""
        folder = self.run_folder(key.dag, key.run) / "tasks" / _instance(key.task, key.map_index)
        return folder / f"{int(key.try_number)}.ipynb"

    def notebook(self, digest: str) -> Path:
        """A pinned source."""
        return self.root / "notebooks" / f"{part(digest)}.ipynb"

    def pin(self, digest: str, text: bytes) -> Path:
        """Keep a notebook's source for as long as a run needs it."""
        path = self.notebook(digest)
        try:
            os.utime(path)  # so that whoever removes old sources sees that it is in use
        except OSError:
            self.write(path, text)
        return path

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of this home in one step."""
        self.make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise HomeError(self.root, error) from error


def find(cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
    """The home of what is done in this folder. Makes nothing."""
    here = (cwd or Path.cwd()).absolute()
    url = environ.get("NBDAG_DB_URL") or None
    said = environ.get("NBDAG_HOME")
    if said:
        return Home(here / Path(said).expanduser(), url)
    for folder in (here, *here.parents):
        if (folder / NAME).is_dir():
            return Home(folder / NAME, url)
    return Home(here / NAME, url)


def the_home(home: Home | None) -> Home:
    """Return the given home, else that of the working directory."""
    return find() if home is None else home


def without_secrets(url: str) -> str:
    """A database's URL as it may be shown, and kept where others read: its passwords are replaced by ***."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))


def part(id: str) -> str:
    """The id, fit to be one part of a path; any that is not is refused."""
    if not _PART.fullmatch(id):
        raise UnsafeIdError(id)
    return id


def _instance(task: str, map_index: int) -> str:
    if map_index >= 0:
        return f"{part(task)}.{int(map_index)}"
    # A task may be called `a.1`; it must not share a folder with instance 1 of a mapped task `a`.
    return f"{part(task)}._" if _LIKE_AN_INSTANCE.search(task) else part(task)
