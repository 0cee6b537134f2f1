"""Frames between a fork server, its clients and its children, over a Unix stream socket.

A frame is a small JSON object, bytes that nobody looks into, and file descriptors. One frame is one `sendmsg`, so
that a server and a child that share a connection do not mix theirs. Nothing here knows what a frame means.
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

_HEAD = struct.Struct("!II")  # lengths of the object and of the bytes
_MOST_FDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message."""

    data: Mapping[str, Any]
    blob: bytes = b""
    fds: tuple[int, ...] = field(default=())  # open in this process now, and the receiver's to close


def send(sock: socket.socket, data: Mapping[str, Any], blob: bytes = b"", fds: Sequence[int] = ()) -> None:
    """Send one frame; the descriptors stay open here."""
    text = json.dumps(data, separators=(",", ":")).encode()
    message = _HEAD.pack(len(text), len(blob)) + text + blob
    sent = socket.send_fds(sock, [message], list(fds)) if fds else sock.send(message)
    if sent < len(message):
        sock.sendall(message[sent:])


def receive(sock: socket.socket) -> Frame | None:
    """Take one frame; None when the other side is gone."""
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


def speaks(sock: socket.socket, within: float) -> bool:
    """Whether the other side says something, or is gone, within so many seconds."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(within * 1000))


def close(fds: Sequence[int]) -> None:
    """Close descriptors."""
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
