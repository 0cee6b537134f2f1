"""Watch the files that schedules name as assets: `on file:data/orders.csv`, also with wildcards.

An asset whose name begins with `file:` has a new version when a file has another inode, size or date of modification
than at the last check, or at the asset's last event. So a file that replaces another file is noticed even if its date
is older (`cp -p`, `mv`). The replacement is missed only if no scheduler is running and no event has recorded the
earlier file. A name with wildcards stands for all files that match. A change counts after two seconds without another
change, because a file that is still being written must not start a run.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.schedule.assets import FILE_PREFIX, located
from ..store.rows import AssetEvent

if TYPE_CHECKING:
    from ..store.store import Store

POLL_INTERVAL = 5.0  # seconds between two checks of the files
SETTLED = 2.0  # a file counts as complete this many seconds after its last change


@dataclass(frozen=True, slots=True)
class _File:
    """One state of a file."""

    path: str
    changed: float  # date of modification, in seconds since the epoch
    size: int
    inode: int


class WatchedFiles:
    """The files that one scheduler watches."""

    def __init__(self) -> None:
        self._next: datetime | None = None
        # Key: (asset, working directory, time from which events count); value: the files at the last check, by path.
        self._seen: dict[tuple[str, str, float], dict[str, _File]] = {}

    def poll(self, store: Store, needed: Mapping[str, Sequence[tuple[str, float]]], now: datetime) -> datetime | None:
        """Record an event for each asset whose file has changed.

        Return the time of the next poll, or None if no file is watched. `needed` is the result of `Assets.needed`.
        """
        if self._next is not None and now < self._next <= now + timedelta(seconds=POLL_INTERVAL):
            return self._next
        files = {name: uses for name, uses in needed.items() if name.startswith(FILE_PREFIX)}
        if not files:
            self._next = None
            return None
        latest = store.assets.latest(files)
        current = {(name, *use) for name, uses in files.items() for use in uses}
        self._seen = {key: each for key, each in self._seen.items() if key in current}
        events = []
        for name, uses in files.items():
            for cwd, since in uses:
                changed = self._changed(name, cwd, latest.get(name), since, now.timestamp() - SETTLED)
                if changed is not None:
                    events.append(AssetEvent(asset=name, at=now.timestamp(), extra=asdict(changed)))
                    break
        if events:
            store.assets.add_changed(events)
        self._next = now + timedelta(seconds=POLL_INTERVAL)
        return self._next

    def _changed(self, name: str, cwd: str, latest: AssetEvent | None, since: float, settled: float) -> _File | None:
        """Return the asset's file with the newest change since the last check, or None if no file has changed.

        Changes after the time `settled` are left for a later check. The files are remembered for the next check.
        """
        before = self._seen.get((name, cwd, since))
        known = {} if before is None else before
        at = max(since, 0.0 if latest is None else latest.at)
        found = []
        seen: dict[str, _File] = {}
        for file in _files(str(Path(glob.escape(cwd)) / located(name, cwd).removeprefix(FILE_PREFIX))):
            if file.changed > settled:
                seen |= {file.path: known[file.path]} if file.path in known else {}
                continue
            seen[file.path] = file
            if before is None:
                # The first check of this scheduler: only the last event and the dates show what has changed.
                recorded = None if latest is None or latest.extra.get("path") != file.path else latest.extra
                differs = any((recorded or {}).get(name, value) != value for name, value in asdict(file).items())
                is_new = differs or file.changed > at
            else:
                is_new = file != known.get(file.path)
            if is_new:
                found.append(file)
        self._seen[name, cwd, since] = seen
        return max(found, key=lambda file: file.changed, default=None)


def _files(pattern: str) -> Iterator[_File]:
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207  # `Path.glob` accepts no absolute pattern
        try:
            found = Path(path).stat()
        except OSError:
            continue
        yield _File(path, found.st_mtime, found.st_size, found.st_ino)
