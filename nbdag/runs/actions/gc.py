"""Delete the records of old runs, and the files that no run needs.

The caller chooses how long records are kept after a run has ended. A run is also kept if a kept run uses its values. A
file is kept while a recorded run or a deployment needs it. Files younger than an hour, or newer than the start of the
oldest running attempt, are kept too: a running attempt may have stored a file that is not recorded yet.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import environments
from ...core.model.text import join_names
from ...home import Home, the_home, without_secrets
from ...storage import StoredFile, files_at
from ...storage.folders import KEPT
from ...storage.owners import other_owners
from ...storage.pinned_files import FOLDER
from ...storage.remote import USED
from ..execution.recovery import open_recovered_store
from ..queries.pinned import PinnedNotebookMissingError, pinned_text

if TYPE_CHECKING:
    from ...store.rows import RunRow
    from ...store.store import Store

_PINNED = re.compile(rb'"files":\s*"([0-9a-f]+)"')  # finds the digest of pinned files in a pinned notebook
GRACE = 3600.0  # age in seconds below which a file is never deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The numbers of runs and files that were deleted, or that a dry run would delete."""

    runs: tuple[str, ...] = ()  # ids of the runs whose records were deleted
    oldest: datetime | None = None  # end of the run that ended first
    newest: datetime | None = None  # end of the run that ended last
    values: int = 0  # number of value files
    notebooks: int = 0  # number of pinned notebooks
    files: int = 0  # number of archives of pinned files
    environments: int = 0  # number of environments of --requires, of all projects of the user
    views: int = 0  # number of stored views of pinned notebooks, such as the layout of a graph
    folders: int = 0  # number of run folders, which hold the report and the notebooks and logs of attempts
    bytes: int = 0  # total size of these files
    kept: str = ""  # sentence that says why no file of the storage was deleted; "" if the files were checked


def clean_db(keep: float, *, dry_run: bool = False, home: Home | None = None) -> Cleaned:
    """Delete the records of runs that ended more than `keep` seconds ago. Their files remain until the next `gc`.

    If a run is deleted, asset events older than `keep` seconds are deleted too.
    """
    here = the_home(home)
    with open_recovered_store(here) as store:
        if store is None:
            return Cleaned()
        return Cleaned(**_about(_delete_records(store, keep, dry_run)))


def gc(keep: float | None = None, *, dry_run: bool = False, home: Home | None = None) -> Cleaned:
    """Delete files that no run needs; with `keep`, first delete records as `clean_db` does.

    No value, notebook or run folder is deleted from a storage that has another owner, because the database does not
    know the other owner's runs.
    """
    from ...values import ValueStore  # imported here because it is slow to import and `nbdag.runs` imports this module

    here = the_home(home)
    with open_recovered_store(here) as store:
        if store is None:
            return Cleaned()
        deleted = [] if keep is None else _delete_records(store, keep, dry_run)
        oldest_start = store.maintenance.earliest_running()
        values, notebooks, runs = store.maintenance.files_in_use(without={row.id for row in deleted})
    # The storage has a description of each value; only these descriptions are read.
    values = ValueStore(here.remote_values or str(here.values)).in_use(values)
    newest = min(time.time(), oldest_start or time.time()) - GRACE
    kept = _why_kept(here)
    if kept and here.remote is None:
        return Cleaned(**_about(deleted), kept=kept)
    archives = _pinned_files_in_use(here, notebooks)
    unneeded = {
        "files": [path for path in (here.files / FOLDER).glob("*") if path.name.partition(".")[0] not in archives],
        "values": [path for path in _files(here.values, 2) if path.name.partition(".")[0] not in values],
        "notebooks": [path for path in _files(here.files / "notebooks", 1) if path.stem not in notebooks],
        "views": [path for path in _files(here.files / "views", 1) if path.name.partition(".")[0] not in notebooks],
        "folders": [path for path in _folders(here.files / "runs") if (path.parent.name, path.name) not in runs],
    }
    counts: dict[str, Any] = {}
    size = 0
    for kind, paths in unneeded.items():
        old = [path for path in paths if _last_change(path) < newest]
        counts[kind] = len(old)
        for path in old:
            freed = _size(path)
            if dry_run or _remove(path, newest):
                size += freed
            else:
                counts[kind] -= 1
    if here.remote is not None:
        stored = {} if kept else _unneeded_in_storage(here.remote, values, notebooks, archives, runs, newest)
        # The home has copies of some of these files, which are not counted twice.
        counts = {kind: len({_unit(each.name) for each in found}) for kind, found in stored.items()}
        stored["copies"] = [each for each in files_at(here.remote).files("folders") if each.modified < newest - KEPT]
        size = sum(each.size for found in stored.values() for each in found)
        if not dry_run:
            files_at(here.remote).delete(each.name for found in stored.values() for each in found)
    unused = environments.prune(dry_run=dry_run)
    return Cleaned(**_about(deleted), bytes=size, kept=kept, environments=unused, **counts)


def _why_kept(home: Home) -> str:
    """Return why no file may be deleted from the storage of a home, or "" if all files there belong to the home."""
    others = other_owners(home)
    if not others:
        return ""
    place = without_secrets(home.remote or str(home.files))
    return (
        f"no files were deleted in {place}, because this database does not know the runs of {join_names(others)}; use "
        f"one storage for each project, or delete the marker in {place}/owners of an owner that no longer exists"
    )


def _unneeded_in_storage(
    url: str, values: Set[str], notebooks: Set[str], archives: Set[str], runs: Set[tuple[str, str]], newest: float
) -> dict[str, list[StoredFile]]:
    """Return the files in the storage that are older than `newest` and that no run needs, by the kind of file."""

    def is_needed(name: str) -> bool:
        kind, _, rest = name.partition("/")
        if kind == "values":
            return _unit(rest).rpartition("/")[2] in values
        if kind == FOLDER:
            return rest.removesuffix(".tar") in archives
        if kind == "notebooks":
            return rest.removesuffix(".ipynb") in notebooks
        return tuple(rest.split("/")[:2]) in runs

    found: dict[str, list[StoredFile]] = {}
    for kind, folder in (("values", "values"), ("notebooks", "notebooks"), ("files", FOLDER), ("folders", "runs")):
        files = [each for each in files_at(url).files(folder) if not is_needed(each.name)]
        # A run's folder is kept as a whole, so that its files disappear together.
        fresh = {_unit(each.name) for each in files if each.modified >= newest}
        found[kind] = [each for each in files if _unit(each.name) not in fresh]
    return found


def _unit(name: str) -> str:
    """Return the name of the unit that contains a file; the files of a unit are deleted together.

    All files in a run's folder form a unit, and so do a value and its record of use.
    """
    return "/".join(name.split("/")[:3]).removesuffix(USED)


def _delete_records(store: Store, keep: float, dry_run: bool) -> list[RunRow]:
    rows = store.maintenance.ended_before(time.time() - keep)
    if rows and not dry_run:
        deleted = set(store.maintenance.delete_runs([row.id for row in rows]))
        rows = [row for row in rows if row.id in deleted]
        store.assets.delete_before(time.time() - keep)
        store.maintenance.compact()
    return rows


def _about(rows: Sequence[RunRow]) -> dict[str, Any]:
    ended = [datetime.fromtimestamp(row.ended, UTC) for row in rows if row.ended is not None]
    found = {"runs": tuple(row.name for row in rows)}
    return {**found, "oldest": min(ended), "newest": max(ended)} if ended else found


def _pinned_files_in_use(home: Home, notebooks: Set[str]) -> set[str]:
    """Return the digests of the pinned files that these pinned notebooks use."""
    found: set[str] = set()
    for digest in notebooks:
        # A missing notebook pins no files. Any other error, such as an unreachable storage, prevents all deletion.
        with contextlib.suppress(PinnedNotebookMissingError):
            # The text is searched, because a notebook that a later nbdag cannot read still pins its files.
            found.update(map(bytes.decode, _PINNED.findall(pinned_text(home, digest, digest))))
    return found


def _files(root: Path, depth: int) -> Iterator[Path]:
    pattern = "/".join(["*"] * depth)
    return (path for path in root.glob(pattern) if path.is_file())


def _folders(root: Path) -> Iterator[Path]:
    return (path for path in root.glob("*/*") if path.is_dir())


def _last_change(path: Path) -> float:
    try:
        return max([path.stat().st_mtime, *(each.stat().st_mtime for each in path.rglob("*"))])
    except OSError:
        return time.time()  # count the folder as new, because another process is changing it


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else sum(e.stat().st_size for e in path.rglob("*") if e.is_file())
    except OSError:
        return 0


def _remove(path: Path, newest: float) -> bool:
    """Delete a file or folder, unless it was used after `newest`; return whether it was deleted.

    The file is renamed first. A task that needs the value meanwhile finds either the whole file or no file; without a
    file, the task stores the value again.
    """
    aside = path.with_name(f".{path.name}.gone")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another gc process has deleted the file
        return False
    used = _last_change(aside) >= newest
    if used and not path.exists():
        aside.rename(path)
    elif aside.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)
    return not used
