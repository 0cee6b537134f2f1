"""`dag_run`, the object from which a task's code reads the attributes of the run, and what a task reports about itself.

A live notebook has `dag_run` with default values, so a cell that uses `dag_run.logical_date` also runs there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

from .core.options.option_types import read_asset
from .errors import NbdagError, error

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
    # For a run that new data started: the events of assets, the oldest first. Each has `asset`, `at` (an ISO date),
    # `extra`, and, if a task produced the asset, `dag`, `run`, `task`.
    asset_events: Sequence[Mapping[str, Any]] = ()

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
        known["asset_events"] = tuple(known.get("asset_events", ()))
        return cls(**known)

    @classmethod
    def interactive(cls, dag_id: str, params: Mapping[str, Any] | None = None) -> Self:
        """Create the object for the cells of a live notebook."""
        return cls.of({"dag_id": dag_id, "params": params or {}})


@error
class AssetNotDeclaredError(NbdagError):
    """A task recorded a version of an asset that its header does not declare."""

    asset: str
    template = "the task does not produce {asset!r}; add --produces {asset} to its header"


@error
class AssetDataError(NbdagError):
    """What a task recorded about an asset cannot be stored."""

    asset: str
    problem: str
    template = "what `produced` records about {asset!r} {problem}; pass numbers, texts, lists and dicts"


class Produced:
    """What the task of this process has recorded about the assets that it produces."""

    def __init__(self) -> None:
        self.declared: tuple[str, ...] | None = None  # the assets of --produces; None: not known in a live notebook
        self.extra: dict[str, dict[str, Any]] = {}

    def add(self, asset: str, extra: Mapping[str, Any]) -> None:
        """Record facts about the new version of an asset; later facts replace earlier ones of the same name."""
        if self.declared is not None and asset not in self.declared:
            raise AssetNotDeclaredError(asset)
        try:
            read_asset(asset)
            text = json.dumps(dict(extra), allow_nan=False)
        except (TypeError, ValueError) as why:
            raise AssetDataError(asset, f"cannot be stored as JSON ({why})") from None
        self.extra.setdefault(asset, {}).update(json.loads(text))


the_produced = Produced()


def produced(asset: str, /, **extra: Any) -> None:
    """Record facts about the new version of an asset that this task produces: `produced("s3://lake/orders", rows=10)`.

    The asset must be in the task's `--produces`. A pipeline that the new version starts finds the facts in
    `dag_run.asset_events`, and `nbdag assets events` shows them. In a live notebook, this has no effect.
    """
    the_produced.add(asset, extra)
