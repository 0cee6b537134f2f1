"""Processes that are born with their imports done.

A *fork server* is a process of this user that has imported what it was asked to, once, and forks a child for each
request: about 10 ms instead of seconds. What it is made of is a `Recipe`; whoever asks for the same recipe, in this
process or another, meets the same server. `Server.connect` returns at once, so that the imports go on while a run
is being planned; a request made meanwhile waits for them.

A child is what `target` names, as `module:name`: a function, called with the payload, or a class (`birth.Target`)
that prepares itself from its `arguments` ahead of time, and then runs. What either returns is the exit code. It is
a session and process group of its own, whose id is its pid, with the working directory, environment, arguments,
umask and standard streams that the request names, and a private folder that goes with it.

Whoever asked for a child owns it: when the owner closes it or dies, even by SIGKILL, the whole group is
killed; when the server dies, so do its children. Until the owner closes it, its pid belongs to no other process.

    with Server.connect(Recipe.of(["pandas"], targets=[TARGET])).fork(TARGET, payload, cwd="…") as child:
        child.wait_ready()
        code = child.wait()

Where a process cannot be forked like this, `ForkServerError` says why; what to do instead is the caller's.
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

from ...errors import NbdagError
from . import framing, server_registry
from .server_spec import Recipe

START_TIMEOUT = 300.0  # seconds that imports, and so a first child, may take


class ForkServerError(NbdagError):
    """A fork server cannot do this here."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"no fork server: {self.why}; ordinary kernels do the same, more slowly"


class Child:
    """A process that was forked for us. Closing it ends it."""

    def __init__(self, sock: socket.socket, data: Mapping[str, Any], *, ready: bool = False) -> None:
        self._sock: socket.socket | None = sock
        self._ready = ready
        self._code: int | None = None
        self.pid: int = data["pid"]  # also the id of its session and process group
        self.folder = Path(data["folder"])  # mode 0700; removed when the child is gone
        self.secret: str = data["secret"]  # 32 hex digits that only owner, server and child know

    @property
    def closed(self) -> bool:
        """Whether it was given up, and so is gone."""
        return self._sock is None

    def fileno(self) -> int:
        """A descriptor that is readable when there is news of the child."""
        if self._sock is None:
            raise ValueError("the child is closed")
        return self._sock.fileno()

    def wait_ready(self, timeout: float | None = START_TIMEOUT) -> bool:
        """Wait until the child has prepared itself; False when it ended before that."""
        deadline = _deadline(timeout)
        while not self._ready and self._code is None:
            if not self._news(deadline):
                raise ForkServerError(f"a forked process was not ready within {timeout:g} s")
        return self._ready

    async def until_ready(self, timeout: float | None = START_TIMEOUT) -> bool:
        """`wait_ready` for an event loop."""
        async with asyncio.timeout(timeout):
            while not self._ready and self._code is None:
                await self._readable()
                self._news(0.0)
        return self._ready

    def poll(self) -> int | None:
        """The exit code, as `subprocess` tells it (−9: killed by signal 9); None while it runs."""
        while self._code is None and self._news(0.0):
            pass
        return self._code

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; None when it still runs after `timeout` seconds."""
        deadline = _deadline(timeout)
        while self._code is None and self._news(deadline):
            pass
        return self._code

    async def until_gone(self) -> int:
        """`wait` for an event loop."""
        while (code := self.poll()) is None:
            await self._readable()
        return code

    def signal(self, signum: int) -> None:
        """Send a signal to its whole process group; nothing happens when that is gone."""
        if self._sock is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def kill(self) -> None:
        """End every process of its group now."""
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Give it up: what still runs of it is killed."""
        if self._sock is not None:
            self.poll()
            self._lost() if self._code is None else None
            self._sock.close()
            self._sock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _news(self, deadline: float | None) -> bool:
        """Take in one message; False when none came in time."""
        if self._sock is None:
            return False
        wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        poll = select.poll()  # select() refuses descriptors above 1023
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(wait):
            return False
        frame = framing.receive(self._sock)
        if frame is None:
            self._lost()
        elif "exit" in frame.data:
            self._code = frame.data["exit"]
        else:
            self._ready = True
        return True

    def _lost(self) -> None:
        # The server is gone, or we let go of the child: it dies by the kernel's hand or the server's. Its
        # own children, which would not, are ended here.
        self.kill()
        self._code = -signal.SIGKILL

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        seen = asyncio.Event()
        fd = self.fileno()
        loop.add_reader(fd, seen.set)
        try:
            await seen.wait()
        finally:
            loop.remove_reader(fd)


class Hold:
    """Keeps a server alive, and spare children ready in it, until it is closed or its process ends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock

    def want(self, spares: int, target: str, arguments: bytes = b"") -> None:
        """From now on, have this many children of `target` prepared ahead."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # the server is gone: the next request starts another
                framing.send(self._sock, {"op": "spares", "target": target, "count": spares}, arguments)

    def close(self) -> None:
        """Let go; the server stays for its idle time."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A fork server: a name and an address. It holds nothing open, so it needs no closing."""

    recipe: Recipe
    idle: float  # seconds that it stays without work

    @classmethod
    def connect(cls, recipe: Recipe, *, resident_for: float | None = None) -> Server:
        """The server for a recipe, started if there is none; does not wait for its imports.

        `resident_for` is how long it stays when nobody holds it and it has no children: `NBDAG_IDLE` or 600
        seconds when None; with 0 it ends with its last owner.
        """
        server = cls(recipe, server_registry.idle_time() if resident_for is None else resident_for)
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
        """Fork a child; it may still be preparing itself when this returns.

        `cwd`, `env`, and `stdio` are this process's where None. `env` differs from the recipe's only in variables
        that imports do not depend on (`Recipe.env` says which do); a caller that changes others asks for
        another recipe.
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
                if ready:  # a child can be quicker than the server that tells of it
                    frame = framing.receive(sock)
            except TimeoutError:
                sock.close()
                raise ForkServerError(f"it gave no sign within {timeout:g} s ({self.log})") from None
            except OSError:  # it ended just as we came
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
                raise ForkServerError(f"it ended while it was starting ({self.log})")
        raise AssertionError

    def hold(self) -> Hold:
        """Keep it alive until the hold is closed, and let it prepare spares."""
        sock = self._connect()
        framing.send(sock, {"op": "hold", "idle": self.idle})
        return Hold(sock)

    def status(self, timeout: float = 5.0) -> server_registry.Status | None:
        """What it says of itself; None when there is none, or when it is still busy with imports."""
        return server_registry.ask(self.recipe.key, timeout)

    def stop(self) -> bool:
        """End it and its children; False when there was none."""
        return server_registry.stop(self.recipe.key)

    @property
    def log(self) -> Path:
        """Where its own words go."""
        return server_registry.files(self.recipe.key).log

    def _connect(self) -> socket.socket:
        try:
            return server_registry.connect(self.recipe, self.idle)
        except server_registry.NoServerError as error:
            raise ForkServerError(str(error)) from error


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
