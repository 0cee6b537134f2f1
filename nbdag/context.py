"""`dag_run`: what a task can know of the run that it is part of.

The same names are there in a live notebook, with values that make sense there, so that a cell which says
`dag_run.logical_date` runs in both.
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
    """The run that a task is part of."""

    dag_id: str
    run_id: str
    logical_date: datetime  # the tick that the run is for; of a manual run, when it was asked for. Aware
    data_interval_start: datetime  # the tick before
    data_interval_end: datetime
    task_id: str | None = None
    map_index: int = -1  # from 0 for an instance of a mapped task
    try_number: int = 1  # from 1
    params: Mapping[str, Any] = field(default_factory=dict)  # what the run was given with -p

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """From what a job says; moments are ISO texts or datetimes, and what is not said has a sensible value."""
        known = {name: said[name] for name in cls.__slots__ if said.get(name) is not None}
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
        """What a live notebook's cells see."""
        return cls.of({"dag_id": dag_id, "params": params or {}})
