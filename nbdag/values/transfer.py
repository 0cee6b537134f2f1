"""Move values between a folder of this host and the store that all hosts share.

A host keeps the values that its tasks have read or written, so each value moves to a host once. If the folder exceeds
its limit after an attempt, the least recently used values are deleted. Running attempts may exceed the limit by their
own inputs and outputs.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..storage.host_cache import cache_limit
from ..storage.remote import USED, files_at
from .files import LocalFiles, LostValueError, name_of

AT_ONCE = 8  # number of values that move at the same time
FRESH = 1800.0  # age in seconds up to which a file is certainly safe from `nbdag gc`, which keeps files for 1 h
TRIM_SHARE = 50  # after a search for values to delete, the pause is this many times as long as the search
_ABANDONED = 86_400.0  # age in seconds after which a temporary file is deleted
_MARGIN = 0.9  # a folder above the limit is reduced to this part of the limit


@lru_cache(maxsize=16)
def transfer(root: str, origin: str) -> Transfer:
    """Return the `Transfer` between this folder and the store at this URL. A process has only one for each pair."""
    return Transfer(Path(root), origin)


@dataclass(eq=False, slots=True)
class Transfer:
    """Copies values between the folder `root` and the store at the URL `origin`."""

    root: Path
    origin: str
    _stored: dict[str, float] = field(default_factory=dict)  # key: digest; value: when the store certainly had it
    _next_trim: float = 0.0  # time of the next search for values to delete
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def download(self, digests: Iterable[str]) -> None:
        """Copy values, and the values to which they refer, into the folder. Raises `LostValueError`."""
        self._each(self._download, digests)

    def upload(self, digests: Iterable[str]) -> None:
        """Copy values, and the values to which they refer, into the store. `nbdag gc` then keeps them for half an hour.

        Raises `LostValueError` if a value is in neither the folder nor the store.
        """
        self._each(self._upload, digests)
        self.trim()

    def stored(self, digests: Iterable[str]) -> bool:
        """Upload values; return False if a value is in neither the folder nor the store."""
        try:
            self.upload(digests)
        except LostValueError:
            return False
        return True

    def trim(self) -> None:
        """Delete the least recently used values if the folder exceeds its limit.

        A value is deleted only if the store has it.
        """
        began = time.monotonic()
        with self._lock:
            if began < self._next_trim:
                return
            self._next_trim = float("inf")  # no other thread searches or deletes until this one has finished
        pause = 0.0
        try:
            found = sorted(_files(self.root), key=lambda each: each[1].st_mtime)
            size, limit = sum(stat.st_size for _, stat in found), cache_limit(self.root)
            pause = TRIM_SHARE * (time.monotonic() - began)
            if size > limit:
                self._delete(found, size - _MARGIN * limit)
        finally:
            self._next_trim = time.monotonic() + pause

    def _delete(self, found: Iterable[tuple[Path, os.stat_result]], excess: float) -> None:
        """Delete values in the given order until `excess` bytes are free. Keep values that the store lacks."""
        for path, stat in found:
            if excess <= 0:
                return
            if files_at(self.origin).exists(name_of(path.name)):
                with contextlib.suppress(OSError):
                    # Processes that have mapped the file keep its content. Another process may have deleted the file.
                    path.unlink(missing_ok=True)
                    excess -= stat.st_size

    def _each(self, move: Callable[[str], Iterable[str]], digests: Iterable[str]) -> None:
        """Apply `move` to these values and to all values to which they refer."""
        found = set(digests)
        todo = list(found)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="nbdag-values") as pool:
            while todo:
                referred = {each for refers in pool.map(move, todo) for each in refers}
                todo = list(referred - found)
                found |= referred

    def _download(self, digest: str) -> Iterable[str]:
        files = LocalFiles(self.root, self.origin)
        if files.touch_if_stored(digest):  # the time of use determines the order of deletion
            about = files.about(digest)
        else:
            files.download(digest)
            about = files.about(digest)
            with self._lock:
                self._stored[digest] = time.monotonic()
        return _refers(about)

    def _upload(self, digest: str) -> Iterable[str]:
        files, store = LocalFiles(self.root, self.origin), files_at(self.origin)
        with self._lock:
            known = time.monotonic() - self._stored.get(digest, float("-inf")) < FRESH / 2
        if not known:
            name = name_of(digest)
            found = store.stat(name)
            if found is None:
                store.put(self._path(digest), name)
            elif time.time() - found.modified > FRESH / 2:
                store.write(name + USED, b"used")  # records the use without uploading the value again
            with self._lock:
                self._stored[digest] = time.monotonic()
        return _refers(files.about(digest))

    def _path(self, digest: str) -> Path:
        path = self.root / name_of(digest)
        if not path.exists():
            raise LostValueError(digest, self.origin, "is missing")
        return path


def _refers(about: Mapping[str, Any]) -> list[str]:
    return list(about.get("refers", ()))


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the values in a folder; delete old temporary files of interrupted downloads."""
    for path in root.glob("??/*"):
        with contextlib.suppress(OSError):  # another process has deleted the file
            stat = path.stat()
            if not path.name.startswith("."):
                yield path, stat
            elif time.time() - stat.st_mtime > _ABANDONED:
                path.unlink()
