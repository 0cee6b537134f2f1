"""Write files atomically. A file is readable only by its owner, unless the user has chosen the file's name."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

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


def make_private_folder(path: Path) -> None:
    """Create a folder and missing parent folders. Whatever the umask, only the owner can enter the new folders."""
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
