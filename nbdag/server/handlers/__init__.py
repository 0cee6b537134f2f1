"""The resources of the REST API. Each module adds its operations to `base.ROUTES`."""

from __future__ import annotations

from . import (
    assets,
    badge,
    dags,
    deployments,
    files,
    graphs,
    notebooks,
    pipeline_notebook,
    pools,
    results,
    run_actions,
    runs,
    scheduler,
    task_details,
)
from .base import ROUTES

__all__ = [
    "ROUTES",
    "assets",
    "badge",
    "dags",
    "deployments",
    "files",
    "graphs",
    "notebooks",
    "pipeline_notebook",
    "pools",
    "results",
    "run_actions",
    "runs",
    "scheduler",
    "task_details",
]
