"""Load the values of one task. If two stored values shared an object, the loaded values share it, too.

Loading a value may define functions and classes of the notebook. In a notebook's kernel, these definitions go into the
notebook's namespace, as in a task's kernel. In any other process, the definitions go into a separate namespace, so that
the names of the caller do not change.
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
        self._values = ValueStore(str(home.values), home.remote_values)
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
