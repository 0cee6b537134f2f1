"""The fork server's process: it imports, then forks.

It has one thread, no event loop and no ZeroMQ context, so that a child starts from a clean state; `select` over
its listener, its clients and its children is all it does. A child unwinds to `main` and lives its life from there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...processes.identity import MARK, WORKER
from . import framing, importing
from .child import Born, Orders, changes
from .importing import flush

# How it is started: whatever stands in the folder where that happens must not be imported.
START = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from nbdag.kernels.forkserver.server import main; sys.exit(main())"
)

_PEER = struct.Struct("3i")  # pid, uid, gid
_PR_SET_NAME = 15
_REQUEST_TIMEOUT = 10.0  # seconds that a client may take to say what it wants
_PATIENCE = 60.0  # seconds that a server waits for its first client
_BURST = 0.1  # seconds without a fork after which all spares are made: until then processors have better things to do
_LAST = 1  # with so many spares left, more are made at once


@dataclass(slots=True, eq=False)
class _Child:
    """A process that was forked."""

    pid: int
    pidfd: int
    secret: str
    folder: Path
    owner: socket.socket | None  # None for a spare
    orders: socket.socket | None  # where a spare gets its orders
    kind: tuple[str, bytes]  # target and arguments
    mark: str = ""  # of the attempt whose kernel it is
    code: int | None = None


@dataclass(slots=True, eq=False)
class _Hold:
    """A client that keeps the server alive."""

    sock: socket.socket
    wants: dict[tuple[str, bytes], int] = field(default_factory=dict)  # spares per target and arguments


class Zygote:
    """The server."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.started = time.time()
        self.idle: float = options["idle"]
        self.modules: list[str] = []
        self.left: dict[str, str] = {}
        self.env_before = dict(os.environ)
        self.targets: dict[str, Callable[..., Any]] = {}
        self.folder = Path(options["folder"])
        self.listener = socket.socket(fileno=options["listener"])
        self.selector = selectors.DefaultSelector()
        self.children: set[_Child] = set()
        self.holds: set[_Hold] = set()
        self.idle_since: float | None = time.time()
        self.used = False
        self.stopping = False
        self.forked = -_BURST  # when somebody last asked for a child, on the monotonic clock
        self.short = False  # spares are wanted that can wait

    # -- imports ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Import what can be imported ahead."""
        for target in self.options["targets"]:
            module, _, name = target.partition(":")
            self.targets[target] = getattr(importlib.import_module(module), name)
        culprit = importing.other_threads()
        if culprit:
            raise RuntimeError(f"importing {self.options['targets']} starts a thread: {culprit}")
        self.modules, self.left = importing.import_ahead(
            self.options["modules"], Path(self.options["left"]), self._start_over
        )

    def _start_over(self) -> None:
        os.set_inheritable(self.listener.fileno(), True)
        os.execve(sys.executable, [sys.executable, "-c", START, json.dumps(self.options)], self.env_before)

    # -- the loop -----------------------------------------------------------------------------------------------

    def serve(self) -> Born | None:
        """Answer until there is nothing left to do; in a child, what it was born for."""
        signal.signal(signal.SIGTERM, self._stop)
        wake, waker = socket.socketpair()
        for sock in (wake, waker):
            sock.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.selector.register(wake, selectors.EVENT_READ, lambda _: wake.recv(64) and None)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self._wakers = (wake, waker)
        gc.collect()
        gc.freeze()  # what is there by now stays shared with the children
        while not self.stopping:
            for key, _ in self.selector.select(self._wait()):
                born = key.data(key.fileobj)
                if born is not None:
                    return born  # type: ignore[no-any-return]
            born = self._keep_spares()
            if born is not None:
                return born
            if self._patience() == 0.0:
                break
        self._end()
        return None

    def _patience(self) -> float | None:
        """Seconds until the server may end; None while it is used."""
        if self.idle_since is None:
            return None
        wait = self.idle if self.used else max(self.idle, _PATIENCE)
        return max(0.0, self.idle_since + wait - time.time())

    def _wait(self) -> float | None:
        """Seconds until there is something to do though nobody asks; None where there will not be."""
        waits = [wait for wait in (self._patience(), self._calm()) if wait is not None]
        return min(waits, default=None)

    def _calm(self) -> float | None:
        """Seconds until spares are made that can wait; None where none are wanted."""
        if not self.short:
            return None
        return max(0.0, self.forked + _BURST - time.monotonic())

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _note_use(self) -> None:
        busy = bool(self.holds) or any(child.owner for child in self.children)
        self.idle_since = None if busy else (self.idle_since or time.time())

    def _end(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            # Unbound first: whoever comes now starts a server of their own.
            Path(self.options["socket"]).unlink()
        self.listener.close()
        for child in list(self.children):
            self._bury(child)
        for name in ("info", "log"):
            Path(self.options[name]).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- clients ------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> Born | None:
        try:
            sock, _ = listener.accept()
        except OSError:  # it has gone again
            return None
        peer = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if peer[1] != os.geteuid():
            sock.close()
            return None
        sock.settimeout(_REQUEST_TIMEOUT)
        try:
            frame = framing.receive(sock)
        except OSError:
            frame = None
        if frame is None:
            sock.close()
            return None
        born = None
        try:
            match frame.data["op"]:
                case "fork":
                    born = self._fork(sock, frame)
                case "hold":
                    hold = _Hold(sock)
                    self.holds.add(hold)
                    self.idle = max(self.idle, frame.data["idle"])
                    self.selector.register(sock, selectors.EVENT_READ, lambda _: self._told(hold))
                case _:
                    with sock:
                        framing.send(sock, self._status())
                    return None
        except OSError:
            sock.close()
        finally:
            if born is None:
                framing.close(frame.fds)
        self.used = True
        self._note_use()
        return born

    def _told(self, hold: _Hold) -> None:
        try:
            frame = framing.receive(hold.sock)
        except OSError:
            frame = None
        if frame is None:
            self.selector.unregister(hold.sock)
            hold.sock.close()
            self.holds.discard(hold)
            self._note_use()
        else:
            framing.close(frame.fds)
            if frame.data["target"] in self.targets:
                hold.wants[(frame.data["target"], frame.blob)] = frame.data["count"]

    def _status(self) -> dict[str, Any]:
        owned = sum(1 for child in self.children if child.owner)
        return {
            "key": self.options["key"],
            "pid": os.getpid(),
            "python": sys.executable,
            "started": self.started,
            "busy": False,
            "modules": self.modules,
            "left": self.left,
            "children": owned,
            "spares": len(self.children) - owned,
            "holds": len(self.holds),
            "idle_since": self.idle_since,
            "memory": _own_memory(),
        }

    # -- children -----------------------------------------------------------------------------------------------

    def _fork(self, owner: socket.socket, frame: framing.Frame) -> Born | None:
        self.forked = time.monotonic()
        target = frame.data["target"]
        if target not in self.targets:
            framing.send(owner, {"error": f"{target} is not among what it was started for"})
            owner.close()
            return None
        size = frame.data["arguments"]
        arguments, payload = frame.blob[:size], frame.blob[size:]
        orders = Orders(data=dict(frame.data), payload=payload, fds=(*frame.fds, owner.fileno()))
        for child in self.children:
            if child.owner is None and child.kind == (target, arguments) and child.code is None:
                child.owner = owner
                child.mark = _mark(frame.data["env"])
                framing.send(owner, {"pid": child.pid, "folder": str(child.folder), "secret": child.secret})
                assert child.orders is not None
                with contextlib.suppress(OSError):  # it has just died: its owner will be told so
                    framing.send(child.orders, orders.data, payload, orders.fds)
                self.selector.unregister(child.orders)
                child.orders.close()
                child.orders = None
                self._listen_to(child)
                return None
        return self._bear((target, arguments), owner, orders)

    def _keep_spares(self) -> Born | None:
        wants: dict[tuple[str, bytes], int] = {}
        for hold in self.holds:
            for kind, count in hold.wants.items():
                wants[kind] = max(wants.get(kind, 0), count)
        spares = [child for child in self.children if child.owner is None and child.code is None]
        for child in spares:
            if wants.get(child.kind, 0) > 0:
                wants[child.kind] -= 1
            else:
                self._bury(child)
        self.short = False
        for kind, missing in wants.items():
            wanted = max(hold.wants.get(kind, 0) for hold in self.holds)
            if wanted - missing > _LAST and time.monotonic() < self.forked + _BURST:
                self.short = self.short or missing > 0
                continue
            for _ in range(missing):
                born = self._bear(kind, None, None)
                if born is not None:
                    return born
        return None

    def _bear(self, kind: tuple[str, bytes], owner: socket.socket | None, orders: Orders | None) -> Born | None:
        secret = os.urandom(16).hex()
        folder = self.folder / secret[:8]
        ours, theirs = socket.socketpair() if orders is None else (None, None)
        flush()
        try:
            folder.mkdir(mode=0o700)
            pid = os.fork()
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            for sock in (ours, theirs):
                if sock is not None:
                    sock.close()
            if owner is not None:
                framing.send(owner, {"error": f"fork failed: {error}"})
                owner.close()
            return None
        if pid == 0:
            keep = {sock for sock in (theirs,) if sock is not None}
            self._let_go(keep | ({owner} if owner else set()))
            return Born(
                target=self.targets[kind[0]],
                arguments=kind[1],
                folder=folder,
                secret=secret,
                server=os.getppid(),
                env_change=changes(self.env_before, os.environ),
                orders=orders,
                come=theirs,
                owner=owner,
            )
        if theirs is not None:
            theirs.close()
        mark = "" if orders is None else _mark(orders.data["env"])
        child = _Child(pid, os.pidfd_open(pid), secret, folder, owner, ours, kind, mark)
        self.children.add(child)
        self.selector.register(child.pidfd, selectors.EVENT_READ, lambda _: self._ended(child))
        if owner is not None:
            try:
                framing.send(owner, {"pid": pid, "folder": str(folder), "secret": secret})
            except OSError:
                self._bury(child)
                return None
            self._listen_to(child)
        else:
            self.selector.register(ours, selectors.EVENT_READ, lambda _: self._bury(child))  # type: ignore[arg-type]
        return None

    def _listen_to(self, child: _Child) -> None:
        assert child.owner is not None
        self.selector.register(child.owner, selectors.EVENT_READ, lambda _: self._bury(child))

    def _ended(self, child: _Child) -> None:
        """A child has ended: its group ends with it. It stays unreaped, so that its pid stays its own."""
        if child.pidfd < 0:
            return
        self.selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.pidfd = -1
        seen = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert seen is not None
        child.code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
        _kill_group(child.pid)
        if child.owner is None:
            self._bury(child)
        else:
            with contextlib.suppress(OSError):
                framing.send(child.owner, {"exit": child.code})

    def _bury(self, child: _Child) -> None:
        """Nobody asks for a child any more: end its group, and forget it."""
        if child not in self.children:
            return
        self.children.discard(child)
        _kill_group(child.pid)
        if child.mark and child.code is None:  # its owner is gone: nobody else ends what has left the group
            from ...processes.process_tree import end_marked

            end_marked(child.mark)
        if child.pidfd >= 0:
            self.selector.unregister(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = -1
        for sock in (child.owner, child.orders):
            if sock is not None:
                self.selector.unregister(sock)
                sock.close()
        os.waitpid(child.pid, 0)
        shutil.rmtree(child.folder, ignore_errors=True)
        self._note_use()

    def _let_go(self, keep: set[socket.socket]) -> None:
        """In a child: close what is the server's."""
        signal.set_wakeup_fd(-1)
        self.selector.close()
        socks = [self.listener, *self._wakers, *(hold.sock for hold in self.holds)]
        for child in self.children:
            socks += [sock for sock in (child.owner, child.orders) if sock is not None]
            if child.pidfd >= 0:
                os.close(child.pidfd)
        for sock in socks:
            if sock not in keep:
                sock.close()


def main() -> int:
    """Be a server, or one of its children."""
    leaving = Leaving()
    atexit.register(leaving.leave)  # registered first, so called last
    options = json.loads(sys.argv[1])
    with contextlib.suppress(PermissionError):  # a restart is a session leader already
        os.setsid()
    os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 16 else 1 << 16)
    os.set_inheritable(options["listener"], False)
    os.chdir("/")
    os.umask(0o077)
    sys.argv = [""]
    name_process("nbdag-fork")
    zygote: Zygote | None = Zygote(options)
    assert zygote is not None
    zygote.prepare()
    born = zygote.serve()
    if born is None:
        return 0
    zygote = None  # its sockets are closed; what else it knew is not the child's
    leaving.shared = frozenset(sys.modules)
    try:
        leaving.code = born.live()
    except SystemExit as error:
        leaving.code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException:
        leaving.code = 1
        raise
    return leaving.code


class Leaving:
    """How a child ends: as Python does, but without taking down, object by object, what it shares with its server."""

    def __init__(self) -> None:
        self.code: int | None = None  # None in the server itself
        self.shared: frozenset[str] = frozenset()  # modules that the server had

    def leave(self) -> None:
        """The last of the functions that run at exit."""
        if self.code is None:
            return
        for name in sys.modules.keys() - self.shared:
            del sys.modules[name]
        gc.collect()  # what closes itself when nobody holds it any more
        for thing in gc.get_objects():
            # By its type: asking the thing itself could wake up a lazy one.
            if issubclass(type(thing), io.IOBase):
                with contextlib.suppress(Exception):
                    thing.flush()
        flush()
        os._exit(self.code)


def name_process(name: str) -> None:
    """What `ps` and `top` show."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _mark(env: Mapping[str, str]) -> str:
    """The mark of the attempt that asks for a kernel. Anybody else may have one too, by being part of an attempt."""
    return env.get(MARK, "") if WORKER in env else ""


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it may not have got as far as its own group


def _own_memory() -> int:
    """Bytes that would be free again without this process."""
    kinds: Sequence[bytes] = (b"Private_Clean:", b"Private_Dirty:", b"Pss:")
    sizes = dict.fromkeys(kinds, 0)
    for line in Path("/proc/self/smaps_rollup").read_bytes().splitlines():
        parts = line.split()
        if parts[0] in sizes:
            sizes[parts[0]] += int(parts[1]) * 1024
    return sizes[b"Pss:"]
