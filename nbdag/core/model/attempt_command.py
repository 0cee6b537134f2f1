"""The exit codes and the environment variable of `nbdag attempt`, on which programs such as Airflow rely."""

from __future__ import annotations

SKIPPED = 99  # exit code of an attempt whose task is skipped
NOT_YET = 75  # exit code of a sensor whose condition is not true yet
INDEX_VARIABLE = "NBDAG_MAP_INDEX"  # environment variable with the index of a mapped task's instance
