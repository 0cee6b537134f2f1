"""The fork servers of this user on this host: their files, and how to connect to, start, list and stop them.

All files are in one folder of mode 0700, which this module creates and checks. Each server has a socket, a file with
its last known status, and a log file. The process that starts a server creates the socket and passes it to the server,
so that clients can send requests before the server runs. The next start removes the files of a killed server.

At most `NBDAG_SERVERS` (default 4) servers run at once, and together they use at most a quarter of the memory. If a new
server would exceed a limit, the server that has been idle longest is stopped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import select
import shutil
import signal
import socket
import stat
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import NbdagError, error
from ...processes.identity import HASH_SEED
from . import framing
from .server import START, server_lock
from .server_spec import ServerSpec

_MAX_PATH = 107  # maximum length in bytes of the path of a Unix socket
_KEY = re.compile(r"[0-9a-f]{16}")
_started: set[int] = set()  # pids of servers that this process started and whose exit status it must collect


@error
class NoServerError(NbdagError):
    """No fork server is available."""

    reason: str
    template = "{reason}"


@error
class ServerSettingError(NbdagError):
    """An environment variable for fork servers has an invalid value."""

    exit_code = 2

    variable: str
    text: str
    expected: str
    template = "invalid {variable} {text!r}; expected {expected}"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """The files of one server."""

    socket: Path
    info: Path  # status of the server; clients read this file while the server is still importing
    log: Path
    not_preloaded: Path  # file with the modules that cannot be preloaded, and the reasons
    folder: Path  # folder that contains the private folders of the server's children


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """The status of a running server."""

    key: str
    pid: int
    python: str
    started: float  # start of the server, in seconds since the epoch
    busy: bool  # whether the server is still importing
    modules: tuple[str, ...]  # modules that the server has preloaded
    not_preloaded: dict[str, str]  # key: module that the server does not preload; value: the reason
    children: int  # number of children, spares excluded
    spares: int
    holds: int
    idle_since: float | None  # time of the server's last use, in seconds since the epoch; None while it is in use
    memory: int  # memory in bytes that the server shares with no other process


def idle_time() -> float:
    """Return the seconds after which an unused server ends. Raises `ServerSettingError`."""
    text = os.environ.get("NBDAG_IDLE") or "600"
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf:
        raise ServerSettingError("NBDAG_IDLE", text, "a number of seconds such as 600")
    return seconds


def max_servers() -> int:
    """Return the maximum number of servers. Raises `ServerSettingError`."""
    text = os.environ.get("NBDAG_SERVERS") or "4"
    if not (text.isdecimal() and int(text)):
        raise ServerSettingError("NBDAG_SERVERS", text, "a number of fork servers such as 4")
    return int(text)


def umask() -> int:
    """Return this process's umask without changing it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def runtime_dir() -> Path:
    """Return the folder of all servers, created if necessary; raise `NoServerError` if other users can enter it."""
    base = os.environ.get("NBDAG_RUNTIME_DIR")
    if base is None:
        session = os.environ.get("XDG_RUNTIME_DIR", "")
        base = f"{session}/nbdag" if session and os.access(session, os.W_OK) else f"/tmp/nbdag-{os.getuid()}"
    path = Path(base)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or stat.S_IMODE(seen.st_mode) & 0o077:
        raise NoServerError(f"{path} is not a folder that only you can enter; remove it or set its mode to 700")
    return path


def files(key: str) -> ServerFiles:
    """Return the files of the server with this key."""
    base = runtime_dir()
    found = ServerFiles(*(base / f"{key}.{kind}" for kind in ("sock", "json", "log", "skip", "d")))
    if len(os.fsencode(found.socket)) > _MAX_PATH:
        raise NoServerError(f"the path {found.socket} is too long for a socket; set NBDAG_RUNTIME_DIR to a shorter one")
    return found


def connect(spec: ServerSpec, idle: float) -> socket.socket:
    """Return a connection to the server of a specification; start the server if it is not running."""
    if not (hasattr(os, "fork") and hasattr(os, "pidfd_open") and sys.platform == "linux"):
        raise NoServerError(f"{sys.platform} cannot fork a process safely once libraries are loaded")
    try:
        where = files(spec.key)
        sock = _connect_to(where.socket)
        if sock is None:
            with _lock():
                sock = _connect_to(where.socket) or _start(spec, where, idle)
        return sock
    except OSError as error:
        raise NoServerError(str(error)) from error


def keys() -> list[str]:
    """Return the keys of all servers that may be running."""
    return sorted(path.stem for path in runtime_dir().glob("*.sock") if _KEY.fullmatch(path.stem))


def running() -> list[ServerStatus]:
    """Return the status of all running servers, the most recently used first."""
    found = [status for key in keys() if (status := ask(key)) is not None]
    return sorted(found, key=lambda status: -(status.idle_since or time.time()))


def ask(key: str, timeout: float = 1.0) -> ServerStatus | None:
    """Return the status of a server, or None if it is not running.

    The status of a server that is still importing comes from a file.
    """
    where = files(key)
    sock = _connect_to(where.socket)
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
    return ServerStatus(**{**data, "modules": tuple(data["modules"])})


def stop(key: str, timeout: float = 10.0) -> bool:
    """Stop a server and its children; return False if no server was running."""
    status = ask(key)
    if status is None:
        return False
    try:
        pidfd = os.pidfd_open(status.pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signum)
            if poll.poll(timeout * 1000):
                break
    finally:
        os.close(pidfd)
    with _lock():
        _reap()
        remove_stale_files()
    return True


def remove_stale_files() -> None:
    """Remove the files of killed servers. The caller holds the lock."""
    base = runtime_dir()
    alive = set()
    for key in keys():
        sock = _connect_to(base / f"{key}.sock")
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
        elif path.suffix == ".skip" and path.stat().st_mtime < time.time() - 30 * 86_400:
            path.unlink(missing_ok=True)


def evict_idle(limit: int, memory: int) -> None:
    """Stop idle servers until fewer than `limit` servers remain and these use less than `memory` bytes.

    The server that has been idle longest is stopped first.
    """
    found = running()
    for status in reversed(found):
        if len(found) < limit and sum(each.memory for each in found) < memory:
            return
        if status.idle_since is not None:
            _signal(status.pid)
            found.remove(status)


def _start(spec: ServerSpec, where: ServerFiles, idle: float) -> socket.socket:
    _reap()
    remove_stale_files()
    evict_idle(max_servers(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
    where.folder.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(where.socket))
        listener.listen(128)
        options = {
            "key": spec.key,
            "listener": 3,
            "modules": spec.modules,
            "targets": spec.targets,
            "idle": idle,
            "lock": os.fspath(runtime_dir() / "lock"),
            **{name: os.fspath(path) for name, path in asdict(where).items()},
        }
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        log = (os.POSIX_SPAWN_OPEN, 1, os.fspath(where.log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        # The child inherits the listener as descriptor 3. The listener is first copied to a high number, because its
        # descriptor could be 3 already.
        high = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 100)
        try:
            pid = os.posix_spawn(
                spec.python,
                [spec.python, "-c", START, json.dumps(options)],
                dict([HASH_SEED]) | dict(spec.env),
                file_actions=[null, log, (os.POSIX_SPAWN_DUP2, 1, 2), (os.POSIX_SPAWN_DUP2, high, 3)],
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD],
            )
        finally:
            os.close(high)
    _started.add(pid)
    known = ServerStatus(
        key=spec.key,
        pid=pid,
        python=spec.python,
        started=time.time(),
        busy=True,
        modules=spec.modules,
        not_preloaded={},
        children=0,
        spares=0,
        holds=0,
        idle_since=None,
        memory=0,
    )
    where.info.write_text(json.dumps(asdict(known)))
    sock = _connect_to(where.socket)
    if sock is None:
        raise NoServerError(f"the server ended immediately (log: {where.log})")
    return sock


def _connect_to(path: Path) -> socket.socket | None:
    """Return a connection to a socket, or None if no process listens on it."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(os.fspath(path))
    except OSError as error:
        sock.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            return None
        raise
    return sock


def _lock() -> contextlib.AbstractContextManager[None]:
    return server_lock(runtime_dir() / "lock")


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def _reap() -> None:
    """Collect the exit status of servers that this process started and that have ended."""
    for pid in list(_started):
        try:
            ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            ended = True
        if ended:
            _started.discard(pid)
