"""Distinguish modules of libraries from the user's own modules."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from pathlib import Path


@functools.cache
def _library_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple({f"{folder}{os.sep}" for folder in (*folders, Path(__file__).parents[1])})


def is_library(path: str) -> bool:
    """Return whether a module's file belongs to a library, or to nbdag."""
    return path.startswith(_library_folders()) or f"{os.sep}site-packages{os.sep}" in path


def is_users_class(cls: type) -> bool:
    """Return whether a class is defined in the notebook or in a module of the user."""
    if cls.__module__ == "__main__":
        return True
    path = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return path is not None and not is_library(path)
