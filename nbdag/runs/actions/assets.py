"""Record an event of an asset by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ... import store as stores
from ...core.options.option_types import read_asset
from ...core.schedule.assets import located
from ...errors import NbdagError, error
from ...home import Home, the_home
from ...store.rows import AssetEvent


@error
class AssetNameError(NbdagError):
    """An asset cannot have this name."""

    exit_code = 2

    asset: str
    problem: str
    template = "{asset!r} {problem}"


@error
class AssetExtraError(NbdagError):
    """The facts about a new version of an asset cannot be stored."""

    exit_code = 2

    problem: str
    template = (
        "the facts about the new version cannot be stored as JSON ({problem}); pass numbers, texts, lists and dicts"
    )


def emit_asset(asset: str, extra: Mapping[str, Any] | None = None, *, home: Home | None = None) -> tuple[str, ...]:
    """Record a new version of an asset. Return the pipelines that are scheduled on the asset.

    `extra` are facts about the version, such as {"rows": 10}; a task finds them in `dag_run.asset_events`. The path of
    an asset `file:PATH` is relative to the current folder.
    """
    try:
        name = located(read_asset(asset), str(Path.cwd()))
    except ValueError as invalid:
        raise AssetNameError(asset[:60], str(invalid)) from None
    try:
        facts = json.loads(json.dumps(dict(extra or {}), allow_nan=False))
    except (TypeError, ValueError) as why:
        raise AssetExtraError(str(why)) from None
    store = stores.open(the_home(home))
    try:
        store.assets.add([AssetEvent(asset=name, at=datetime.now(UTC).timestamp(), extra=facts)])
        return next((each.consumers for each in store.assets.all() if each.name == name), ())
    finally:
        store.close()
