"""Frames between a fork server, its clients and its children, over a Unix stream socket.

A frame is a small JSON object, opaque bytes, and file descriptors. Each frame is one `sendmsg`, so the
frames of a server and a child that share a connection do not interleave. This module does not interpret
frames. Their contents:

    client to server        answer
    op fork                 pid of the child, then the frames of the child itself, then its exit code; or error
    op hold                 none; the server runs for as long as the connection is open
    op spares               none; the request comes over the connection of a hold, with the number of children to fork
                            in advance
    op status               the server's state: its process id, modules, children and memory
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_HEAD = struct.Struct("!II")  # head of a frame: the lengths of the JSON object and of the bytes
_MOST_FDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message."""

    data: Mapping[str, Any]
    blob: bytes = b""
    # Descriptors that are open in this process; the receiver of the frame must close them.
    fds: tuple[int, ...] = field(default=())


def send(sock: socket.socket, data: Mapping[str, Any], blob: bytes = b"", fds: Sequence[int] = ()) -> None:
    """Send one frame. The sent descriptors stay open in this process."""
    text = json.dumps(data, separators=(",", ":")).encode()
    message = _HEAD.pack(len(text), len(blob)) + text + blob
    sent = socket.send_fds(sock, [message], list(fds)) if fds else sock.send(message)
    if sent < len(message):
        sock.sendall(message[sent:])


def receive(sock: socket.socket) -> Frame | None:
    """Receive one frame, or return None if the other side has closed the connection."""
    fds: list[int] = []
    try:
        head = _exactly(sock, _HEAD.size, fds)
        if head is None:
            return None
        length, rest = _HEAD.unpack(head)
        body = _exactly(sock, length + rest, fds)
        if body is None:
            close(fds)
            return None
        return Frame(data=json.loads(body[:length]), blob=body[length:], fds=tuple(fds))
    except (ConnectionError, json.JSONDecodeError):
        close(fds)
        return None
    except BaseException:
        close(fds)
        raise


class Receiver:
    """Receives one frame in pieces without waiting; the socket must be non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._bytes = bytearray()
        self._fds: list[int] = []

    def receive(self) -> Frame | None:
        """Return the frame, or None while it is incomplete; raise ConnectionError if it cannot be completed."""
        while True:
            try:
                part, fds, _, _ = socket.recv_fds(self._sock, self._missing(), _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return None
            self._fds.extend(fds)
            if not part:
                raise ConnectionResetError
            self._bytes += part
            if not self._missing():
                break
        length = _HEAD.unpack(self._bytes[: _HEAD.size])[0]
        body = bytes(self._bytes[_HEAD.size :])
        try:
            data = json.loads(body[:length])
        except ValueError as error:
            raise ConnectionError("not a frame") from error
        fds, self._fds = self._fds, []
        return Frame(data=data, blob=body[length:], fds=tuple(fds))

    def close(self) -> None:
        """Close the descriptors of an incomplete frame."""
        close(self._fds)
        self._fds = []

    def _missing(self) -> int:
        if len(self._bytes) < _HEAD.size:
            return _HEAD.size - len(self._bytes)
        length, rest = _HEAD.unpack(self._bytes[: _HEAD.size])
        return int(_HEAD.size + length + rest - len(self._bytes))


def wait_readable(sock: socket.socket, within: float) -> bool:
    """Return whether a message, or the end of the connection, arrives in at most `within` seconds."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(within * 1000))


def close(fds: Sequence[int]) -> None:
    """Close file descriptors."""
    for fd in fds:
        os.close(fd)


def _exactly(sock: socket.socket, size: int, fds: list[int]) -> bytes | None:
    parts = []
    while size:
        part, received, _, _ = socket.recv_fds(sock, min(size, 1 << 20), _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        fds.extend(received)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
