"""The client of a fork server: it requests processes in which all imports are already done.

A *fork server* is a process of this user that has imported some modules once, and forks a child for each
request, in about 10 ms instead of seconds. A `ServerSpec` identifies a server: all requests with equal
specifications share one server, even if they come from different processes. `Server.connect` returns immediately, so
the server imports modules while a run is being planned. Requests wait until the imports are done.

A child runs its `target`, given as `module:name`. The target is a function that takes the payload, or a class
(`child.Target`) that is set up from its `arguments` in advance and then run. Both return the exit code. The child leads
a session and process group whose id is its pid. The child has the working directory, environment, arguments, umask and
standard streams of the request, and a private folder that is removed at its end.

The process that requested a child owns it. When the owner closes the child or dies, even by SIGKILL, the child's whole
process group is killed. When a server dies, its children die too. Until the owner closes the child, the child's pid is
not reused.

    with Server.connect(ServerSpec.of(["pandas"], targets=[TARGET])).fork(TARGET, payload, cwd="…") as child:
        child.wait_ready()
        code = child.wait()

If this system cannot fork such processes, `ForkServerError` gives the reason, and the caller chooses an
alternative.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import NbdagError, error
from . import framing, server_registry
from .server_spec import ServerSpec

START_TIMEOUT = 300.0  # time limit in seconds for the server's imports and its first child


@error
class ForkServerError(NbdagError):
    """A process cannot be forked here."""

    reason: str
    template = "no fork server: {reason}; ordinary kernels are used instead, which start more slowly"


class Child:
    """A forked process that this process owns. Closing the object kills the forked process."""

    def __init__(self, sock: socket.socket, data: Mapping[str, Any], *, ready: bool = False) -> None:
        self._sock: socket.socket | None = sock
        self._ready = ready
        self._code: int | None = None
        self.pid: int = data["pid"]  # pid of the child, which is also its session id and process group id
        self.folder = Path(data["folder"])  # the child's private folder, mode 0700; removed when the child has ended
        self.secret: str = data["secret"]  # a secret of 32 hex digits that only owner, server and child know

    @property
    def closed(self) -> bool:
        """Whether the child was closed; a closed child has ended."""
        return self._sock is None

    def fileno(self) -> int:
        """Return a descriptor that is readable when a message about the child arrives."""
        if self._sock is None:
            raise ValueError("the child is closed")
        return self._sock.fileno()

    def wait_ready(self, timeout: float | None = START_TIMEOUT) -> bool:
        """Wait until the child is set up; return False if the child ended first."""
        deadline = _deadline(timeout)
        while not self._ready and self._code is None:
            if not self._receive(deadline):
                raise ForkServerError(f"a forked process was not ready within {timeout:g} s")
        return self._ready

    async def async_wait_ready(self, timeout: float | None = START_TIMEOUT) -> bool:
        """Wait like `wait_ready`, in an event loop."""
        async with asyncio.timeout(timeout):
            while not self._ready and self._code is None:
                await self._readable()
                self._receive(0.0)
        return self._ready

    def poll(self) -> int | None:
        """Return the exit code, or None while the child is running.

        The code −9 means that signal 9 killed the child, as in `subprocess`.
        """
        while self._code is None and self._receive(0.0):
            pass
        return self._code

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the child's end; return the exit code, or None if the child still runs after `timeout` seconds."""
        deadline = _deadline(timeout)
        while self._code is None and self._receive(deadline):
            pass
        return self._code

    async def async_wait(self) -> int:
        """Wait for the child's end, in an event loop; return its exit code."""
        while (code := self.poll()) is None:
            await self._readable()
        return code

    def signal(self, signum: int) -> None:
        """Send a signal to the child's process group; do nothing if the group has ended."""
        if self._sock is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def kill(self) -> None:
        """Kill every process in the child's process group."""
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill all processes in the child's process group, and release the child."""
        if self._sock is not None:
            self.poll()
            self._set_killed() if self._code is None else None
            self._sock.close()
            self._sock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _receive(self, deadline: float | None) -> bool:
        """Receive one message; return False if no message arrives in time."""
        if self._sock is None:
            return False
        wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        poll = select.poll()  # `poll` and not `select`, because `select` rejects descriptors above 1023
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(wait):
            return False
        frame = framing.receive(self._sock)
        if frame is None:
            self._set_killed()
        elif "exit" in frame.data:
            self._code = frame.data["exit"]
        else:
            self._ready = True
        return True

    def _set_killed(self) -> None:
        # The server has ended, or this process releases the child. In both cases the child itself dies, but processes
        # that it started do not, so the child's group is killed here.
        self.kill()
        self._code = -signal.SIGKILL

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        fd = self.fileno()
        loop.add_reader(fd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(fd)


class ServerHold:
    """Keeps a server and its spare children alive until the hold is closed or its process ends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock

    def set_spares(self, spares: int, target: str, arguments: bytes = b"", *, needed: int | None = None) -> None:
        """Keep this many spare children of `target` from now on.

        `needed` is the number of children that this process will still request. The server forks no more spares than
        that number.
        """
        if self._sock is not None:
            with contextlib.suppress(OSError):  # OSError: the server has ended; the next request starts another server
                wish = {"op": "spares", "target": target, "count": spares, "needed": needed}
                framing.send(self._sock, wish, arguments)

    def close(self) -> None:
        """Release the server; if nothing else uses the server, it ends after its idle time."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A fork server, given by its specification and idle time. The object holds no connection, so it has no `close`."""

    spec: ServerSpec
    idle: float  # seconds after which the server ends if it has no work

    @classmethod
    def connect(cls, spec: ServerSpec, *, resident_for: float | None = None) -> Server:
        """Return the server of a specification. Start the server if necessary, but do not wait for its imports.

        `resident_for` is the time in seconds after which the server ends if it has no holds and no children. None means
        the value of `NBDAG_IDLE`, or 600. With 0, the server ends as soon as no process uses it.
        """
        server = cls(spec, server_registry.idle_time() if resident_for is None else resident_for)
        server._connect().close()
        return server

    def fork(
        self,
        target: str,
        payload: bytes = b"",
        *,
        arguments: bytes = b"",
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        argv: Sequence[str] | None = None,
        stdio: tuple[int, int, int] | None = None,
        timeout: float = START_TIMEOUT,
    ) -> Child:
        """Fork a child without waiting for the end of its setup.

        `cwd`, `env` and `stdio` default to the values of this process. The variables on which imports may depend (see
        `relevant_env`) are part of the specification: to change one of them, use another specification. In all other
        variables, `env` may differ from the environment of the specification.
        """
        request = {
            "op": "fork",
            "target": target,
            "cwd": os.fspath(cwd) if cwd is not None else str(Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "argv": list(argv) if argv is not None else None,
            "umask": server_registry.umask(),
            "arguments": len(arguments),
        }
        for last in (False, True):
            sock = self._connect()
            sock.settimeout(timeout)
            try:
                framing.send(sock, request, arguments + payload, stdio or (0, 1, 2))
                frame = framing.receive(sock)
                ready = frame is not None and "ready" in frame.data
                if ready:  # the report that the child is ready can arrive before the server's reply
                    frame = framing.receive(sock)
            except TimeoutError:
                sock.close()
                raise ForkServerError(f"the server did not answer within {timeout:g} s ({self.log})") from None
            except OSError:  # OSError: the server ended after `connect`
                frame, ready = None, False
            except BaseException:
                sock.close()
                raise
            if frame is not None and "pid" in frame.data:
                sock.settimeout(None)
                return Child(sock, frame.data, ready=ready)
            sock.close()
            if frame is not None:
                raise ForkServerError(frame.data["error"])
            if last:
                raise ForkServerError(f"the server ended during its start ({self.log})")
        raise AssertionError

    def hold(self) -> ServerHold:
        """Return a hold: it keeps the server alive until the hold is closed, and can request spare children."""
        sock = self._connect()
        framing.send(sock, {"op": "hold", "idle": self.idle})
        return ServerHold(sock)

    def status(self, timeout: float = 5.0) -> server_registry.ServerStatus | None:
        """Return the server's status, or None if the server is not running or is still importing."""
        return server_registry.ask(self.spec.key, timeout)

    def stop(self) -> bool:
        """Stop the server and its children; return False if no server was running."""
        return server_registry.stop(self.spec.key)

    @property
    def log(self) -> Path:
        """The file with the output of the server."""
        return server_registry.files(self.spec.key).log

    def _connect(self) -> socket.socket:
        try:
            return server_registry.connect(self.spec, self.idle)
        except server_registry.NoServerError as error:
            raise ForkServerError(str(error)) from error


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
