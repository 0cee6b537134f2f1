"""The resources of the REST API. Each module adds its operations to `base.ROUTES`."""

from __future__ import annotations

from . import dags, runs, tasks
from .base import ROUTES

__all__ = ["ROUTES", "dags", "runs", "tasks"]
