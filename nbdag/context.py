"""`dag_run`, the object from which a task's code reads the attributes of the run.

A live notebook has `dag_run` with default values, so a cell that uses `dag_run.logical_date` also runs there.
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
    """The attributes of the run that is executing a task."""

    dag_id: str
    run_id: str
    logical_date: datetime  # tick of a scheduled run; for a manual run, when the run was created. Aware
    data_interval_start: datetime  # the tick before the logical date
    data_interval_end: datetime
    task_id: str | None = None
    map_index: int = -1  # index of a mapped task's instance, from 0; -1 for any other task
    try_number: int = 1  # number of the current try, from 1
    params: Mapping[str, Any] = field(default_factory=dict)  # parameters of the run, as given with -p

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> Self:
        """Create the object from a job's context. Dates may be ISO texts, and missing values get defaults."""
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
        """Create the object for the cells of a live notebook."""
        return cls.of({"dag_id": dag_id, "params": params or {}})


@dataclass(frozen=True, slots=True)
class CurrentAttempt:
    """The attempt that this process, a task's kernel, executes."""

    home: str  # path of the home that holds the run
    run: DagRun


_current: CurrentAttempt | None = None


def current_attempt() -> CurrentAttempt | None:
    """Return the attempt that this process executes; None outside of a task's kernel, as in a live notebook."""
    return _current


def set_current_attempt(attempt: CurrentAttempt | None) -> None:
    """Set the attempt that this process executes."""
    global _current
    _current = attempt
