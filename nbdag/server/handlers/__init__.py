"""The resources of the REST API. Each module adds its operations to `base.ROUTES`."""

from __future__ import annotations

from . import (
    dags,
<<<<<<< HEAD
    notebooks,
    pipeline_actions,
    pipeline_notebook,
=======
    deployments,
    files,
    notebooks,
>>>>>>> main
    run_actions,
    runs,
    tasks,
)
from .base import ROUTES

__all__ = [
    "ROUTES",
    "dags",
<<<<<<< HEAD
    "notebooks",
    "pipeline_actions",
    "pipeline_notebook",
=======
    "deployments",
    "files",
    "notebooks",
>>>>>>> main
    "run_actions",
    "runs",
    "tasks",
]
