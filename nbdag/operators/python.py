"""The default: a cell of Python is its own source."""

from __future__ import annotations

from ..core.options import TaskOptions


class Python:
    """Leaves the body as it is."""

    def source(self, body: str, options: TaskOptions) -> str:
        return body
