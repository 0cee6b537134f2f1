"""Load the values of one task. Values that were stored together, or refer to one another, share their objects.

Outside a notebook, functions and classes of the run are defined in a separate namespace, where they find the names that
they use, so the caller's names do not change. In a notebook they are defined in the notebook's namespace, as in a
task's kernel.
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
        """Return a value by the digest of its file and its name in that file."""
        return self._values.load(digest, namespace=self._namespace, origins=self._origins)[name]


@lru_cache(maxsize=64)
def _namespace_of(home: str, run: str, task: str) -> Namespace:
    """Return the namespace for all values of a task, so that equal definitions become one object."""
    return Namespace()


def _in_notebook() -> bool:
    """Return whether this process is a notebook's kernel."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and getattr(get_ipython(), "kernel", None) is not None
