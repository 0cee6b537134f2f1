"""End a forked child without copying the memory that it shares with the server."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys

from .importing import flush


class ExitHook:
    """End a child but do not destroy its objects, because destroying them would copy memory shared with the server."""

    def __init__(self) -> None:
        self.code: int | None = None  # exit code of the child; None in the server
        self.shared: frozenset[str] = frozenset()  # modules that the server has imported

    def run(self) -> None:
        """End the process; registered to run last at exit."""
        if self.code is None:
            return
        for name in sys.modules.keys() - self.shared:
            del sys.modules[name]
        gc.collect()  # run the finalizers of unreferenced objects
        for obj in gc.get_objects():
            # `isinstance` is not used, because it may read an attribute of the object and so trigger a lazy import.
            if issubclass(type(obj), io.IOBase):
                with contextlib.suppress(Exception):
                    obj.flush()
        flush()
        os._exit(self.code)
