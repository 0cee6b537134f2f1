"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file so that readers find either the old or the new content, never a part. The umask sets its mode."""
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            for part in parts:
                file.write(part)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
