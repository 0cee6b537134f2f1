"""The home: the folder that holds a project's state, and the paths in it.

The home is `NBDAG_HOME` if set, else the nearest `.nbdag` folder at or above the working directory, else a new `.nbdag`
in the working directory. `NBDAG_DB_URL` replaces the database file in the home. The first write creates the folder;
`find` does not, so a query in the wrong folder creates no files.

A `.nbdag` that is found must belong to the current user and be writable by nobody else, since its content is executed:
pinned notebooks, pickled values, recipients of notifications. A folder that `NBDAG_HOME` names is trusted, even if it
belongs to another user, because that is normal for root and in containers. Whatever the umask, a new home has the mode
0700 and its files have 0600.

    nbdag.db                                  the store
    runs/DAG/RUN/notebook.ipynb               the report
    runs/DAG/RUN/tasks/TASK[.INDEX]/TRY.ipynb each attempt
    values/ab/abcdef…                         stored values, named by their digests
    notebooks/DIGEST.ipynb                    pinned notebooks
    owners/ID                                 one marker for each database or program that writes into a storage

If `NBDAG_STORAGE` is a folder, all of these files except the database are in that folder instead. If `NBDAG_STORAGE` is
a URL, the home has copies of the files at this URL. A relative `NBDAG_STORAGE` is a folder beside the home, whatever
the working directory.

Only this module puts ids into paths, and it rejects an id that could lead out of the intended folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from .core.model.job import Key
from .errors import NbdagError, error
from .writing import create_private_file, make_private_folder, write_atomically

NAME = ".nbdag"
STORAGE = "NBDAG_STORAGE"  # environment variable with the storage of the files
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}")
_PASSWORD = re.compile(r"(://[^:/?]*:).*@", re.DOTALL)  # the match ends at the last @, because a password may contain @
_LOGIN = re.compile(r"://.*@")
# Options of libpq whose values are secrets.
_SECRET = re.compile(r"([?&][^=&]*(?:pass|secret|scram)[^=&]*=)[^&]*", re.IGNORECASE)
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


@error
class NotAFolderError(NbdagError):
    """The home is a file."""

    path: Path
    template = "{path} is not a folder, so it cannot hold nbdag's state; rename it, or set NBDAG_HOME to another folder"


@error
class UntrustedHomeError(NbdagError):
    """The home belongs to another user, or other users can write to it."""

    path: Path
    why: str
    advice: str
    template = "{path} {why}, so nbdag does not use it; {advice}"


@error
class UnknownUserError(NbdagError):
    """A path begins with ~ and the name of a user that does not exist."""

    exit_code = 2

    path: str
    template = "{path!r} names the home folder of an unknown user; write ./{path} for a file of this name"


@error
class FolderGoneError(NbdagError):
    """The working directory was deleted."""

    template = "the current folder no longer exists; change to an existing folder and try again"


@error
class StorageUrlError(NbdagError):
    """The storage is neither a complete URL nor a path."""

    exit_code = 2

    url: str
    why: str
    template = "the storage {url} {why}; write a URL such as s3://bucket/nbdag, or a path"


@error
class StoragePasswordError(NbdagError):
    """The URL of the storage contains a password, which would become visible in notebooks and on other hosts."""

    exit_code = 2

    url: str
    template = (
        "the storage {shown} contains a password or key; omit it, and set it in the environment of each host, such as "
        "AWS_SECRET_ACCESS_KEY or FSSPEC_SFTP_PASSWORD"
    )

    @property
    def shown(self) -> str:
        """Return the URL without passwords."""
        return without_secrets(self.url)


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one project's state; the files need not exist yet."""

    root: Path  # absolute path of the home
    url: str | None = None  # URL of a database server; None for an SQLite database in `root`
    storage: str | None = None  # place of the files: a folder that all hosts share, or a URL; None: `root`

    @property
    def files(self) -> Path:
        """Return the folder of values, notebooks, logs and reports."""
        return self.root if self.storage is None or self.remote is not None else Path(self.storage)

    @property
    def remote(self) -> str | None:
        """Return the URL of the storage, or None if the hosts share the folder of the files."""
        return self.storage if self.storage is not None and "://" in self.storage else None

    @property
    def remote_values(self) -> str:
        """Return the URL of the values in the storage, or "" if the hosts share the folder of the files."""
        return "" if self.remote is None else f"{self.remote}/values"

    def name_of(self, path: Path) -> str:
        """Return the name of a file in the storage."""
        return path.relative_to(self.files).as_posix()

    @property
    def database(self) -> Path:
        """Return the path of the SQLite file, which is used if `url` is None."""
        return self.root / "nbdag.db"

    @property
    def values(self) -> Path:
        """Return the root of the value store."""
        return self.files / "values"

    @property
    def exists(self) -> bool:
        """Return whether records can exist in this home: it uses a database URL, or its database file exists."""
        return self.url is not None or self.database.exists()

    def make(self) -> None:
        """Create the folder, with a .gitignore that ignores the whole folder."""
        try:
            if not self.root.is_dir():
                self.root.parent.mkdir(parents=True, exist_ok=True)
                make_private_folder(self.root)
                write_atomically(self.root / ".gitignore", b"*\n")
        except FileExistsError:
            raise NotAFolderError(self.root) from None
        except OSError as why:
            raise HomeError(self.root, why) from why

    def make_database(self) -> None:
        """Create the folder and an empty SQLite file, whose permissions SQLite uses for its other files."""
        self.make()
        try:
            create_private_file(self.database)
        except OSError as why:
            raise HomeError(self.root, why) from why

    def make_folder(self, path: Path) -> None:
        """Create a folder of this home."""
        self.make()
        try:
            make_private_folder(path)
        except OSError as why:
            raise HomeError(self.files, why) from why

    def run_folder(self, dag: str, run: str) -> Path:
        """Return the folder of a run's notebooks."""
        return _run_folder(self.files, dag, run)

    def report(self, dag: str, run: str) -> Path:
        """Return the path of a run's report notebook."""
        return self.run_folder(dag, run) / "notebook.ipynb"

    def attempt(self, key: Key) -> Path:
        """Return the path of an attempt's notebook; the attempt's log has the same path with the suffix .log."""
        instance = _instance(key.task, key.map_index)
        return self.run_folder(key.dag, key.run).joinpath("tasks", instance, f"{int(key.try_number)}.ipynb")

    def state_files(self, key: Key) -> tuple[Path, Path]:
        """Return a task's two files of `nbdag.state`: one for this run, and one for all runs."""
        instance = _instance(key.task, key.map_index)
        return self.attempt(key).with_name("state.json"), self.files / "state" / key.dag / f"{instance}.json"

    def mark(self, key: Key) -> str:
        """Return the mark (unique id) of an attempt's processes.

        Every scheduler on this database computes the same mark.
        """
        parts = [self._place, key.dag, key.run, key.task, key.map_index, key.try_number]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:15]

    @property
    def database_id(self) -> str:
        """Return a short id of the database; the id contains no password."""
        return hashlib.sha256(self._place.encode()).hexdigest()[:16]

    @property
    def _place(self) -> str:
        """Return the path of the home, or the URL of the database server without user name and password."""
        return str(self.root) if self.url is None else _LOGIN.sub("://", self.url).partition("?")[0]

    def notebook(self, digest: str) -> Path:
        """Return the path of a pinned notebook."""
        return self.files / "notebooks" / f"{path_part(digest)}.ipynb"

    def pin(self, digest: str, text: bytes) -> Path:
        """Store a notebook under its digest and return the path of the stored file.

        `nbdag gc` deletes the file when no run needs it.
        """
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
            make_private_folder(path.parent)
            write_atomically(path, content)
        except OSError as why:
            raise HomeError(self.files, why) from why


def find(cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
    """Return the home for a working directory, without creating it.

    Raises `UntrustedHomeError` if another user could have written the nearest `.nbdag` and NBDAG_HOME does not name it.
    """
    home = _find(cwd, environ, environ.get("NBDAG_DB_URL") or None)
    storage = environ.get(STORAGE)
    return replace(home, storage=storage_place(storage, home.root.parent)) if storage else home


def _find(cwd: Path | None, environ: Mapping[str, str], url: str | None) -> Home:
    chosen = environ.get("NBDAG_HOME")
    if chosen and expanded(chosen).is_absolute():
        return _chosen(expanded(chosen), url)
    try:
        here = (cwd or Path.cwd()).absolute()
    except FileNotFoundError:
        raise FolderGoneError from None
    if chosen:
        return _chosen(here / chosen, url)
    for folder in (here, *here.parents):
        root = folder / NAME
        if _is_folder(root):
            why = reason_to_distrust(root)
            if why:
                raise UntrustedHomeError(root, *why)
            return Home(root, url)
    root = here / NAME
    if os.path.lexists(root):
        raise NotAFolderError(root)
    return Home(root, url)


def storage_place(storage: str, folder: Path) -> str:
    """Return a storage as a URL or an absolute path. A relative path begins in `folder`.

    Raises `StoragePasswordError` and `StorageUrlError`.
    """
    protocol, separator, rest = storage.partition("://")
    if separator and not rest:
        raise StorageUrlError(storage, "names no bucket or folder")
    if not separator and re.match(r"[A-Za-z][\w+.-]+:", storage):
        raise StorageUrlError(storage, "has no :// after its protocol")
    if rest and protocol not in ("file", "local"):
        if without_secrets(storage) != storage:
            raise StoragePasswordError(storage)
        return storage.rstrip("/")
    return str(folder / expanded(rest or storage))


def reason_to_distrust(root: Path) -> tuple[str, str] | None:
    """Return why another user could have written to this home, and the remedy.

    Return None if no other user can change the folder.
    """
    if not hasattr(os, "getuid"):
        return None
    for path, seen in _entries(root):
        if seen.st_uid != os.getuid():
            advice = f"set NBDAG_HOME={root} if you trust that user, or use another folder"
            return f"belongs to {_owner(seen.st_uid)}{_within(path, root)}", advice
        if stat.S_IMODE(seen.st_mode) & 0o022 and not stat.S_ISLNK(seen.st_mode):
            advice = f"check its files, then run `chmod -R go-w {root}`, or set NBDAG_HOME={root} if you trust them"
            return f"can be written by other users{_within(path, root)}", advice
    return None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ~ or ~user replaced. Raises `UnknownUserError`."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UnknownUserError(os.fspath(path)) from None


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path, with a leading ~ replaced. Raises `UnknownUserError` or `FolderGoneError`."""
    try:
        return expanded(path).absolute()
    except FileNotFoundError:
        raise FolderGoneError from None


def _chosen(root: Path, url: str | None) -> Home:
    if not _is_folder(root) and os.path.lexists(root) and os.access(root.parent, os.X_OK):
        raise NotAFolderError(root)
    return Home(root, url)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # OSError: a parent folder cannot be entered
        return False


def _entries(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the existing paths of a home: the path itself (perhaps a link), the folder, and paths in the folder."""
    yield root, root.lstat()
    for path in (root, root / "nbdag.db", root / "values", root / "notebooks", root / "runs"):
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue
        except OSError:
            return  # the folder cannot be entered; a later access reports this


def _owner(uid: int) -> str:
    try:
        import pwd

        return f"user {pwd.getpwuid(uid).pw_name}"
    except (ImportError, KeyError):
        return f"user {uid}"


def _within(path: Path, root: Path) -> str:
    return "" if path == root else f" (its {path.name})"


def the_home(home: Home | None) -> Home:
    """Return the given home, or the home of the working directory if `home` is None."""
    return find() if home is None else home


def without_secrets(url: str) -> str:
    """Return a database URL with *** instead of passwords, for output and logs."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))


def path_part(id: str) -> str:
    """Return the id if it is safe as one part of a path, else raise `UnsafeIdError`."""
    if not _PART.fullmatch(id):
        raise UnsafeIdError(id)
    return id


@lru_cache(maxsize=256)
def _run_folder(root: Path, dag: str, run: str) -> Path:
    return root / "runs" / path_part(dag) / path_part(run)


def _instance(task: str, map_index: int) -> str:
    if map_index >= 0:
        return f"{path_part(task)}.{int(map_index)}"
    # A task may be named `a.1`: its folder must differ from the folder of instance 1 of a mapped task `a`.
    return f"{path_part(task)}._" if _LIKE_AN_INSTANCE.search(task) else path_part(task)
