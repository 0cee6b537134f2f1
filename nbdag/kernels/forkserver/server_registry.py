"""The fork servers of this user on this host: where they are, how one is met, started, listed and stopped.

Everything lives in one folder of mode 0700, made and checked here: a socket for each key, what was last known of
its server, and its log. A socket is bound by whoever starts a server and handed over, so a request can be
made before the server has drawn breath. What a killed server left behind is removed by the next start.

There are never more than `NBDAG_SERVERS` (4) of them, nor together more than a quarter of the memory: the one
that was idle longest goes first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import framing
from .server import START
from .server_spec import Recipe

_LONGEST_PATH = 107  # bytes of a Unix socket's path
_KEY = re.compile(r"[0-9a-f]{16}")
_started: set[int] = set()  # processes of ours that are servers, to be reaped


class NoServerError(Exception):
    """Why no server can be had."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one server."""

    socket: Path
    info: Path  # what is known of it before it can be asked
    log: Path
    left: Path  # modules that turned out not to be importable ahead, and why
    folder: Path  # of its children's private folders


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of a running server."""

    key: str
    pid: int
    python: str
    started: float  # seconds since the epoch
    busy: bool  # still importing
    modules: tuple[str, ...]  # imported ahead
    left: dict[str, str]  # modules left to the tasks, and why
    children: int  # without spares
    spares: int
    holds: int
    idle_since: float | None  # seconds since the epoch; None while it is used
    memory: int  # bytes of it alone


def idle_time() -> float:
    """How long a server stays without work, in seconds."""
    try:
        return max(0.0, float(os.environ.get("NBDAG_IDLE", "600")))
    except ValueError:
        return 600.0


def most_servers() -> int:
    """How many servers there may be."""
    try:
        return max(1, int(os.environ.get("NBDAG_SERVERS", "4")))
    except ValueError:
        return 4


def umask() -> int:
    """This process's umask, read without changing it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def runtime_dir() -> Path:
    """The folder, made where needed; refused unless it is ours alone."""
    base = os.environ.get("NBDAG_RUNTIME_DIR")
    if base is None:
        session = os.environ.get("XDG_RUNTIME_DIR", "")
        base = f"{session}/nbdag" if session and os.access(session, os.W_OK) else f"/tmp/nbdag-{os.getuid()}"
    path = Path(base)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or stat.S_IMODE(seen.st_mode) & 0o077:
        raise NoServerError(f"{path} is not a folder that only you can enter; remove it")
    return path


def files(key: str) -> Files:
    """Where the server of a key has its files."""
    base = runtime_dir()
    made = Files(*(base / f"{key}.{kind}" for kind in ("sock", "json", "log", "left", "d")))
    if len(os.fsencode(made.socket)) > _LONGEST_PATH:
        raise NoServerError(f"{made.socket} is too long a path for a socket; set NBDAG_RUNTIME_DIR to a shorter one")
    return made


def connect(recipe: Recipe, idle: float) -> socket.socket:
    """A connection to the server of a recipe, which is started if there is none."""
    if not (hasattr(os, "fork") and hasattr(os, "pidfd_open") and sys.platform == "linux"):
        raise NoServerError(f"{sys.platform} cannot fork a process that has libraries loaded")
    try:
        where = files(recipe.key)
        sock = _dial(where.socket)
        if sock is None:
            with _lock():
                sock = _dial(where.socket) or _start(recipe, where, idle)
        return sock
    except OSError as error:
        raise NoServerError(str(error)) from error


def keys() -> list[str]:
    """The keys of all servers that may be running."""
    return sorted(path.stem for path in runtime_dir().glob("*.sock") if _KEY.fullmatch(path.stem))


def running() -> list[Status]:
    """All servers that run, the one used last first."""
    found = [status for key in keys() if (status := ask(key)) is not None]
    return sorted(found, key=lambda status: -(status.idle_since or time.time()))


def ask(key: str, timeout: float = 1.0) -> Status | None:
    """What a server says of itself, or what is known of one that is still importing."""
    where = files(key)
    sock = _dial(where.socket)
    if sock is None:
        return None
    with sock:
        sock.settimeout(timeout)
        try:
            framing.send(sock, {"op": "status"})
            frame = framing.receive(sock)
        except OSError:
            frame = None
    try:
        data = dict(json.loads(where.info.read_text()) if frame is None else frame.data)
    except (OSError, ValueError):
        return None
    return Status(**{**data, "modules": tuple(data["modules"])})


def stop(key: str, timeout: float = 10.0) -> bool:
    """End a server and its children; False when there was none."""
    status = ask(key)
    if status is None:
        return False
    try:
        gone = os.pidfd_open(status.pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(gone, select.POLLIN)
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(gone, signum)
            if poll.poll(timeout * 1000):
                break
    finally:
        os.close(gone)
    with _lock():
        _reap()
        sweep()
    return True


def sweep() -> None:
    """Remove what killed servers left behind. Only under the lock."""
    base = runtime_dir()
    alive = set()
    for key in keys():
        sock = _dial(base / f"{key}.sock")
        if sock is not None:
            alive.add(key)
            sock.close()
    for path in base.iterdir():
        if not _KEY.fullmatch(path.stem) or path.stem in alive:
            continue
        if path.suffix in {".sock", ".json", ".log"}:
            path.unlink(missing_ok=True)
        elif path.suffix == ".d":
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".left" and path.stat().st_mtime < time.time() - 30 * 86_400:
            path.unlink(missing_ok=True)


def make_room(limit: int, memory: int) -> None:
    """Stop idle servers, the one idle longest first, until fewer than `limit` with less `memory` (bytes) remain."""
    found = running()
    for status in reversed(found):
        if len(found) < limit and sum(each.memory for each in found) < memory:
            return
        if status.idle_since is not None:
            _signal(status.pid)
            found.remove(status)


def _start(recipe: Recipe, where: Files, idle: float) -> socket.socket:
    _reap()
    sweep()
    make_room(most_servers(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
    where.folder.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(where.socket))
        listener.listen(128)
        options = {
            "key": recipe.key,
            "listener": 3,
            "modules": recipe.modules,
            "targets": recipe.targets,
            "idle": idle,
            **{name: os.fspath(path) for name, path in asdict(where).items()},
        }
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        log = (os.POSIX_SPAWN_OPEN, 1, os.fspath(where.log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        # Our own descriptor could be 3: copied out of the way, it loses close-on-exec by being copied to 3.
        high = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 100)
        try:
            pid = os.posix_spawn(
                recipe.python,
                [recipe.python, "-c", START, json.dumps(options)],
                dict(recipe.env),
                file_actions=[null, log, (os.POSIX_SPAWN_DUP2, 1, 2), (os.POSIX_SPAWN_DUP2, high, 3)],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD],
            )
        finally:
            os.close(high)
    _started.add(pid)
    known = Status(
        key=recipe.key,
        pid=pid,
        python=recipe.python,
        started=time.time(),
        busy=True,
        modules=recipe.modules,
        left={},
        children=0,
        spares=0,
        holds=0,
        idle_since=None,
        memory=0,
    )
    where.info.write_text(json.dumps(asdict(known)))
    sock = _dial(where.socket)
    if sock is None:
        raise NoServerError(f"it ended at once ({where.log})")
    return sock


def _dial(path: Path) -> socket.socket | None:
    """A connection, or None when nobody listens."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(os.fspath(path))
    except OSError as error:
        sock.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            return None
        raise
    return sock


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    with (runtime_dir() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _reap() -> None:
    """A server that we started and that has ended would stay a zombie."""
    for pid in list(_started):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            ended = True
        if ended:
            _started.discard(pid)
