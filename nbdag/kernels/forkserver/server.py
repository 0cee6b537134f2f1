"""The fork server's process: it imports modules, then forks children.

It has one thread, no event loop and no ZeroMQ context, so that a child starts from a clean state. Its only loop is a
`select` over its listener, its clients and its children. In a forked child, all functions return to `main`, which then
runs the child.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...processes.identity import MARK_VARIABLE, WORKER_VARIABLE
from ...processes.marks import drop_mark
from . import framing, importing
from .child import ForkedChild, ForkRequest, env_changes
from .exit_hook import ExitHook
from .importing import flush
from .linux import kill_group, name_process, own_memory
from .server_records import ChildRecord, ClientRecord, HoldRecord, Spares

# The command that starts a server. The current folder is not on its path, because modules there must not
# be imported.
START = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "from nbdag.kernels.forkserver.server import main; sys.exit(main())"
)

_PEER = struct.Struct("3i")  # credentials of a connected process: pid, uid, gid
_REQUEST_TIMEOUT = 10.0  # seconds within which a client must send its request
_FIRST_CLIENT_TIMEOUT = 60.0  # seconds that a server waits for its first client
_SPARE_DELAY = (
    # Missing spares are forked after this many seconds without a request, because requested children need the
    # processors first.
    0.1
)
_FEW_SPARES = 1  # if a client requests at most this many spares, they are forked without delay


class ForkServer:
    """The state and the loop of a fork server."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.started = time.time()
        self.idle: float = options["idle"]
        self.modules: list[str] = []
        self.not_preloaded: dict[str, str] = {}
        self.env_before = dict(os.environ)
        self.targets: dict[str, Callable[..., Any]] = {}
        self.folder = Path(options["folder"])
        self.socket_file = _identity(Path(options["socket"]))
        self.listener = socket.socket(fileno=options["listener"])
        self.selector = selectors.DefaultSelector()
        self.children: set[ChildRecord] = set()
        self.holds: set[HoldRecord] = set()
        self.clients: set[ClientRecord] = set()
        self.idle_since: float | None = time.time()
        self.used = False
        self.stopping = False
        self.last_fork = -_SPARE_DELAY  # time of the latest request for a child, on the monotonic clock
        self.spares_postponed = False  # whether the fork of missing spares was postponed

    # -- imports ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Import the targets, then preload the modules."""
        for target in self.options["targets"]:
            module, _, name = target.partition(":")
            self.targets[target] = getattr(importlib.import_module(module), name)
        culprit = importing.other_threads()
        if culprit:
            raise RuntimeError(f"importing {self.options['targets']} starts a thread: {culprit}")
        with contextlib.ExitStack() as surroundings:
            looks = [
                surroundings.enter_context(target.preloading())
                for target in self.targets.values()
                if self.options["modules"] and hasattr(target, "preloading")
            ]
            self.folder.mkdir(mode=0o700, exist_ok=True)
            # The folder has an unusual name, so that `import_watch` detects modules that store it.
            os.chdir(self.folder)
            done = importing.import_ahead(
                self.options["modules"],
                Path(self.options["not_preloaded"]),
                self._start_over,
                lambda: next(filter(None, (each.changes() for each in looks)), ""),
            )
            os.chdir("/")
        self.modules, self.not_preloaded = done

    def _start_over(self) -> None:
        os.set_inheritable(self.listener.fileno(), True)
        os.execve(sys.executable, [sys.executable, "-c", START, json.dumps(self.options)], self.env_before)

    # -- the loop -----------------------------------------------------------------------------------------------

    def serve(self) -> ForkedChild | None:
        """Serve requests. Return None when the server ends. In a forked child, return the `ForkedChild`."""
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
        # Without this, the garbage collector would write to existing objects and so copy their memory in each child.
        gc.freeze()
        while not self.stopping:
            for key, _ in self.selector.select(self._select_timeout()):
                forked = key.data(key.fileobj)
                if forked is not None:
                    return forked  # type: ignore[no-any-return]
            self._drop_silent_clients()
            forked = self._keep_spares()
            if forked is not None:
                return forked
            if self._time_to_end() == 0.0:
                break
        self._end()
        return None

    def _time_to_end(self) -> float | None:
        """Return the seconds until the server may end, or None while the server is in use."""
        if self.idle_since is None:
            return None
        wait = self.idle if self.used else max(self.idle, _FIRST_CLIENT_TIMEOUT)
        return max(0.0, self.idle_since + wait - time.time())

    def _select_timeout(self) -> float | None:
        """Return the seconds until the server must act without a request, or None if it only waits for requests."""
        silent = [max(0.0, client.deadline - time.monotonic()) for client in self.clients]
        waits = [wait for wait in (self._time_to_end(), self._time_to_spares(), *silent) if wait is not None]
        return min(waits, default=None)

    def _time_to_spares(self) -> float | None:
        """Return the seconds until postponed spares are forked, or None if no fork is postponed."""
        if not self.spares_postponed:
            return None
        return max(0.0, self.last_fork + _SPARE_DELAY - time.monotonic())

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _update_idle(self) -> None:
        busy = bool(self.holds) or any(child.owner for child in self.children)
        self.idle_since = None if busy else (self.idle_since or time.time())

    def _end(self) -> None:
        # The files are removed first, so that a new client starts another server, the successor. The successor
        # uses files of the same names.
        with server_lock(Path(self.options["lock"])):
            if self.socket_file == _identity(Path(self.options["socket"])):
                for name in ("socket", "info", "log"):
                    Path(self.options[name]).unlink(missing_ok=True)
        self.listener.close()
        for child in list(self.children):
            self._discard(child)
        with contextlib.suppress(OSError):  # the folder is in use by children of the successor
            self.folder.rmdir()

    # -- clients ------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> ForkedChild | None:
        try:
            sock, _ = listener.accept()
        except OSError:  # OSError: the client has disconnected
            return None
        peer = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if peer[1] != os.geteuid():
            sock.close()
            return None
        sock.setblocking(False)
        client = ClientRecord(sock, framing.Receiver(sock), time.monotonic() + _REQUEST_TIMEOUT)
        self.clients.add(client)
        self.selector.register(sock, selectors.EVENT_READ, lambda _: self._on_request(client))
        return self._on_request(client)  # usually the request arrives together with the connection

    def _on_request(self, client: ClientRecord) -> ForkedChild | None:
        try:
            frame = client.receiver.receive()
        except OSError:
            self._forget_client(client)
            client.sock.close()
            return None
        if frame is None:
            return None
        self._forget_client(client)
        client.sock.settimeout(_REQUEST_TIMEOUT)
        return self._answer(client.sock, frame)

    def _forget_client(self, client: ClientRecord) -> None:
        self.clients.discard(client)
        self.selector.unregister(client.sock)
        client.receiver.close()

    def _drop_silent_clients(self) -> None:
        for client in [each for each in self.clients if each.deadline <= time.monotonic()]:
            self._forget_client(client)
            client.sock.close()

    def _answer(self, sock: socket.socket, frame: framing.Frame) -> ForkedChild | None:
        forked = None
        try:
            match frame.data["op"]:
                case "fork":
                    forked = self._fork(sock, frame)
                case "hold":
                    hold = HoldRecord(sock)
                    self.holds.add(hold)
                    self.idle = max(self.idle, frame.data["idle"])
                    self.selector.register(sock, selectors.EVENT_READ, lambda _: self._on_hold_message(hold))
                case _:
                    with sock:
                        framing.send(sock, self._status())
                    return None
        except OSError:
            sock.close()
        finally:
            if forked is None:
                framing.close(frame.fds)
        self.used = True
        self._update_idle()
        return forked

    def _on_hold_message(self, hold: HoldRecord) -> None:
        try:
            frame = framing.receive(hold.sock)
        except OSError:
            frame = None
        if frame is None:
            self.selector.unregister(hold.sock)
            hold.sock.close()
            self.holds.discard(hold)
            self._update_idle()
        else:
            framing.close(frame.fds)
            if frame.data["target"] in self.targets:
                spares = Spares(frame.data["count"], frame.data["needed"])
                hold.spares[(frame.data["target"], frame.blob)] = spares

    def _status(self) -> dict[str, Any]:
        owned = sum(1 for child in self.children if child.owner)
        return {
            "key": self.options["key"],
            "pid": os.getpid(),
            "python": sys.executable,
            "started": self.started,
            "busy": False,
            "modules": self.modules,
            "not_preloaded": self.not_preloaded,
            "children": owned,
            "spares": len(self.children) - owned,
            "holds": len(self.holds),
            "idle_since": self.idle_since,
            "memory": own_memory(),
        }

    # -- children -----------------------------------------------------------------------------------------------

    def _fork(self, owner: socket.socket, frame: framing.Frame) -> ForkedChild | None:
        self.last_fork = time.monotonic()
        target = frame.data["target"]
        if target not in self.targets:
            framing.send(owner, {"error": f"unknown target {target}; expected one of {', '.join(self.targets)}"})
            owner.close()
            return None
        size = frame.data["arguments"]
        arguments, payload = frame.blob[:size], frame.blob[size:]
        for hold in self.holds:
            spares = hold.spares.get((target, arguments))
            if spares is not None and spares.needed:
                spares.needed -= 1
        request = ForkRequest(data=dict(frame.data), payload=payload, fds=(*frame.fds, owner.fileno()))
        for child in self.children:
            if child.owner is None and child.kind == (target, arguments) and child.code is None:
                child.owner = owner
                child.mark = _mark(frame.data["env"])
                framing.send(owner, {"pid": child.pid, "folder": str(child.folder), "secret": child.secret})
                assert child.request_connection is not None
                # OSError: the child has just died. Another message reports this to the owner.
                with contextlib.suppress(OSError):
                    framing.send(child.request_connection, request.data, payload, request.fds)
                self.selector.unregister(child.request_connection)
                child.request_connection.close()
                child.request_connection = None
                self._watch_owner(child)
                return None
        return self._fork_child((target, arguments), owner, request)

    def _keep_spares(self) -> ForkedChild | None:
        wants: dict[tuple[str, bytes], int] = {}
        for hold in self.holds:
            for kind, spares in hold.spares.items():
                wants[kind] = max(wants.get(kind, 0), spares.wanted)
        most = dict(wants)
        for child in [child for child in self.children if child.owner is None and child.code is None]:
            if wants.get(child.kind, 0) > 0:
                wants[child.kind] -= 1
            else:
                self._discard(child)
        self.spares_postponed = False
        for kind, missing in wants.items():
            if most[kind] - missing > _FEW_SPARES and time.monotonic() < self.last_fork + _SPARE_DELAY:
                self.spares_postponed = self.spares_postponed or missing > 0
                continue
            for _ in range(missing):
                forked = self._fork_child(kind, None, None)
                if forked is not None:
                    return forked
        return None

    def _fork_child(
        self, kind: tuple[str, bytes], owner: socket.socket | None, request: ForkRequest | None
    ) -> ForkedChild | None:
        secret = os.urandom(16).hex()
        folder = self.folder / secret[:8]
        ours, theirs = socket.socketpair() if request is None else (None, None)
        flush()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
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
            self._close_server_files(keep | ({owner} if owner else set()))
            return ForkedChild(
                target_factory=self.targets[kind[0]],
                arguments=kind[1],
                folder=folder,
                secret=secret,
                server=os.getppid(),
                env_change=env_changes(self.env_before, os.environ),
                request=request,
                connection=theirs,
                owner=owner,
            )
        if theirs is not None:
            theirs.close()
        mark = "" if request is None else _mark(request.data["env"])
        child = ChildRecord(pid, os.pidfd_open(pid), secret, folder, owner, ours, kind, mark)
        self.children.add(child)
        self.selector.register(child.pidfd, selectors.EVENT_READ, lambda _: self._on_child_end(child))
        if owner is not None:
            try:
                framing.send(owner, {"pid": pid, "folder": str(folder), "secret": secret})
            except OSError:
                self._discard(child)
                return None
            self._watch_owner(child)
        else:
            self.selector.register(ours, selectors.EVENT_READ, lambda _: self._discard(child))  # type: ignore[arg-type]
        return None

    def _watch_owner(self, child: ChildRecord) -> None:
        assert child.owner is not None
        self.selector.register(child.owner, selectors.EVENT_READ, lambda _: self._discard(child))

    def _on_child_end(self, child: ChildRecord) -> None:
        """Kill the group of a child that has ended, and report its exit code. The child stays unreaped, so that its
        pid is not reused.
        """
        if child.pidfd < 0:
            return
        self.selector.unregister(child.pidfd)
        os.close(child.pidfd)
        child.pidfd = -1
        seen = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert seen is not None
        child.code = seen.si_status if seen.si_code == os.CLD_EXITED else -seen.si_status
        kill_group(child.pid)
        if child.owner is None:
            self._discard(child)
        else:
            with contextlib.suppress(OSError):
                framing.send(child.owner, {"exit": child.code})

    def _discard(self, child: ChildRecord) -> None:
        """Kill the group of a child without an owner, and remove its record."""
        if child not in self.children:
            return
        self.children.discard(child)
        kill_group(child.pid)
        # Since the owner is gone, the server also kills the attempt's processes that are outside of the child's group.
        if child.mark and child.code is None:
            # Imported here because psutil would make every child larger.
            from ...processes.process_tree import kill_marked

            kill_marked(child.mark)
        if child.pidfd >= 0:
            self.selector.unregister(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = -1
        for sock in (child.owner, child.request_connection):
            if sock is not None:
                self.selector.unregister(sock)
                sock.close()
        os.waitpid(child.pid, 0)
        shutil.rmtree(child.folder, ignore_errors=True)
        self._update_idle()

    def _close_server_files(self, keep: set[socket.socket]) -> None:
        """Close the server's descriptors in a child."""
        signal.set_wakeup_fd(-1)
        self.selector.close()
        clients = [*(hold.sock for hold in self.holds), *(client.sock for client in self.clients)]
        socks = [self.listener, *self._wakers, *clients]
        for child in self.children:
            socks += [sock for sock in (child.owner, child.request_connection) if sock is not None]
            if child.pidfd >= 0:
                os.close(child.pidfd)
        for sock in socks:
            if sock not in keep:
                sock.close()


def main() -> int:
    """Run a server, or one of its children; return the exit code."""
    exit_hook = ExitHook()
    atexit.register(exit_hook.run)  # atexit calls the first registered function last
    options = json.loads(sys.argv[1])
    drop_mark()
    with contextlib.suppress(PermissionError):  # PermissionError: after a restart, the server already leads a session
        os.setsid()
    os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 16 else 1 << 16)
    os.set_inheritable(options["listener"], False)
    os.chdir("/")
    os.umask(0o077)
    sys.argv = [""]
    name_process("nbdag-fork")
    server: ForkServer | None = ForkServer(options)
    assert server is not None
    server.prepare()
    forked = server.serve()
    if forked is None:
        return 0
    server = None  # free the server's state, which a child does not need
    exit_hook.shared = frozenset(sys.modules)
    try:
        exit_hook.code = forked.run()
    except SystemExit as error:
        exit_hook.code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException:
        exit_hook.code = 1
        raise
    return exit_hook.code


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the inode and change time of a file, which identify it, or None if the file is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


@contextlib.contextmanager
def server_lock(path: Path) -> Iterator[None]:
    """Hold the lock that protects the files of all servers."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mark(env: Mapping[str, str]) -> str:
    """Return the id of the attempt whose worker requests a kernel, or "" if the requesting process is not a worker."""
    return env.get(MARK_VARIABLE, "") if WORKER_VARIABLE in env else ""
