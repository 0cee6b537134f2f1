"""Assets: the pieces of data that tasks produce and that schedules wait for."""

from __future__ import annotations

from ... import runs
from ..requests import AssetEventsQuery, AssetName, EmitBody
from ..responses import AssetEventList, AssetList, Emitted, LineageGraph
from .base import ROUTES, Call


@ROUTES.get("assets")
def list_assets(call: Call) -> AssetList:
    """List the assets by name."""
    return {
        "items": [
            {
                "name": each.name,
                "versions": each.versions,
                "latest": None if each.latest is None else each.latest.timestamp(),
                "producers": [{"dag": dag, "task": task} for dag, task in each.producers],
                "consumers": list(each.consumers),
                "readers": [{"dag": dag, "task": task} for dag, task in each.readers],
            }
            for each in runs.list_assets(home=call.home)
        ]
    }


@ROUTES.get("assets/{asset}/events")
def list_asset_events(call: Call, asset: AssetName, query: AssetEventsQuery) -> AssetEventList:
    """List the newest versions of an asset."""
    return {
        "items": [
            {
                "asset": each.asset,
                "at": each.at.timestamp(),
                "extra": dict(each.extra),
                "dag": each.dag,
                "run": each.run,
                "task": each.task,
                "map_index": each.map_index,
                "started": dict(each.started),
            }
            for each in runs.asset_events(asset, limit=query.limit, home=call.home)
        ]
    }


@ROUTES.post("assets/{asset}/events", statuses=(201,))
def emit_asset(call: Call, asset: AssetName, body: EmitBody) -> Emitted:
    """Record a new version of an asset, which starts the pipelines that wait for it."""
    return {"consumers": list(runs.emit_asset(asset, body.extra, home=call.home))}


@ROUTES.get("lineage")
def get_lineage(call: Call) -> LineageGraph:
    """Return the graph of all deployed pipelines and the assets between them."""
    found = runs.lineage(home=call.home)
    return {
        "dags": list(found.dags),
        "assets": list(found.assets),
        "edges": [{"source": source, "target": target} for source, target in found.edges],
    }
