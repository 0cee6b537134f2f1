"""The folders of this host that hold copies of files in the storage."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from ..errors import NbdagError, error
from ..home import Home, absolute
from .owners import record_owner
from .remote import files_at

CACHE = "NBDAG_CACHE"  # environment variable: folder for the copies on a host that executes attempts
CACHE_SIZE = "NBDAG_CACHE_SIZE"  # environment variable: maximum size of the values on a host, such as 20GB
DEFAULT_SIZE = 20 * 10**9  # bytes
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@error
class CacheSizeError(NbdagError):
    """The value of NBDAG_CACHE_SIZE is not a size."""

    exit_code = 2

    text: str
    template = "invalid NBDAG_CACHE_SIZE {text!r}; expected a size such as 500MB or 20GB"


@error
class CacheFolderError(NbdagError):
    """The value of NBDAG_CACHE is a size instead of a folder."""

    exit_code = 2

    text: str
    template = "NBDAG_CACHE={text} is a size, but the variable names a folder; set NBDAG_CACHE_SIZE={text} instead"


def cache_root(url: str) -> Path:
    """Return the folder of this host's copies of a storage, for hosts that may lack the home's folder."""
    return cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16]


def cached_paths(path: Path) -> list[Path]:
    """Return the possible paths of an attempt's notebook on this host: one in the cache of each storage."""
    name = Path(*path.parts[-6:])  # runs/DAG/RUN/tasks/TASK/TRY.ipynb
    return [root / name for root in cache_folder().glob("*")]


def cache_folder() -> Path:
    """Return the folder of this host for files that can be created again: NBDAG_CACHE, or a folder in the user's cache.

    Raises `CacheFolderError`.
    """
    chosen = os.environ.get(CACHE)
    if chosen and (found := _SIZE.fullmatch(chosen)) and found[2] and not Path(chosen).is_dir():
        raise CacheFolderError(chosen)
    return absolute(chosen) if chosen else absolute(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "nbdag"


def cache_limit(folder: Path) -> int:
    """Return the maximum size in bytes of the values in a folder, given by NBDAG_CACHE_SIZE.

    The default is 20 GB, or half of the disk's free space if that is less.
    """
    text = os.environ.get(CACHE_SIZE)
    if text:
        found = _SIZE.fullmatch(text.strip())
        if found is None:
            raise CacheSizeError(text)
        return int(float(found[1]) * _UNITS[found[2].lower()])
    try:
        return min(DEFAULT_SIZE, shutil.disk_usage(folder).free // 2)
    except OSError:
        return DEFAULT_SIZE


def local_copy(home: Home, path: Path) -> Path:
    """Return the path of a file of the home. If only the storage has the file, download the file first.

    Return the path even if neither this host nor the storage has the file. Raises `StorageError`.
    """
    if home.remote is not None and not path.exists():
        with contextlib.suppress(FileNotFoundError):
            files_at(home.remote).get(home.name_of(path), path)
    return path


def upload_copy(home: Home, path: Path) -> None:
    """Copy a file of the home to the home's storage, if it has one. Raises `StorageError`."""
    if home.remote is not None and path.exists():
        record_owner(home)
        files_at(home.remote).put(path, home.name_of(path))
