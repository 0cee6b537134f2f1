"""Writing of files: atomically, and readable by their owner only unless a user has named the file."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_atomically(path: Path, *parts: bytes | memoryview, private: bool = True) -> None:
    """Write a file so that readers find either the old or the new content, never a part.

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


def make_private_folder(path: Path) -> None:
    """Create a folder and its missing parents, which only their owner can enter, whatever the umask."""
    try:
        path.mkdir(mode=PRIVATE_FOLDER)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_private_folder(path.parent)
        make_private_folder(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(PRIVATE_FOLDER)


def create_private_file(path: Path) -> None:
    """Create an empty file, which only its owner can read, whatever the umask; an existing file stays as it is."""
    try:
        descriptor = _private_opener(str(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.close(descriptor)


def _private_opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, PRIVATE_FILE)
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # a file system without modes
            os.fchmod(descriptor, PRIVATE_FILE)
    return descriptor
