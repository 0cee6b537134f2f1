"""The resources of the REST API. Each module adds its operations to `base.ROUTES`."""

from __future__ import annotations

from . import (
    dags,
    notebooks,
    pipeline_actions,
    pipeline_notebook,
    run_actions,
    runs,
    tasks,
)
from .base import ROUTES

__all__ = [
    "ROUTES",
    "dags",
    "notebooks",
    "pipeline_actions",
    "pipeline_notebook",
    "run_actions",
    "runs",
    "tasks",
]
