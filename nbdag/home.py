"""The home: the folder that holds a project's state, and the paths in it.

The home is `NBDAG_HOME` if set, else the nearest `.nbdag` folder at or above the working directory, else a new `.nbdag`
in the working directory. `NBDAG_DB_URL` replaces the database file in the home. `find` creates no folder: the first
write does, so a query in the wrong folder creates no files.

    nbdag.db                                  the store
    runs/DAG/RUN/notebook.ipynb               the report
    runs/DAG/RUN/tasks/TASK[.INDEX]/TRY.ipynb each attempt
    values/ab/abcdef…                         stored values, named by their digests
    notebooks/DIGEST.ipynb                    pinned notebooks

Only this module puts ids into paths, and it rejects an id that could lead out of its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .core.model.job import Key
from .errors import NbdagError, error
from .writing import write_atomically

NAME = ".nbdag"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")
_PASSWORD = re.compile(r"(://[^:@/?]*:).*@")  # up to the last @, because a password may contain one
_SECRET = re.compile(r"([?&][^=&]*(?:pass|secret|scram)[^=&]*=)[^&]*", re.IGNORECASE)  # libpq options with secrets
_LIKE_AN_INSTANCE = re.compile(r"\.\d+(\._)*$")


@error
class UnsafeIdError(NbdagError):
    """An id cannot become part of a path."""

    id: str
    template = (
        "{shown!r} cannot be an id: use at most 250 letters, digits, '_', '.' and '-', beginning with a letter, "
        "digit or '_'"
    )

    @property
    def shown(self) -> str:
        """Return the beginning of the id."""
        return self.id[:60]


@error
class HomeError(NbdagError):
    """The folder that holds nbdag's state cannot be written."""

    path: Path
    why: OSError
    template = (
        "nbdag cannot write to {path} ({reason}): make it writable or free some space, or set NBDAG_HOME to another "
        "folder"
    )

    @property
    def reason(self) -> str:
        """Return the system's reason in lower case."""
        return (self.why.strerror or str(self.why)).lower()


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one project's state; the files need not exist yet."""

    root: Path  # absolute
    url: str | None = None  # URL of a database server; None: SQLite in `root`

    @property
    def database(self) -> Path:
        """Return the path of the SQLite file, which is used if `url` is None."""
        return self.root / "nbdag.db"

    @property
    def values(self) -> Path:
        """Return the root of the value store."""
        return self.root / "values"

    @property
    def exists(self) -> bool:
        """Return whether this home may contain records."""
        return self.url is not None or self.database.exists()

    def make(self) -> None:
        """Create the folder, with a .gitignore that ignores the whole folder."""
        try:
            if not self.root.is_dir():
                self.root.mkdir(parents=True, exist_ok=True)
                (self.root / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as why:
            raise HomeError(self.root, why) from why

    def run_folder(self, dag: str, run: str) -> Path:
        """Return the folder of a run's notebooks."""
        return self.root / "runs" / path_part(dag) / path_part(run)

    def report(self, dag: str, run: str) -> Path:
        """Return the path of a run's report notebook."""
        return self.run_folder(dag, run) / "notebook.ipynb"

    def attempt(self, key: Key) -> Path:
        """Return the path of an attempt's notebook; the attempt's log has the same path with the suffix .log."""
        folder = self.run_folder(key.dag, key.run) / "tasks" / _instance(key.task, key.map_index)
        return folder / f"{int(key.try_number)}.ipynb"

    def notebook(self, digest: str) -> Path:
        """Return the path of a pinned notebook."""
        return self.root / "notebooks" / f"{path_part(digest)}.ipynb"

    def pin(self, digest: str, text: bytes) -> Path:
        """Store a notebook under its digest and return its path; `nbdag gc` deletes it once no run needs it."""
        path = self.notebook(digest)
        try:
            os.utime(path)  # `nbdag gc` keeps files that were used recently
        except OSError:
            self.write(path, text)
        return path

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of this home atomically."""
        self.make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as why:
            raise HomeError(self.root, why) from why


def find(cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
    """Return the home for a working directory. Creates nothing."""
    here = (cwd or Path.cwd()).absolute()
    url = environ.get("NBDAG_DB_URL") or None
    chosen = environ.get("NBDAG_HOME")
    if chosen:
        return Home(here / Path(chosen).expanduser(), url)
    for folder in (here, *here.parents):
        if (folder / NAME).is_dir():
            return Home(folder / NAME, url)
    return Home(here / NAME, url)


def the_home(home: Home | None) -> Home:
    """Return the given home, or if it is None the home of the working directory."""
    return find() if home is None else home


def without_secrets(url: str) -> str:
    """Return a database URL with *** instead of passwords, for output and logs."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))


def path_part(id: str) -> str:
    """Return the id if it is safe as one part of a path, else raise `UnsafeIdError`."""
    if not _PART.fullmatch(id):
        raise UnsafeIdError(id)
    return id


def _instance(task: str, map_index: int) -> str:
    if map_index >= 0:
        return f"{path_part(task)}.{int(map_index)}"
    # A task may be named `a.1`: its folder must differ from the folder of instance 1 of a mapped task `a`.
    return f"{path_part(task)}._" if _LIKE_AN_INSTANCE.search(task) else path_part(task)
