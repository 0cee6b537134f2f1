"""What all tests share: fork servers of their own, in a folder of their own, which end with the tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="session", autouse=True)
def runtime() -> Iterator[Path]:
    """Where the fork servers of this process's tests are met. A socket's path is short, so pytest's folders do not do."""
    with (
        tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("NBDAG_RUNTIME_DIR", folder)
        patch.setenv("NBDAG_IDLE", "30")
        for name in ("NBDAG_HOME", "NBDAG_DB_URL", "NBDAG_DEBUG"):
            patch.delenv(name, raising=False)
        yield Path(folder)
        end_all_of(folder)


def end_all_of(folder: str | os.PathLike[str]) -> None:
    """End the servers that are met in a folder, and all that they forked: their arguments name it."""
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue
