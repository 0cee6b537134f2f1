"""The graphs of pinned notebooks, which never change, so that each layout is computed once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..runs import PinnedNotebook, read_once
from .graph import picture
from .messages import Picture

_KEPT = 64  # number of pictures that are kept; one of 2,000 tasks takes some megabytes
_STEP = 40  # pixels; spaces that differ by less share a picture, so that a small change of a window costs no layout


def pinned_picture(
    found: PinnedNotebook,
    *,
    direction: str,
    collapsed: bool,
    folded: tuple[str, ...],
    space: tuple[float, float] | None,
) -> Picture:
    """Return the graph of a pinned notebook with its layout; for the arguments, see `picture`."""
    if space is not None:
        space = max(space[0] // _STEP, 1.0) * _STEP, max(space[1] // _STEP, 1.0) * _STEP
    return _picture(found.text, found.path, direction, collapsed, folded, space)


@lru_cache(maxsize=_KEPT)
def _picture(
    text: bytes,
    path: Path,
    direction: str,
    collapsed: bool,
    folded: tuple[str, ...],
    space: tuple[float, float] | None,
) -> Picture:
    dag = read_once(text, path.name)
    return picture(dag, direction=direction, collapsed=collapsed, folded=folded, notebook=path, space=space)
