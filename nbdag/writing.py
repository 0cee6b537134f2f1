"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Readers see the old file or the new one, never a part of it. Its mode is what this person's umask makes of it."""
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
