"""Record facts about the assets that a task produces."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        # The assets of --produces; None in a live notebook, where they are not known.
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


def produced(asset: str, /, **extra: Any) -> None:
    """Record facts about the new version of an asset that this task produces: `produced("s3://lake/orders", rows=10)`.

    The asset must be in the task's `--produces`. Pipelines that are started by the new version find the facts in
    `dag_run.asset_events`, and `nbdag assets events` shows them. In a live notebook, this has no effect.
    """
    the_produced.add(asset, extra)
