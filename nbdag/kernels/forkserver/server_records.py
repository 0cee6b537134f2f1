"""The records that a fork server keeps of its clients and children."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from . import framing


@dataclass(slots=True, eq=False)
class ChildRecord:
    """The server's record of a forked process."""

    pid: int
    pidfd: int
    secret: str
    folder: Path
    owner: socket.socket | None  # the connection to the owner; None for a spare child
    request_connection: socket.socket | None  # the connection over which a spare receives its request
    kind: tuple[str, bytes]  # (target, arguments) of the child
    mark: str = ""  # id of the attempt whose kernel this child is, or "" if the child is not a kernel
    code: int | None = None


@dataclass(slots=True, eq=False)
class ClientRecord:
    """A client whose request has not arrived yet."""

    sock: socket.socket
    receiver: framing.Receiver
    deadline: float  # time at which the client is dropped, on the monotonic clock


@dataclass(slots=True)
class Spares:
    """The spare children of one kind that a client wants."""

    count: int
    needed: int | None  # number of children that the client will still request; None if it is unknown

    @property
    def wanted(self) -> int:
        return self.count if self.needed is None else min(self.count, self.needed)


@dataclass(slots=True, eq=False)
class HoldRecord:
    """A client that keeps the server alive."""

    sock: socket.socket
    spares: dict[tuple[str, bytes], Spares] = field(default_factory=dict)  # key: (target, arguments)
