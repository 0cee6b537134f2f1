"""The name of the marker of items that run tasks."""

from __future__ import annotations

MARK = "nbdag_task"
