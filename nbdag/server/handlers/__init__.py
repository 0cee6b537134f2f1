"""The resources of the REST API. Each module adds its operations to `base.ROUTES`."""

from __future__ import annotations

from . import (
    dags,
    deployments,
    files,
    notebooks,
    pipeline_notebook,
    run_actions,
    runs,
    tasks,
)
from .base import ROUTES

__all__ = [
    "ROUTES",
    "dags",
    "deployments",
    "files",
    "notebooks",
    "pipeline_notebook",
    "run_actions",
    "runs",
    "tasks",
]
