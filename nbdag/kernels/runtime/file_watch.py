"""Record the files that a task's cell reads and writes. With this, a run reports tasks that share a file in no order.

An audit hook is called for each file that Python code opens, moves or removes, including the code of libraries. A
wrapper of `os.stat` notices code that checks whether a file exists. Python does not report files of programs that the
cell starts, or of libraries that open files in C. If the cell uses such programs or libraries, the folder of the run is
searched for files that changed while the cell ran. If the arguments of a program name an unchanged file, the file
counts as read by the program. All other reads by programs and by libraries in C remain unknown. The arguments of a
shell line (`!`) are unknown too, because IPython passes the line to a pseudo-terminal. If tasks depend on unknown
reads, declare the order of the tasks with --after.

All files are watched except those of the interpreter and its packages, nbdag's own home, caches, and temporary files.
While no cell is running, the hook costs only one lookup.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...core.model.job import FileUse, Note
from .background import note_program

MAX_WORDS = 200  # maximum number of words of a command, and of files that commands name
MAX_FILES = 2_000  # maximum number of files that are recorded for one attempt
MAX_ENTRIES = 20_000  # maximum number of folder entries that are searched for changed files
SEARCH_AFTER_PROGRAM = 0.5  # time limit of the search for changed files in seconds, if the cell started a program
# The same time limit, if the cell started no program but a library of `NATIVE` is loaded.
SEARCH_AFTER_LIBRARY = 0.02
CLOCK_STEP = 0.02  # seconds by which the clock of a file system may lag behind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Libraries that write files in C, so that no audit event reports the files.
NATIVE = _words(
    "polars duckdb h5py pyarrow xgboost lightgbm catboost torch tensorflow netCDF4 cv2 fiona pyogrio rasterio"
)
_IGNORED = _words(
    ".git .hg .svn .nbdag __pycache__ .ipynb_checkpoints .cache .mypy_cache .ruff_cache .pytest_cache .ipython "
    ".jupyter .matplotlib node_modules site-packages dist-packages"
)
_CODE = (".py", ".pyc", ".pyi", ".so", ".pth", ".ipynb")
_CACHES = _words("XDG_CACHE_HOME MPLCONFIGDIR IPYTHONDIR JUPYTER_CONFIG_DIR JUPYTER_RUNTIME_DIR XDG_RUNTIME_DIR")
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/bin", "/run", "/var/tmp", "/var/cache", "/var/run")
_PROGRAMS = _words("subprocess.Popen os.system os.posix_spawn os.exec os.fork os.forkpty os.spawn")

_active: FileWatch | None = None
_installed = False


class FileWatch:
    """The files of one attempt."""

    def __init__(self, folder: str, home: str, *, view: str = "") -> None:
        """Watch files for an attempt.

        `view` is the attempt's own working folder, or "" if it has none. A file in `view` is recorded as the file of
        the same name in `folder` (see `kernels.worker.working_folder`).
        """
        self._folder = os.path.realpath(folder)
        self._view = os.path.realpath(view) if view else ""
        temporary = os.path.realpath(tempfile.gettempdir())
        library = str(Path(os.__file__).parent)
        places = {sys.prefix, sys.base_prefix, sys.exec_prefix, library, *_SYSTEM, temporary}
        places.update(value for name in _CACHES if (value := os.environ.get(name)))
        outside = [place for place in map(os.path.normpath, places) if not _is_below(self._folder, place)]
        self._excluded = tuple(f"{place}/" for place in (*outside, os.path.realpath(home)))
        self._own = tuple(f"{each}/" for each in (self._folder, self._view) if each)
        self._uses: dict[str, set[str]] = {}
        # Key: path of a SQLite database; value: state of the file when it was opened.
        self._databases: dict[str, tuple[Any, ...]] = {}
        self._started_programs = False
        self._named: set[str] = set()  # files that the commands of started programs name
        self._since = 0.0
        self._overflow = False
        self.notes: list[Note] = []
        _install()

    def start(self) -> None:
        """Begin to record files."""
        global _active
        self._since = self._since or time.time() - CLOCK_STEP
        _active = self

    def stop(self) -> None:
        """Stop recording files until the next `start`."""
        global _active
        if _active is self:
            _active = None

    def uses(self, task: str) -> tuple[FileUse, ...]:
        """Return the files used so far. If some files may be missing from the result, set `notes`."""
        self.stop()
        if not self._since:
            return ()
        for path, before in self._databases.items():
            self._record(path, "r" if _state(path) == before else "w")
        complete = True
        if self._started_programs:
            complete = self._search(SEARCH_AFTER_PROGRAM)
        elif not NATIVE.isdisjoint(sys.modules):
            self._search(SEARCH_AFTER_LIBRARY)
        for path in self._named - self._uses.keys():
            self._record(path, "r")
        for module in list(sys.modules.values()):  # if a compiled file exists, an import reads only that file
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(self._own) and (kept := self._kept(file)) is not None:
                self._record(kept, "r")
        if not complete or self._overflow:
            why = (
                "the task used too many files" if self._overflow else f"{self._folder} contains too many files to check"
            )
            message = (
                f"some files of task {task} are unknown, since {why}; if other tasks need files that this task writes, "
                f"declare that with --after {task}"
            )
            self.notes = [Note(code="NB471", name=task, message=message)]
        return tuple(FileUse(path, "".join(sorted(how - {"e"} or how))) for path, how in sorted(self._uses.items()))

    # -- what the hook calls

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record an audit event."""
        if event in _PROGRAMS:
            self._started_programs = True
            note_program(sys._getframe(2))
            self.named(arguments)
        else:
            _EVENTS[event](self, arguments)

    def named(self, arguments: tuple[Any, ...]) -> None:
        """Record the existing files that the command of a started program names: the program probably reads them."""
        # The event contains the program and its arguments, or a whole command.
        for command in arguments[:2]:
            for part in [command] if isinstance(command, str | bytes | os.PathLike) else command or ():
                text = os.fsdecode(part)
                for word in {text, *text.split()[:MAX_WORDS]}:
                    given = word.rpartition("=")[2].strip("'\"<>;&|()")
                    if given and not given.endswith(_CODE) and len(self._named) < MAX_WORDS and Path(given).is_file():
                        kept = self._kept(given)
                        if kept is not None:
                            self._named.add(kept)

    def opened(self, arguments: tuple[Any, ...]) -> None:
        """Record an opened file."""
        path, _, flags = arguments
        if isinstance(path, int):
            return
        how = _how(flags)
        if how == "r" and os.fsdecode(path).endswith(_CODE):
            return
        kept = self._kept(path)
        if "w" in how and kept is not None and Path(kept).is_dir():
            return  # `tempfile.TemporaryFile` opens its folder to make a file without a name
        if kept is not None:
            self._record(kept, "cw" if "w" in how and not os.path.lexists(kept) else how)

    def moved(self, arguments: tuple[Any, ...]) -> None:
        """Record the old and the new path of a moved, copied or linked file."""
        for path in arguments[:2]:
            self.changed((path,))

    def copied(self, arguments: tuple[Any, ...]) -> None:
        """Record a copied file."""
        if (kept := self._kept(arguments[0])) is not None:
            self._record(kept, "r")
        self.changed(arguments[1:2])

    def changed(self, arguments: tuple[Any, ...]) -> None:
        """Record a removed or truncated file."""
        if not isinstance(arguments[0], int) and (kept := self._kept(arguments[0])) is not None:
            self._record(kept, "c")

    def listed(self, arguments: tuple[Any, ...]) -> None:
        """Record a listed folder, unless Python's import system lists it."""
        path = arguments[0]
        frame = sys._getframe(3)  # the caller of the audited function; frames 0 to 2 are `listed`, `see` and `_hook`
        if isinstance(path, int) or frame.f_code.co_filename.startswith("<frozen importlib"):
            return
        kept = self._kept("." if path is None else path)
        if kept is not None:
            self._record(kept, "l")

    def checked(self, path: Any) -> None:
        """Record that the existence or the size of a file was checked."""
        if isinstance(path, int) or len(self._uses) >= MAX_FILES or os.fsdecode(path).endswith(_CODE):
            return
        kept = self._kept(path)
        if kept is not None:
            self._record(kept, "e")

    def connected(self, arguments: tuple[Any, ...]) -> None:
        """Record an opened SQLite database.

        When the cell has ended, `uses` compares the file's state to find out whether the cell wrote the file.
        """
        path = arguments[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        path = os.fspath(path)
        if not path or path.startswith((":", "file:")):
            return
        kept = self._kept(path)
        if kept is not None:
            self._databases.setdefault(kept, _state(kept))

    def _record(self, path: str, how: str) -> None:
        known = self._uses.get(path)
        if known is not None:
            known.update(how)
        elif len(self._uses) < MAX_FILES:
            self._uses[path] = set(how)
        else:
            self._overflow = True

    def _kept(self, given: Any) -> str | None:
        """Return the absolute path of a file that is watched, or None for any other file."""
        path = os.path.abspath(os.fsdecode(given))  # noqa: PTH100  # `resolve` would follow links, and is slower
        if self._view and _is_below(path, self._view):
            path = self._folder + path[len(self._view) :]
        if path.startswith(self._excluded):
            return None
        if not _is_below(path, self._folder):
            parent, name = os.path.split(path)
            # The file's folder may be a link to a folder below the run's folder.
            path = f"{os.path.realpath(parent)}/{name}"
            if path.startswith(self._excluded):
                return None
        if _is_below(path, self._folder):
            parts = path[len(self._folder) + 1 :].split("/")
            return None if not _IGNORED.isdisjoint(parts) else path
        # Files in hidden folders are not watched: they are caches and settings of programs.
        return None if "/." in path or not _IGNORED.isdisjoint(path.split("/")) else path

    # -- files of programs and of libraries in C

    def _search(self, seconds: float) -> bool:
        """Search the run's folder and record the changed files. Return False if a limit ended the search."""
        written = {path for path, how in self._uses.items() if how & set("wac")}
        entries, end = 0, time.monotonic() + seconds
        ahead = [self._folder]
        while ahead:
            with suppress(OSError), os.scandir(ahead.pop()) as found:
                for entry in found:
                    entries += 1
                    if entries > MAX_ENTRIES or (not entries % 100 and time.monotonic() > end):
                        return False
                    with suppress(OSError):
                        if entry.is_dir(follow_symlinks=False):
                            if entry.name not in _IGNORED and not f"{entry.path}/".startswith(self._excluded):
                                ahead.append(entry.path)
                        elif (
                            entry.path not in written
                            and not entry.name.endswith(_CODE)
                            and entry.is_file()
                            and entry.stat().st_mtime >= self._since
                        ):
                            self._record(entry.path, "s")
        return True


_EVENTS: dict[str, Callable[[FileWatch, tuple[Any, ...]], None]] = {
    "open": FileWatch.opened,
    "os.rename": FileWatch.moved,
    "os.link": FileWatch.copied,
    "os.remove": FileWatch.changed,
    "os.truncate": FileWatch.changed,
    "shutil.rmtree": FileWatch.changed,
    "os.listdir": FileWatch.listed,
    "os.scandir": FileWatch.listed,
    "sqlite3.connect": FileWatch.connected,
}
_WATCHED = frozenset(_EVENTS) | _PROGRAMS


class _Checking(threading.local):
    is_active = False  # whether a `FileWatch` itself is checking files in this thread


_checking = _Checking()


@contextmanager
def _pausing() -> Iterator[None]:
    """Ignore the files that a `FileWatch` itself checks."""
    before, _checking.is_active = _checking.is_active, True
    try:
        yield
    finally:
        _checking.is_active = before


def _install() -> None:
    """Install the audit hook and the wrapper of `os.stat`, once per process.

    This happens before setup, so that the check of changed functions does not report the wrapper.
    """
    global _installed
    if not _installed:
        sys.addaudithook(_hook)
        _watch_stat()
        _installed = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Exceptions are suppressed, because an exception in an audit hook would make the user's operation fail.
    if _active is not None and event in _WATCHED:
        with suppress(Exception), _pausing():
            _active.see(event, arguments)


def _watch_stat() -> None:
    """Notice calls of `os.stat`, which has no audit event. Functions such as `os.path.exists` call it."""
    original = os.stat

    @functools.wraps(original)
    def stat(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if _active is not None and not _checking.is_active:
            with suppress(Exception), _pausing():  # an exception would make the user's call fail
                _active.checked(path)
        return original(path, *args, **options)

    stat.__module__ = "os"  # so that `os.stat` can be pickled, for instance for a pool of processes
    os.stat = stat
    for supporting in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
        if original in supporting:
            supporting.add(stat)


def _how(flags: int) -> str:
    """Return how a file with these flags is used, in the letters of `FileUse.how`."""
    access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
    if access == os.O_RDONLY:
        return "r"
    reads = "r" if access == os.O_RDWR and not flags & os.O_TRUNC else ""
    return reads + ("a" if flags & os.O_APPEND else "w")


def _state(path: str) -> tuple[Any, ...]:
    """Return the sizes and times of a database file and its journals. They change when the database is written."""
    found: list[Any] = []
    for each in (path, f"{path}-wal", f"{path}-journal"):
        try:
            status = Path(each).stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
