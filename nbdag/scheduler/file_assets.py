"""Watch the files that schedules name as assets: `on file:data/orders.csv`, also with wildcards.

An asset whose name begins with `file:` has a new version when its file has changed since the asset's last event. Paths
are relative to the working directory of the pipeline that needs the asset. Pipelines in several folders that need the
same relative name share its events, so write whole paths there. A changed file counts only when its last
change is two seconds old, so that a file that is still being written starts no run. A file that replaces another one
and keeps an older date of modification, as `cp -p` and `mv` do, is not seen: touch it, or use `nbdag assets emit`.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..store.rows import AssetEvent

if TYPE_CHECKING:
    from ..store.store import Store

FILE_PREFIX = "file:"
POLL_INTERVAL = 5.0  # seconds between two checks of the files
SETTLED = 2.0  # seconds after a file's last change at which the file counts as complete


class WatchedFiles:
    """The files that one scheduler watches."""

    def __init__(self) -> None:
        self._next: datetime | None = None

    def poll(self, store: Store, needed: Mapping[str, Sequence[tuple[str, float]]], now: datetime) -> datetime | None:
        """Record an event for each file that has changed; return when to poll again, or None if no file is watched.

        For `needed`, see `Assets.needed`.
        """
        if self._next is not None and now < self._next <= now + timedelta(seconds=POLL_INTERVAL):
            return self._next
        files = {name: uses for name, uses in needed.items() if name.startswith(FILE_PREFIX)}
        if not files:
            self._next = None
            return None
        known = store.assets.latest(files)
        events = []
        for name, uses in files.items():
            for cwd, since in uses:
                path, changed = newest(name, cwd)
                if path and max(since, known.get(name, 0.0)) < changed <= now.timestamp() - SETTLED:
                    events.append(AssetEvent(asset=name, at=now.timestamp(), extra={"path": path, "changed": changed}))
                    break
        if events:
            store.assets.add_changed(events)
        self._next = now + timedelta(seconds=POLL_INTERVAL)
        return self._next


def newest(asset: str, cwd: str) -> tuple[str, float]:
    """Return the file of an asset that changed last, and the time of its change. Return ("", 0.0) if no file exists."""
    found = max(_changes(str(Path(glob.escape(cwd)) / _path(asset))), default=(0.0, ""))
    return found[1], found[0]


def _path(asset: str) -> str:
    path = asset.removeprefix(FILE_PREFIX)
    return path[2:] if path.startswith("//") else path


def _changes(pattern: str) -> Iterator[tuple[float, str]]:
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207  # `Path.glob` accepts no absolute pattern
        try:
            yield Path(path).stat().st_mtime, path
        except OSError:
            continue
