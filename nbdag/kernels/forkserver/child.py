"""What a forked child does before it is somebody: it stops being the server, and becomes what its owner wants.

First, at once: it dies with its server, leads a session of its own, has Python's own signal handlers, and draws
random numbers of its own. Then, when its orders are there: the working directory, environment, arguments, umask
and standard streams of whoever asked for it. A spare makes its target in between, ahead of its orders.
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

from . import framing

_PR_SET_PDEATHSIG = 1

# Descriptors that stand for standard input, output and error; None where one is to stay as it is.
Streams = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the owner asked for."""

    data: Mapping[str, Any]  # cwd, env, argv, umask
    payload: bytes
    fds: tuple[int, ...]  # standard input, output and error, and the connection to the owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """What a target is told of itself, as `arguments` and `payload` are."""

    folder: Path  # private, mode 0700; removed when the process is gone
    secret: str  # 32 hex digits


class Target(Protocol):
    """A class that may be forked. One that is a plain function of the payload may be, too."""

    def __init__(self, arguments: bytes, nest: Nest) -> None:
        """Do what can be done before working directory, environment and payload are known."""

    def streams(self) -> Streams:
        """Where the owner's standard streams go, if it has moved its own out of their places."""

    def settle(self, payload: bytes) -> None:
        """Do the rest; the child is ready after that."""

    def run(self) -> int | None:
        """Live; returns the exit code."""


@dataclass(slots=True, kw_only=True)
class Born:
    """A child, on its way from the server's loop to its own life."""

    target: Callable[..., Any]
    arguments: bytes
    folder: Path
    secret: str
    server: int  # pid
    env_change: Mapping[str, str | None]
    orders: Orders | None  # None for a spare, which gets them from `come`
    come: socket.socket | None
    owner: socket.socket | None  # closed once the orders are carried out

    def live(self) -> int:
        """Live; returns the exit code."""
        self._be_oneself()
        made = None
        if self.orders is None:
            before = dict(os.environ)
            made = self._made()
            self.env_change = {**self.env_change, **changes(before, os.environ)}
        orders = self.orders or self._await_orders()
        self._obey(orders, made.streams() if made is not None else (0, 1, 2))
        if made is None:
            made = self._made()
        if made is not None:
            made.settle(orders.payload)
        with socket.socket(fileno=orders.fds[-1]) as owner:
            if self.owner is not None:
                self.owner.detach()  # the same descriptor
            framing.send(owner, {"ready": True})
        code = made.run() if made is not None else self.target(orders.payload)
        return cast("int", code or 0)

    def _made(self) -> Target | None:
        if not isinstance(self.target, type):
            return None
        return cast("Target", self.target(self.arguments, Nest(folder=self.folder, secret=self.secret)))

    def _be_oneself(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self.server:  # it died before it could be watched
            os._exit(1)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.enable()
        random.seed()
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            numpy_random.seed()
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None:
            processes.current_process().authkey = os.urandom(32)

    def _await_orders(self) -> Orders:
        assert self.come is not None
        frame = framing.receive(self.come)
        if frame is None:
            os._exit(0)  # nobody needs this spare
        self.come.close()
        return Orders(data=frame.data, payload=frame.blob, fds=frame.fds)

    def _obey(self, orders: Orders, streams: Streams) -> None:
        data = orders.data
        os.umask(data["umask"])
        env = {**data["env"], **self.env_change}
        wanted = {name: value for name, value in env.items() if value is not None}
        for name in os.environ.keys() - wanted.keys():
            del os.environ[name]
        for name, value in wanted.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        os.chdir(data["cwd"])
        if data["argv"] is not None:
            sys.argv[:] = data["argv"]
        for fd, place in zip(orders.fds, streams, strict=False):
            if place is not None:
                os.dup2(fd, place, inheritable=place <= 2)
            os.close(fd)
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is not None and Path("matplotlibrc").is_file():
            with contextlib.suppress(Exception):  # matplotlib tells of a bad file itself, when it is used
                matplotlib.rc_file("matplotlibrc")


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """What became of variables; None for those that are gone."""
    return {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
