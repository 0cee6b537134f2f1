"""Queries about assets: the pieces of data that tasks produce and that schedules wait for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...core.options.option_types import nearest
from ...core.schedule.assets import DAG_PREFIX, FILE_PREFIX, label, located, named
from ...errors import NbdagError, error
from ...home import Home, the_home
from ...scheduler import condition_of
from .deployments import open_store_and_dag
from .runs import open_store


@error
class UnknownAssetError(NbdagError):
    """No event, task or schedule names this asset."""

    asset: str
    known: tuple[str, ...]
    template = "unknown asset {text!r}; {hint}"

    @property
    def text(self) -> str:
        return label(self.asset)

    @property
    def hint(self) -> str:
        near = nearest(self.text, [label(each) for each in self.known])
        return f"did you mean {near}?" if near else "`nbdag assets list` shows the assets"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetVersion:
    """An event of an asset: a new version of the data."""

    asset: str
    at: datetime
    extra: Mapping[str, Any]  # facts that the producer recorded about the version
    # The pipeline that produced the version; None if a person recorded the version or a watched file changed.
    dag: str | None
    run: str | None
    task: str | None  # the task that produced the version; None if the whole run produced it
    map_index: int | None
    started: Mapping[str, str]  # the runs that the version started; key: pipeline; value: run id

    def to_dict(self) -> dict[str, Any]:
        """Return the event as `assets events -o json` prints it."""
        return {
            "asset": self.asset,
            "at": self.at.isoformat(),
            "extra": dict(self.extra),
            "dag": self.dag,
            "run": self.run,
            "task": self.task,
            "map_index": self.map_index,
            "started": dict(self.started),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset, with the deployed pipelines that produce and need it."""

    name: str
    versions: int  # number of recorded versions
    latest: datetime | None  # time of the newest version
    producers: tuple[tuple[str, str], ...]  # tasks that produce the asset, each as (pipeline, task)
    consumers: tuple[str, ...]  # pipelines whose schedules need the asset
    readers: tuple[tuple[str, str], ...]  # tasks that read the asset, each as (pipeline, task)

    def to_dict(self) -> dict[str, Any]:
        """Return the asset as `assets list -o json` prints it."""
        return {
            "asset": self.name,
            "versions": self.versions,
            "latest": None if self.latest is None else self.latest.isoformat(),
            "producers": [{"dag": dag, "task": task} for dag, task in self.producers],
            "consumers": list(self.consumers),
            "readers": [{"dag": dag, "task": task} for dag, task in self.readers],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The pipelines and assets of all deployments, and how data flows between them."""

    dags: tuple[str, ...]
    assets: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]  # edges, each as (from, to); a pipeline is `dag:ID`, an asset is its name

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as `assets graph -o json` prints it."""
        edges = [{"from": one, "to": other} for one, other in self.edges]
        return {"dags": list(self.dags), "assets": list(self.assets), "edges": edges}


def list_assets(*, home: Home | None = None) -> list[Asset]:
    """Return all assets that have an event, or that a deployed pipeline produces, needs or reads, sorted by name."""
    with open_store(the_home(home)) as store:
        return [] if store is None else [
            Asset(
                name=each.name,
                versions=each.events,
                latest=None if each.latest is None else datetime.fromtimestamp(each.latest.at, UTC),
                producers=each.producers,
                consumers=each.consumers,
                readers=each.readers,
            )
            for each in store.assets.all()
        ]  # fmt: skip


def asset_events(asset: str | None = None, *, limit: int | None = 20, home: Home | None = None) -> list[AssetVersion]:
    """Return the newest events of an asset, or of all assets. Raise `UnknownAssetError`.

    The path of an asset `file:PATH` is relative to the current folder. `after churn` is accepted for `dag:churn`.
    """
    asset = None if asset is None else located(named(asset), str(Path.cwd()))
    with open_store(the_home(home)) as store:
        found = [] if store is None else store.assets.events(asset, limit)
        if not found and asset is not None:
            known = [] if store is None else [each.name for each in store.assets.all()]
            if asset not in known:
                raise UnknownAssetError(asset, tuple(known))
    return [
        AssetVersion(
            asset=each.asset,
            at=datetime.fromtimestamp(each.at, UTC),
            extra=each.extra,
            dag=each.dag,
            run=each.run,
            task=each.task,
            map_index=each.map_index,
            started=started,
        )
        for each, started in found
    ]


def unknown_sources(dag: str, *, home: Home | None = None) -> tuple[tuple[str, str | None], ...]:
    """Return the assets in a pipeline's schedule that no deployed pipeline produces, each with the most similar name.

    Files are left out, and so are assets with an event: their data does not need to come from a pipeline.
    """
    with open_store_and_dag(home, dag) as (store, row):
        condition = condition_of(row)
        if condition is None:
            return ()
        produced = {each.name for each in store.assets.all() if each.producers or each.events}
        produced |= {f"{DAG_PREFIX}{each.id}" for each in store.deployments.all()}
        names = [each for each in condition.assets if each not in produced and not each.startswith(FILE_PREFIX)]
        known = sorted(label(each) for each in produced - {f"{DAG_PREFIX}{row.id}"})
        return tuple((label(each), nearest(label(each), known)) for each in names)


def waits_for(dag: str, *, home: Home | None = None) -> tuple[str, ...]:
    """Return the assets for which the schedule of a deployed pipeline still needs a new event."""
    with open_store_and_dag(home, dag) as (store, row):
        condition = condition_of(row)
        if condition is None:
            return ()
        new = store.assets.unused(row.id).get(row.id, ())
        return condition.missing({located(each.asset, row.cwd) for each in new})


def lineage(*, home: Home | None = None) -> Lineage:
    """Return the graph of all deployed pipelines and the assets between them."""
    edges, names, dags = [], [], set[str]()
    for each in list_assets(home=home):
        # The asset `dag:ID` represents the runs of a pipeline, so the pipeline's node stands for this asset.
        node = each.name
        if not node.startswith(DAG_PREFIX):
            names.append(node)
        elif not each.consumers and not each.readers:
            continue
        else:
            dags.add(node.removeprefix(DAG_PREFIX))
        edges += [(DAG_PREFIX + dag, node) for dag in dict.fromkeys(dag for dag, _ in each.producers)]
        users = dict.fromkeys((*each.consumers, *(dag for dag, _ in each.readers)))
        edges += [(node, DAG_PREFIX + dag) for dag in users]
        dags.update(users, (dag for dag, _ in each.producers))
    return Lineage(dags=tuple(sorted(dags)), assets=tuple(names), edges=tuple(edges))
