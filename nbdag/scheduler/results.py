"""Results of attempts on their way from the executor's threads to the scheduler's loop."""

from __future__ import annotations

from collections.abc import Container, Iterable
from queue import Empty, SimpleQueue

from ..core.model.job import Key, Result

_WAKE_UP = None  # an item of the queue that is no result and only ends a `wait`


class Results:
    """The results that the loop has not saved yet.

    `put` and `wake` are safe in a signal handler and in any thread; the loop's thread calls the other methods.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Result | None] = SimpleQueue()
        self.unsaved: list[Result] = []  # in the order of their arrival

    def put(self, result: Result) -> None:
        """Add a result."""
        self._queue.put(result)

    def wake(self) -> None:
        """End a `wait`."""
        self._queue.put(_WAKE_UP)

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a result or for `wake`; return whether one of them came."""
        try:
            first = self._queue.get(timeout=timeout)
        except Empty:
            return False
        if first is not None:
            self.unsaved.append(first)
        return True

    def receive(self) -> None:
        """Move the results that have arrived into `unsaved`."""
        while not self._queue.empty():
            self.wait(0)

    def remove(self, saved: Iterable[Result]) -> None:
        """Remove results that are saved.

        A result must not be used twice: a sensor that polls again at once has already been submitted with the same key.
        """
        used = {id(result) for result in saved}
        self.unsaved = [result for result in self.unsaved if id(result) not in used]

    def keep(self, keys: Container[Key]) -> None:
        """Keep only the results of these attempts."""
        self.unsaved = [result for result in self.unsaved if result.key in keys]
