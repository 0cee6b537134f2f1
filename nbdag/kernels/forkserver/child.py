"""Set up a freshly forked child: detach it from the server, then apply cwd, environment and streams.

Right after the fork, the child arranges to die with its server, starts its own session, restores Python's signal
handlers, and reseeds the random generators. When its request arrives, the child applies the working directory,
environment, arguments, umask and standard streams of its owner. A spare child, which is forked in advance, creates its
target before the request arrives.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from . import framing, import_watch

_PR_SET_PDEATHSIG = 1

# Descriptors of the child that are replaced by the owner's standard input, output and error; None keeps a stream
# unchanged.
Streams = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest:
    """An owner's request for a child."""

    data: Mapping[str, Any]  # the owner's settings, under the keys cwd, env, argv and umask
    payload: bytes
    fds: tuple[int, ...]  # descriptors of standard input, output and error, and of the connection to the owner


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildContext:
    """Facts about a child that its target needs."""

    folder: Path  # the child's private folder, mode 0700; removed after the process has ended
    secret: str  # a secret of 32 hex digits that owner, server and child share


class Surroundings(Protocol):
    """The objects of a target that modules can see while a server imports them, such as a kernel's shell."""

    def changes(self) -> str:
        """Describe how imports have changed these objects, or stored references to them, since the last call.

        Return "" if imports did neither.
        """


class Target(Protocol):
    """A class whose instance runs in a forked child. A plain function that takes the payload can be a target too.

    A target may have a static method `preloading`: a context manager that is active while the server imports modules,
    and yields the target's `Surroundings`.
    """

    def __init__(self, arguments: bytes, context: ChildContext) -> None:
        """Do the part of the setup that does not need the working directory, the environment or the payload."""

    def streams(self) -> Streams:
        """Return the descriptors that the owner's standard streams replace. They are 0, 1 and 2, or others if the
        target has moved its streams.
        """

    def finish_setup(self, payload: bytes) -> None:
        """Do the rest of the setup; afterwards, the child is ready."""

    def run(self) -> int | None:
        """Run the target to its end; return the exit code."""


@dataclass(slots=True, kw_only=True)
class ForkedChild:
    """A forked child, from the fork to the end of its process."""

    target_factory: Callable[..., Any]
    arguments: bytes
    folder: Path
    secret: str
    server: int  # pid of the server
    env_change: Mapping[str, str | None]
    # The owner's request; None for a spare child, which receives its request later over `connection`.
    request: ForkRequest | None
    connection: socket.socket | None
    owner: socket.socket | None  # the connection to the owner, which is closed once the request is applied

    def run(self) -> int:
        """Set the child up and run its target; return the exit code."""
        self._detach_from_server()
        target = None
        if self.request is None:
            before = dict(os.environ)
            target = self._create_target()
            self.env_change = {**self.env_change, **env_changes(before, os.environ)}
        request = self.request or self._receive_request()
        self._apply(request, target.streams() if target is not None else (0, 1, 2))
        if target is None:
            target = self._create_target()
        if target is not None:
            target.finish_setup(request.payload)
        with socket.socket(fileno=request.fds[-1]) as owner:
            if self.owner is not None:
                self.owner.detach()  # the socket `owner` now closes this descriptor
            framing.send(owner, {"ready": True})
        code = target.run() if target is not None else self.target_factory(request.payload)
        return cast("int", code or 0)

    def _create_target(self) -> Target | None:
        if not isinstance(self.target_factory, type):
            return None
        return cast("Target", self.target_factory(self.arguments, ChildContext(folder=self.folder, secret=self.secret)))

    def _detach_from_server(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.server:  # the server died before the call of `prctl`
            os._exit(1)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        random.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        import_watch.refresh()
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None:
            processes.current_process().authkey = os.urandom(32)

    def _receive_request(self) -> ForkRequest:
        assert self.connection is not None
        frame = framing.receive(self.connection)
        if frame is None:
            os._exit(0)  # the server closed the connection, because it does not need this spare child
        self.connection.close()
        return ForkRequest(data=frame.data, payload=frame.blob, fds=frame.fds)

    def _apply(self, request: ForkRequest, streams: Streams) -> None:
        data = request.data
        os.umask(data["umask"])
        env = {**data["env"], **self.env_change}
        variables = {name: value for name, value in env.items() if value is not None}
        for name in os.environ.keys() - variables.keys():
            del os.environ[name]
        for name, value in variables.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        os.chdir(data["cwd"])
        import_watch.refresh_folder()
        if data["argv"] is not None:
            sys.argv[:] = data["argv"]
        for fd, place in zip(request.fds, streams, strict=False):
            if place is not None:
                os.dup2(fd, place, inheritable=place <= 2)
            os.close(fd)
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is not None and Path("matplotlibrc").is_file():
            # Errors in matplotlibrc are ignored here, because matplotlib reports them when a task uses matplotlib.
            with contextlib.suppress(Exception):
                matplotlib.rc_file("matplotlibrc")


def env_changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that differ, each with its new value, or with None if the variable was removed."""
    return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
