"""The graphs and cells of pinned notebooks. These notebooks never change, so each process computes a view only once.

The analysis and the layout of a notebook of 2,000 tasks take more than a second; reading a stored view takes a
hundredth of that time. So when a large notebook is deployed, `prepare` stores its views in the home. If a stored view
is missing or unreadable, the view is computed, but not stored. `nbdag gc` deletes the views of notebooks that no run
needs.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import lru_cache

from ..errors import NbdagError
from ..home import Home
from ..runs import MANY_TASKS, PinnedNotebook, pinned_notebook, read_view, store_view
from .graph import picture
from .messages import Picture
from .notebooks.cells import notebook_cells
from .notebooks.messages import NotebookMessage

_KEPT = 64  # number of views that are kept in memory; a view of 2,000 tasks takes some megabytes
# Widths and heights in pixels. The size of a view is rounded down to these values, so only few pictures are computed.
_WIDTHS = (320, 420, 560, 720, 900, 1100, 1350, 1700, 2200)
_HEIGHTS = (240, 320, 420, 560, 720, 900, 1200)
# The graph is stored for these sizes of views, which windows commonly have.
_PAGES = ((1100.0, 560.0), (1350.0, 560.0), (1350.0, 720.0), (1700.0, 900.0))


def pinned_picture(
    found: PinnedNotebook,
    *,
    home: Home,
    direction: str,
    collapsed: bool,
    folded: tuple[str, ...],
    space: tuple[float, float] | None,
) -> Picture:
    """Return the graph of a pinned notebook with its layout; for the arguments, see `picture`."""
    if space is not None:
        space = _rounded(space[0], _WIDTHS), _rounded(space[1], _HEIGHTS)
    return _picture(home, replace(found, run=""), direction, collapsed, folded, space)


def pinned_cells(found: PinnedNotebook, *, home: Home) -> NotebookMessage:
    """Return the cells of a pinned notebook with their roles."""
    return _cells(home, replace(found, run=""))


def prepare(dag: str, *, home: Home) -> None:
    """Store the views of a deployed notebook with many tasks, so that the first visitor does not wait."""
    # The deployment succeeds despite an error here, such as a failure of Graphviz or a full disk.
    with contextlib.suppress(NbdagError, OSError):
        found = replace(pinned_notebook(dag, home=home), run="")
        if len(found.dag.tasks) < MANY_TASKS:
            return
        store_view(home, found.digest, _cells_name(found), _cells(home, found), NotebookMessage)
        first = _stored_picture(home, found, False, None)
        # If the graph has chains, the page requests a picture that has each chain as one box and fits the window.
        fold = bool(first["chains"])
        for space in _PAGES:
            _stored_picture(home, found, fold, space)


def _stored_picture(home: Home, found: PinnedNotebook, fold: bool, space: tuple[float, float] | None) -> Picture:
    made = _picture(home, found, "auto", fold, (), space)
    store_view(home, found.digest, _graph_name(found, "auto", fold, (), space), made, Picture)
    return made


@lru_cache(maxsize=_KEPT)
def _picture(
    home: Home,
    found: PinnedNotebook,
    direction: str,
    collapsed: bool,
    folded: tuple[str, ...],
    space: tuple[float, float] | None,
) -> Picture:
    stored = read_view(home, found.digest, _graph_name(found, direction, collapsed, folded, space), Picture)
    if stored is not None:
        return stored
    return picture(found.dag, direction=direction, collapsed=collapsed, folded=folded, notebook=found.path, space=space)


@lru_cache(maxsize=_KEPT)
def _cells(home: Home, found: PinnedNotebook) -> NotebookMessage:
    stored = read_view(home, found.digest, _cells_name(found), NotebookMessage)
    return notebook_cells(found) if stored is None else stored


def _cells_name(found: PinnedNotebook) -> str:
    return f"{found.path}\ncells"


def _graph_name(
    found: PinnedNotebook,
    direction: str,
    collapsed: bool,
    folded: tuple[str, ...],
    space: tuple[float, float] | None,
) -> str:
    return f"{found.path}\ngraph {direction} {collapsed} {folded} {space}"


def _rounded(size: float, steps: tuple[int, ...]) -> float:
    return float(max((step for step in steps if step <= size), default=max(size, 1.0)))
