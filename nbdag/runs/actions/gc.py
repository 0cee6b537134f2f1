"""What may be forgotten: records of old runs, and files that no run needs.

A run is kept until it is older than was asked for, while it goes on, and while a kept run has borrowed its values. A
file is needed by a run that is on record, or by what is deployed. Files that are newer than the oldest attempt under
way, or than an hour, stay: what that attempt stored is not on record yet.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ... import store as stores
from ...home import Home, the_home
from ...values import ValueStore
from ..execution.recovery import bury

if TYPE_CHECKING:
    from ...store.rows import RunRow
    from ...store.store import Store

GRACE = 3600.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was removed, or would be."""

    runs: tuple[str, ...] = ()  # ids of runs whose record goes
    values: int = 0  # files
    notebooks: int = 0  # pinned sources
    folders: int = 0  # of runs: reports, attempts' notebooks and logs
    bytes: int = 0  # of all these files


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a look at the database found."""

    where: str
    revision: str  # of its schema
    faults: tuple[str, ...]
    counts: dict[str, int]  # rows
    missing_values: int  # values that are on record, and whose file is not there
    damaged_values: tuple[str, ...] = ()  # digests of values that differ from what was stored, if these were read


def clean(keep: float, *, dry_run: bool = False, home: Home | None = None) -> Cleaned:
    """Forget runs that ended more than `keep` seconds ago. Their files go with the next `gc`."""
    here = the_home(home)
    if not here.exists:
        return Cleaned()
    store = stores.open(here)
    try:
        return Cleaned(runs=tuple(row.name for row in _forget(store, here, keep, dry_run)))
    finally:
        store.close()


def gc(keep: float | None = None, *, dry_run: bool = False, home: Home | None = None) -> Cleaned:
    """Remove files that no run needs; with `keep`, forget runs that ended more than so many seconds ago first."""
    here = the_home(home)
    if not here.exists:
        return Cleaned()
    store = stores.open(here)
    try:
        gone = [] if keep is None else _forget(store, here, keep, dry_run)
        under_way = store.maintenance.earliest_running()
        values, books, runs = store.maintenance.files_in_use(without={row.id for row in gone})
    finally:
        store.close()
    values = ValueStore(str(here.values)).in_use(values)
    newest = min(time.time(), under_way or time.time()) - GRACE
    found = {
        "values": [path for path in _files(here.values, 2) if path.name.partition(".")[0] not in values],
        "notebooks": [path for path in _files(here.root / "notebooks", 1) if path.stem not in books],
        "folders": [path for path in _folders(here.root / "runs") if (path.parent.name, path.name) not in runs],
    }
    counts, size = {}, 0
    for kind, paths in found.items():
        old = [path for path in paths if _newest(path) < newest]
        counts[kind] = len(old)
        for path in old:
            freed = _size(path)
            if dry_run or _remove(path, newest):
                size += freed
            else:
                counts[kind] -= 1
    return Cleaned(runs=tuple(row.name for row in gone), bytes=size, **counts)


def check(home: Home | None = None, *, read_values: bool = False) -> Health:
    """Look for what is wrong with the database. Changes nothing, except that an old schema is brought up to date.

    With `read_values`, compare every stored value with its digest.
    """
    here = the_home(home)
    store = stores.open(here)
    try:
        on_record, _, _ = store.maintenance.files_in_use()
        value_store = ValueStore(str(here.values))
        values = value_store.in_use(on_record)
        there = {path.name.partition(".")[0] for path in _files(here.values, 2)}
        return Health(
            where=store.where,
            revision=store.maintenance.revision(),
            faults=tuple(store.maintenance.integrity_errors()),
            counts=store.maintenance.counts(),
            missing_values=len(values - there),
            damaged_values=tuple(sorted(value_store.damaged(values & there))) if read_values else (),
        )
    finally:
        store.close()


def _forget(store: Store, home: Home, keep: float, dry_run: bool) -> list[RunRow]:
    now = time.time()
    bury(store, home)
    rows = store.maintenance.ended_before(now - keep)
    if rows and not dry_run:
        forgotten = set(store.maintenance.delete_runs([row.id for row in rows]))
        rows = [row for row in rows if row.id in forgotten]
        store.maintenance.compact()
    return rows


def _files(root: Path, depth: int) -> Iterator[Path]:
    pattern = "/".join(["*"] * depth)
    return (path for path in root.glob(pattern) if path.is_file())


def _folders(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("*/*") if path.is_dir())


def _newest(path: Path) -> float:
    try:
        return max([path.stat().st_mtime, *(each.stat().st_mtime for each in path.rglob("*"))])
    except OSError:
        return time.time()  # somebody is at work there


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else sum(e.stat().st_size for e in path.rglob("*") if e.is_file())
    except OSError:
        return 0


def _remove(path: Path, newest: float) -> bool:
    """Delete a file or folder unless it has been used since `newest`; return whether it was deleted.

    It is renamed first, so that a task that uses it meanwhile either finds it or stores its value again.
    """
    aside = path.with_name(f".{path.name}.gone")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another gc was faster
        return False
    used = _newest(aside) >= newest
    if used and not path.exists():
        aside.rename(path)
    elif aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)
    return not used
