"""Mask secrets in everything that a kernel sends: streams, displays, results, errors, replies, widget messages.

All messages pass through the method `send` of the kernel's session, in headless runs and in live notebooks, so they are
masked there. This includes the output of subprocesses, because ipykernel reads the standard streams of the process.
While no secret is known, masking costs nothing.

A value may be printed in pieces. So if the end of a stream's text could be the beginning of a secret, this end is held
back until more text follows, or until the kernel sends another message for the same cell. At the end of the cell, all
text that is held back is sent. In a process that the kernel has forked, and in a thread that prints after the end of
its cell, nothing is held back.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .masker import known
from .sources import LOOKUPS, hide_looked_up

_BINARY = ("image/", "audio/", "video/", "application/pdf", "application/octet-stream")
_TEXT = "image/svg+xml"
# Messages that are not masked here: they contain digests and ids, and their texts are masked where they are created.
_OWN = ("application/vnd.nbdag.report+json", "application/vnd.jupyter.widget-view+json")
_WITHOUT_TEXT = frozenset(
    {"status", "kernel_info_reply", "shutdown_reply", "connect_reply", "is_complete_reply", "clear_output"}
)
_DISPLAYS = frozenset({"display_data", "update_display_data", "execute_result"})
_ATTRIBUTE = "_nbdag_output_mask"


def protect_kernel() -> None:
    """Mask secrets in all outputs, if this process is a kernel."""
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find_shell() if find_shell is not None else None
    session = getattr(getattr(shell, "kernel", None), "session", None)
    if session is not None and getattr(session, _ATTRIBUTE, None) is None:
        setattr(session, _ATTRIBUTE, _OutputMask(session))


class _OutputMask:
    """Replaces the method `send` of a session."""

    def __init__(self, session: Any) -> None:
        self._send = session.send
        self._pid = os.getpid()
        # Key: (cell, stream); value: (text that is held back, arguments for sending it).
        self._held: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
        self._ended: deque[str] = deque(maxlen=32)  # ids of execution requests whose cells have ended
        self._lock = threading.RLock()
        self._lookups = _Lookups(Path(os.environ[LOOKUPS])) if os.environ.get(LOOKUPS) else None
        session.send = self.send
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def send(
        self, stream: Any, msg_or_type: Any, content: Any = None, parent: Any = None, ident: Any = None, *args: Any,
        **more: Any,
    ) -> Any:  # fmt: skip
        """Send a message with secrets masked."""
        if self._lookups is not None and self._lookups.changed():
            hide_looked_up(self._lookups.path)
        if not known:
            return self._send(stream, msg_or_type, content, parent, ident, *args, **more)
        is_message = isinstance(msg_or_type, Mapping)
        kind = msg_or_type["header"]["msg_type"] if is_message else msg_or_type
        content = msg_or_type["content"] if is_message else content
        request = msg_or_type.get("parent_header") if is_message else parent
        cell = _id_of(request)
        if kind == "stream":
            content = self._released(cell, content, {"stream": stream, "parent": request, "ident": ident})
            if not content["text"]:
                return None
        else:
            for held in self._taken(cell, is_end=kind == "status" and content.get("execution_state") == "idle"):
                self._send(msg_or_type="stream", **held)
            content = _masked_content(kind, content)
        if is_message:
            return self._send(stream, {**msg_or_type, "content": content}, None, parent, ident, *args, **more)
        return self._send(stream, msg_or_type, content, parent, ident, *args, **more)

    # Nothing is sent while the lock is held: sending can wait for the publishing thread, which may wait for the lock.

    def _released(self, cell: str, content: Mapping[str, Any], how: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a stream's message with the part of its text that can be sent now."""
        key = cell, str(content.get("name"))
        with self._lock:
            text = self._held.pop(key, ("", how))[0] + content["text"]
            if os.getpid() != self._pid or cell in self._ended:
                return {**content, "text": known.mask(text)}
            text, rest = known.masked_part(text)
            if rest:
                self._held[key] = rest, how
            return {**content, "text": text}

    def _taken(self, cell: str, *, is_end: bool) -> list[dict[str, Any]]:
        """Remove the texts of a cell that are held back, and return them as arguments for sending."""
        with self._lock:
            if is_end:
                self._ended.append(cell)
            taken = [(key[1], *self._held.pop(key)) for key in list(self._held) if key[0] == cell]
        return [{"content": {"name": name, "text": known.mask(text)}, **how} for name, text, how in taken]

    def _after_fork(self) -> None:
        # A new lock, because a thread of the parent process may have held the old lock during the fork.
        self._lock = threading.RLock()
        self._held = {}


class _Lookups:
    """The file with the names of secrets that other processes of the task have looked up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0

    def changed(self) -> bool:
        """Return whether the file has grown since the last call."""
        try:
            size = os.stat(self.path).st_size  # noqa: PTH116  # a Path's method takes twice as long
        except OSError:
            return False
        before, self._size = self._size, size
        return size > before


def _id_of(parent: Any) -> str:
    header = parent.get("header", parent) if isinstance(parent, Mapping) else {}
    return str(header.get("msg_id", "")) if isinstance(header, Mapping) else ""


def _masked_content(kind: str, content: Any) -> Any:
    if kind in _WITHOUT_TEXT or not isinstance(content, Mapping):
        return content
    if kind in _DISPLAYS:
        data = {name: each if _is_skipped(name) else known.masked(each) for name, each in content["data"].items()}
        return {**content, "data": data, "metadata": known.masked(content.get("metadata", {}))}
    if kind.startswith("comm_"):
        return {**content, "data": known.masked(content.get("data", {}))}
    return known.masked(content)


def _is_skipped(mime: str) -> bool:
    return mime in _OWN or (mime.startswith(_BINARY) and not mime.startswith(_TEXT))
