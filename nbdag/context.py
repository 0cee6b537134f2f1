"""`dag_run`, the object with which a task's code reads the attributes of its run.

A live notebook has the same object with suitable values, so a cell that uses `dag_run.logical_date` runs in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

_MOMENTS = ("logical_date", "data_interval_start", "data_interval_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class DagRun:
    """The run to which a task belongs."""

    dag_id: str
    run_id: str
    logical_date: datetime  # tick of the run; for a manual run, the time of its creation. Aware
    data_interval_start: datetime  # the previous tick
    data_interval_end: datetime
    task_id: str | None = None
    map_index: int = -1  # from 0 for an instance of a mapped task
    try_number: int = 1  # from 1
    params: Mapping[str, Any] = field(default_factory=dict)  # parameters of the run, as given with -p

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Return the object for a job's context; dates may be ISO texts, and missing values get defaults."""
        known = {name: context[name] for name in cls.__slots__ if context.get(name) is not None}
        for name in _MOMENTS:
            if isinstance(known.get(name), str):
                known[name] = datetime.fromisoformat(known[name])
        known.setdefault("dag_id", "notebook")
        known.setdefault("run_id", "interactive")
        moment = known.setdefault("logical_date", datetime.now(UTC))
        known.setdefault("data_interval_start", moment)
        known.setdefault("data_interval_end", moment)
        known["params"] = MappingProxyType(dict(known.get("params", {})))
        return cls(**known)

    @classmethod
    def interactive(cls, dag_id: str, params: Mapping[str, Any] | None = None) -> Self:
        """Return the object that the cells of a live notebook use."""
        return cls.of({"dag_id": dag_id, "params": params or {}})
