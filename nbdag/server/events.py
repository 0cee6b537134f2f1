"""The stream of changes, as Server-Sent Events: `GET nbdag/api/events`.

Each event is a JSON object: `kind` (run, dag, scheduler, asset) and `dag`, `run`, `state`, `asset` where they apply. It
says what has changed; the page then requests the new state. After an event of kind `all`, the page requests everything
again.

One thread watches the database for all streams of the server, so fifty viewers load the database no more than one
viewer. The thread pauses while no stream is open. A browser that reconnects sends the id of its last event as
`Last-Event-ID` and gets every later event. If the server has restarted since that event, or no longer has all events
after it, the browser gets the event `all`. A new stream begins with the id of the latest event, so that a browser that
reconnects before its first event misses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from ..errors import NbdagError
from ..home import Home
from ..runs import Change, ChangeWatcher
from .handlers.base import RESOURCE, ApiHandler

POLL = 0.2  # seconds between two polls of the database
_SHARE = 5  # each pause between polls lasts at least this many times as long as the poll before it
_KEPT = 5_000  # number of events that are kept for browsers that reconnect
_ALIVE = 15.0  # seconds between two signs of life, which keep proxies from closing the connection
SETTING = "nbdag_events"  # key in the settings of Tornado's application; the value is an `EventHub`


class EventHub:
    """The changes since the server started, and the streams that wait for more.

    All methods except `close` must be called in the server's event loop.
    """

    def __init__(self, home: Callable[[], Home], *, kept: int = _KEPT, poll: float = POLL) -> None:
        self._home = home
        self._poll = poll
        self.epoch = secrets.token_hex(4)  # differs between servers, so that event ids of another server are recognized
        self.count = 0  # number of events so far
        self._events: deque[tuple[int, bytes]] = deque(maxlen=kept)
        self._wakers: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listened = threading.Event()
        self._begun = asyncio.Event()
        self._closed = threading.Event()

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Watch the database, and yield an `asyncio.Event` that is set whenever there is something to send."""
        waker = asyncio.Event()
        self._wakers.add(waker)
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._watch, name="nbdag-events", daemon=True)
            self._thread.start()
        self._listened.set()
        try:
            yield waker
        finally:
            self._wakers.discard(waker)
            if not self._wakers:
                self._listened.clear()

    async def begun(self) -> None:
        """Wait until the thread has read the database once. After that, the thread reports every change."""
        await self._begun.wait()

    def number(self, id: str) -> int | None:
        """Return the number of the event with this id, or None if this server does not have all events after it."""
        epoch, _, text = id.partition("-")
        if epoch != self.epoch or not (text.isascii() and text.isdigit()) or len(text) > 15:
            return None
        number = int(text)
        oldest = self.count - len(self._events)
        return number if oldest <= number <= self.count else None

    def after(self, number: int) -> list[bytes] | None:
        """Return the encoded events after the event with this number, or None if some of them are no longer kept."""
        if number < self.count - len(self._events):
            return None
        return [text for at, text in self._events if at > number]

    def id(self, number: int) -> str:
        """Return the id of an event."""
        return f"{self.epoch}-{number}"

    @property
    def is_closed(self) -> bool:
        """Return whether the server is about to end."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the thread and all streams."""
        self._closed.set()
        self._listened.set()
        for waker in self._wakers:
            waker.set()

    def publish(self, changes: list[Change]) -> None:
        """Send these changes to all streams."""
        for change in changes:
            self.count += 1
            self._events.append((self.count, message(change, self.id(self.count))))
        for waker in self._wakers if changes else ():
            waker.set()

    def _watch(self) -> None:
        watcher: ChangeWatcher | None = None
        root = None
        while self._listened.wait() and not self._closed.is_set():
            began = time.monotonic()
            # If the database is locked, full or replaced, the next poll reports the changes that this poll missed.
            with contextlib.suppress(NbdagError, OSError):
                home = self._home()
                if watcher is None or home != root:
                    if watcher is not None:
                        watcher.close()
                    watcher, root = ChangeWatcher(home), home
                changes = watcher.poll()
                if changes or not self._begun.is_set():
                    self._call(self.publish, changes)
                    self._call(self._begun.set)
            took = time.monotonic() - began
            self._closed.wait(max(self._poll, _SHARE * took))
        if watcher is not None:
            watcher.close()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # RuntimeError: the loop has been closed
            self._loop.call_soon_threadsafe(function, *arguments)


def message(change: Change | None, id: str) -> bytes:
    """Return a change as an event of the stream. For None, the event asks the page to request everything again."""
    fields = {"kind": "all"} if change is None else msgspec.to_builtins(change)
    data = msgspec.json.encode({name: value for name, value in fields.items() if value not in ("", None)})
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id.encode(), fields["kind"].encode(), data)


class EventsHandler(ApiHandler):
    """Answers with a stream that lasts until the browser or the server closes it."""

    @web.authenticated
    @authorized(action="read", resource=RESOURCE)  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Send every change from now on, or all changes since the event `Last-Event-ID`."""
        hub: EventHub = self.settings[SETTING]
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # otherwise nginx delays the events
        with hub.listening() as waker, contextlib.suppress(StreamClosedError):
            await self.flush()
            await hub.begun()
            at = self._beginning(hub)
            await self.flush()
            while not hub.is_closed:
                waker.clear()
                later = hub.after(at)
                if later is None:
                    later = [message(None, hub.id(hub.count))]
                at = hub.count
                if later:
                    self.write(b"".join(later))
                    await self.flush()
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waker.wait(), _ALIVE)
                    continue
                self.write(b":\n\n")
                await self.flush()

    def _beginning(self, hub: EventHub) -> int:
        """Send the first lines of the stream, and return the number of the last event that the browser need not get."""
        last = self.request.headers.get("Last-Event-ID") or self.get_query_argument("last_event_id", "")
        known = hub.number(last) if last else hub.count
        self.write(b"retry: 2000\n")
        if known is not None:
            self.write(b"id: %s\n\n" % hub.id(known).encode())
            return known
        self.write(message(None, hub.id(hub.count)))
        return hub.count
