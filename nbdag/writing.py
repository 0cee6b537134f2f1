"""Write files atomically, and data as JSON.

A file is readable only by its owner, unless the user has chosen the file's name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_atomically(path: Path, *parts: bytes | memoryview, private: bool = True) -> None:
    """Write a file so that readers find either the complete old or the complete new content.

    Only the owner can read a private file, whatever the umask; the mode of another file follows the umask.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(draft, "xb", opener=_private_opener if private else None) as file:
            for part in parts:
                file.write(part)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def to_json(data: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """Return data as JSON that every program can read: NaN and infinities, which JSON lacks, become null."""
    try:
        return json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False, default=default)
    except ValueError:  # ValueError: the data contains NaN or an infinity
        return json.dumps(_with_null(data), indent=indent, ensure_ascii=False, default=default)


def is_json(data: Any) -> bool:
    """Return whether data has only texts, finite numbers and other values of JSON."""
    try:
        json.dumps(data, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _with_null(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _with_null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_null(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def make_private_folder(path: Path) -> None:
    """Create a folder and missing parent folders. Whatever the umask, only the owner can enter the new folders."""
    try:
        _make_private_folder(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_folder(path.parent)
        _make_private_folder(path)  # fails again in a file system such as /proc, which has no place for new folders


def _make_private_folder(path: Path) -> None:
    try:
        path.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(PRIVATE_FOLDER)


def create_private_file(path: Path) -> None:
    """Create an empty file that only its owner can read, whatever the umask. An existing file is not changed."""
    try:
        descriptor = _private_opener(str(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.close(descriptor)


def _private_opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, PRIVATE_FILE)
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # errors are ignored: the file system has no modes
            os.fchmod(descriptor, PRIVATE_FILE)
    return descriptor


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait until no other thread or process holds the lock of this file, then hold the lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
