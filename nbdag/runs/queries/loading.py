"""Load the values of one task. Values that were stored together, or refer to one another, share their objects.

Outside of a notebook, functions and classes of the run live in a namespace of their own: they find the names that they
use there, and the caller's names stay as they are. In a notebook, which has definitions of its own, they live in that
notebook's namespace, as in a task's kernel.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from ...home import Home
from ...values import Namespace, Origins, ValueStore


class ValueLoader:
    """Loads the values of one task of one run."""

    def __init__(self, home: Home, run: str, task: str) -> None:
        self._values = ValueStore(str(home.values))
        self._namespace = None if _in_notebook() else _namespace_of(str(home.root), run, task)
        self._origins = Origins()

    def __call__(self, digest: str, name: str) -> Any:
        """Return one of the values that are stored under a digest."""
        return self._values.load(digest, namespace=self._namespace, origins=self._origins)[name]


@lru_cache(maxsize=64)
def _namespace_of(home: str, run: str, task: str) -> Namespace:
    """Return one namespace for all that is loaded of a task, so that equal definitions are one object."""
    return Namespace()


def _in_notebook() -> bool:
    """Return whether this process is a kernel."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and getattr(get_ipython(), "kernel", None) is not None
