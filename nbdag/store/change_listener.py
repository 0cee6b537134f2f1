"""Change notifications through PostgreSQL's LISTEN and NOTIFY: writers notify, schedulers listen.

A notification contains the name of the `Database` object that sent it, so that a process ignores its own notifications.
The listener uses a separate thread and connection. A lost connection is opened again. A new connection counts as a
change, since notifications may have been missed.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

from sqlalchemy import Connection, Engine, text

CHANNEL = "nbdag"
_RECONNECT_INTERVAL = 1.0  # seconds before a lost connection is opened again
_POLL_INTERVAL = 0.2  # seconds between two checks for `close`, which waits at most this long


class ChangeListener:
    """Sends notifications, and counts the notifications of other processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._name = uuid.uuid4().hex
        self._count = 0
        self._listening = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int | None:
        """Return the number of changes by other processes so far, or None while the connection is lost."""
        return self._count if self._listening else None

    def notify(self, connection: Connection) -> None:
        """Notify other processes; the database delivers the notification when this transaction is committed."""
        connection.execute(text("SELECT pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": self._name})

    def listen(self) -> None:
        """Start a thread that counts the changes."""
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
            with contextlib.suppress(
                Exception
            ):  # this thread only reconnects, because other queries report an error of the database
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
