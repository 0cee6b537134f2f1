"""The name of the pytest marker that an item has if it runs a task."""

from __future__ import annotations

MARK = "nbdag_task"
