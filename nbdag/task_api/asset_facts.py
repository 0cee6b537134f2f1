"""Record facts about the assets that a task produces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from ..core.options.option_types import read_asset
from ..errors import NbdagError, error


@error
class AssetNotDeclaredError(NbdagError):
    """A task recorded a version of an asset that its header does not declare."""

    asset: str
    template = "the task does not produce {asset!r}; add --produces {asset} to its header"


@error
class AssetDataError(NbdagError):
    """The facts that a task recorded about an asset cannot be stored."""

    asset: str
    problem: str
    template = "a fact that `produced` records about {asset!r} {problem}; pass numbers, texts, lists and dicts"


class Produced:
    """The facts that the task of this process has recorded about the assets that it produces."""

    def __init__(self) -> None:
        # The assets of --produces; None in a live notebook, where these assets are unknown.
        self.declared: tuple[str, ...] | None = None
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


# -- Airflow's interface for facts about assets ------------------------------------------------------------------------


def _name_of(asset: Any) -> str:
    return str(getattr(asset, "uri", asset))


class _Facts(dict[str, Any]):
    """The facts about the new version of one asset; an assignment records a fact."""

    def __init__(self, asset: str) -> None:
        super().__init__(the_produced.extra.get(asset, {}))
        self._asset = asset

    def __setitem__(self, name: str, value: Any) -> None:
        the_produced.add(self._asset, {name: value})
        super().__setitem__(name, value)

    def update(self, *given: Any, **named: Any) -> None:
        for name, value in dict(*given, **named).items():
            self[name] = value


class OutletEvent:
    """The new version of one asset, with the interface of Airflow's `outlet_events[asset]`."""

    def __init__(self, asset: str) -> None:
        self._asset = asset

    @property
    def extra(self) -> dict[str, Any]:
        """The facts about the version."""
        return _Facts(self._asset)

    @extra.setter
    def extra(self, facts: Mapping[str, Any]) -> None:
        the_produced.add(self._asset, facts)


class OutletEvents:
    """`outlet_events[asset].extra = {"rows": 10}` records facts, as `produced(asset, rows=10)` does."""

    def __getitem__(self, asset: Any) -> OutletEvent:
        return OutletEvent(_name_of(asset))


class TriggeringEvents(Mapping[str, Any]):
    """The events that started the run. Key: name of an asset; value: the asset's events, the oldest first."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._events: dict[str, list[SimpleNamespace]] = {}
        for each in events:
            self._events.setdefault(str(each["asset"]), []).append(_event(each))

    def __getitem__(self, asset: Any) -> list[SimpleNamespace]:
        return self._events[_name_of(asset)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)


class InletEvents:
    """`inlet_events[asset]` is the list of all events of an asset, the oldest first."""

    def __getitem__(self, asset: Any) -> list[SimpleNamespace]:
        runs = import_module("nbdag.runs")  # a kernel that asks for no events does not import the database
        found = runs.events_for_task(_name_of(asset))
        return [_event({name: getattr(each, name) for name in _FIELDS}) for each in found]


def _event(event: Mapping[str, Any]) -> SimpleNamespace:
    """Return an event with Airflow's names."""
    source = {f"source_{name}": event.get(key) for name, key in _SOURCES.items()}
    of_run = SimpleNamespace(dag_id=event.get("dag"), run_id=event.get("run"))
    more = {"uri": event["asset"], "timestamp": event.get("at"), "extra": dict(event.get("extra") or {})}
    return SimpleNamespace(**more, **source, source_dag_run=of_run)


_FIELDS = ("asset", "at", "extra", "dag", "run", "task", "map_index")
_SOURCES = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": "map_index"}


def produced(asset: str, /, **extra: Any) -> None:
    """Record facts about the new version of an asset that this task produces: `produced("s3://lake/orders", rows=10)`.

    The asset must be in the task's `--produces`. Pipelines that are started by the new version find the facts in
    `dag_run.asset_events`, and `nbdag assets events` shows them. In a live notebook, this has no effect.
    """
    the_produced.add(asset, extra)
