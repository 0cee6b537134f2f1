"""PostgreSQL tells of changes: who writes notifies, who drives listens.

Each `Database` is told apart by a name of its own, so that nobody wakes for what it wrote itself. The listener has a
connection to itself and a thread; when the connection is lost, it is made again, and that counts as a change, since
something may have been missed.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

from sqlalchemy import Connection, Engine, text

CHANNEL = "nbdag"
_RECONNECT_INTERVAL = 1.0  # seconds before a lost connection is tried again
_POLL_INTERVAL = 0.2  # seconds: how long closing may take


class ChangeListener:
    """Hears what others write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = uuid.uuid4().hex
        self._count = 0
        self._listening = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int | None:
        """How many changes of others have been heard of; None while nobody listens."""
        return self._count if self._listening else None

    def notify(self, connection: Connection) -> None:
        """Let others know of this transaction, once it is committed."""
        connection.execute(text("SELECT pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": self._name})

    def listen(self) -> None:
        """Begin to count, in a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nbdag-listen", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(Exception):  # whatever it is, others say it: here it is tried again
                self._listen_once()
            self._listening = False
            self._closing.wait(_RECONNECT_INTERVAL)

    def _listen_once(self) -> None:
        import psycopg

        url = self._engine.url.set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self._count += 1
            self._listening = True
            while not self._closing.is_set():
                notification: Any
                for notification in connection.notifies(timeout=_POLL_INTERVAL):
                    if notification.payload != self._name:
                        self._count += 1
                    if self._closing.is_set():
                        return
