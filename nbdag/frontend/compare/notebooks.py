"""The difference between two notebooks, cell by cell and line by line.

First, cells with the same id are paired. Then cells with equal text are paired. Then, between two neighbouring pairs,
cells with similar text are paired. A pair counts as moved if it breaks the order of most pairs. Only sources are
compared, because outputs and metadata change with each save.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from ...core.model.dag import Dag
from ...runs import PinnedNotebook
from .messages import CellDifference, LineDifference, NotebookDifference, TaskDifference

_SIMILAR = 0.5  # cells with at least this share of equal words count as versions of one cell
_KEPT = 16  # number of differences in the cache
_MOST_PAIRS = 40_000  # if more pairs than this are possible between two paired cells, these pairs are not compared
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookCell:
    """A cell of a notebook file."""

    id: str  # "" in an old format without ids
    type: str  # code, markdown or raw
    source: str


def difference(before: bytes, after: bytes, before_dag: Dag, after_dag: Dag) -> NotebookDifference:
    """Return the difference between two notebooks."""
    old, new = cells_of(before), cells_of(after)
    pairs = paired(old, new)
    return {
        "cells": _cells(old, new, pairs),
        "tasks": _tasks(before_dag, after_dag),
        "same": [each.source for each in old] == [each.source for each in new],
    }


def pinned_difference(before: PinnedNotebook, after: PinnedNotebook) -> NotebookDifference:
    """Return the difference between two pinned notebooks. It is computed once, because pinned notebooks never
    change."""
    return _pinned_difference(replace(before, run=""), replace(after, run=""))


@lru_cache(maxsize=_KEPT)
def _pinned_difference(before: PinnedNotebook, after: PinnedNotebook) -> NotebookDifference:
    return difference(before.text, after.text, before.dag, after.dag)


def cells_of(text: bytes) -> list[NotebookCell]:
    """Return the cells of a notebook file, without the cells that a %%dag cell has built."""
    found = []
    for cell in json.loads(text).get("cells", []):
        if _built(cell):
            continue
        source = cell.get("source", "")
        found.append(
            NotebookCell(
                id=str(cell.get("id", "")),
                type=str(cell.get("cell_type", "code")),
                source=source if isinstance(source, str) else "".join(source),
            )
        )
    return found


def paired(old: Sequence[NotebookCell], new: Sequence[NotebookCell]) -> dict[int, int]:
    """Return the paired cells. Key: index in the old notebook; value: index in the new notebook."""
    pairs: dict[int, int] = {}
    for key in (lambda cell: cell.id, lambda cell: (cell.type, cell.source)):
        rest_old = [n for n in range(len(old)) if n not in pairs]
        taken = set(pairs.values())
        rest_new = [n for n in range(len(new)) if n not in taken]
        pairs |= _equal([(n, key(old[n])) for n in rest_old], [(n, key(new[n])) for n in rest_new])
    kept = _in_order(pairs)
    gaps: dict[int, tuple[list[int], list[int]]] = {}
    borders_old, borders_new = sorted(kept), sorted(kept.values())
    taken = set(pairs.values())
    for n in range(len(old)):
        if n not in pairs:
            gaps.setdefault(bisect_left(borders_old, n), ([], []))[0].append(n)
    for n in range(len(new)):
        if n not in taken:
            gaps.setdefault(bisect_left(borders_new, n), ([], []))[1].append(n)
    for gap_old, gap_new in gaps.values():
        pairs |= _similar(old, new, gap_old, gap_new)
    return pairs


def lines_of(old: str, new: str) -> list[LineDifference]:
    """Return the lines of both texts. The sign of a line says whether the line was removed, added or kept."""
    before, after = old.split("\n"), new.split("\n")
    if before == after:
        return [{"sign": " ", "text": line} for line in before]
    found: list[LineDifference] = []
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            found += [{"sign": " ", "text": line} for line in before[a:b]]
        else:
            found += [{"sign": "-", "text": line} for line in before[a:b]]
            found += [{"sign": "+", "text": line} for line in after[c:d]]
    return found


def _cells(old: Sequence[NotebookCell], new: Sequence[NotebookCell], pairs: dict[int, int]) -> list[CellDifference]:
    """Return all cells in the order of the new notebook. A removed cell stays between its unmoved neighbours."""
    kept = _in_order(pairs)
    back = {there: here for here, there in pairs.items()}
    found: list[CellDifference] = []
    removed = [n for n in range(len(old)) if n not in pairs]
    shown = 0
    borders = sorted(kept)
    ends = [kept[here] for here in borders]
    for n, cell in enumerate(new):
        before = back.get(n)
        following = bisect_left(ends, n)
        bound = borders[following] if following < len(borders) else len(old)
        while shown < len(removed) and removed[shown] < bound:
            found.append(_removed(old, removed[shown]))
            shown += 1
        if before is None:
            lines: list[LineDifference] = [{"sign": "+", "text": line} for line in cell.source.split("\n")]
            found.append({"kind": "added", "type": cell.type, "before": None, "after": n, "lines": lines})
            continue
        same = (old[before].source, old[before].type) == (cell.source, cell.type)
        found.append(
            {
                "kind": "same" if same and before in kept else "moved" if same else "changed",
                "type": cell.type,
                "before": before,
                "after": n,
                "lines": lines_of(old[before].source, cell.source),
            }
        )
    return [*found, *(_removed(old, n) for n in removed[shown:])]


def _removed(old: Sequence[NotebookCell], n: int) -> CellDifference:
    lines: list[LineDifference] = [{"sign": "-", "text": line} for line in old[n].source.split("\n")]
    return {"kind": "removed", "type": old[n].type, "before": n, "after": None, "lines": lines}


def _tasks(before: Dag, after: Dag) -> list[TaskDifference]:
    """Return the tasks that were added, removed, or whose code, options or upstream tasks changed."""
    found: list[TaskDifference] = [
        {"task": task, "kind": "removed", "changed": []} for task in before.tasks if task not in after.tasks
    ]
    for name, task in after.tasks.items():
        old = before.tasks.get(name)
        if old is None:
            found.append({"task": name, "kind": "added", "changed": []})
            continue
        changed = [
            what
            for what, differs in (
                ("code", _body(old.code) != _body(task.code)),
                ("options", old.options != task.options),
                ("upstream", set(before.upstream[name]) != set(after.upstream[name])),
            )
            if differs
        ]
        if changed:
            found.append({"task": name, "kind": "changed", "changed": changed})
    return found


def _body(code: str) -> list[str]:
    """Return the lines of a task's code without the header, which is a comment there."""
    return [line for line in code.split("\n") if not line.startswith("# %%task")]


def _equal(old: Iterable[tuple[int, Any]], new: Iterable[tuple[int, Any]]) -> dict[int, int]:
    """Pair cells with equal keys. A key that is empty, or that a notebook has more than once, is ignored."""
    old, new = list(old), list(new)
    count_old, count_new = Counter(key for _, key in old), Counter(key for _, key in new)
    place = {key: n for n, key in new if count_new[key] == 1}
    return {n: place[key] for n, key in old if key and key in place and count_old[key] == 1}


def _in_order(pairs: dict[int, int]) -> dict[int, int]:
    """Return the largest set of pairs that have the same order in both notebooks."""
    ends: list[int] = []  # ends[k]: the smallest last value of an increasing sequence of length k + 1
    at: list[int] = []  # at[k]: the old cell that is paired with ends[k]
    previous: dict[int, int | None] = {}
    for here in sorted(pairs):
        there = pairs[here]
        k = bisect_left(ends, there)
        previous[here] = at[k - 1] if k else None
        ends[k : k + 1], at[k : k + 1] = [there], [here]
    found: dict[int, int] = {}
    step = at[-1] if at else None
    while step is not None:
        found[step] = pairs[step]
        step = previous[step]
    return found


def _similar(
    old: Sequence[NotebookCell], new: Sequence[NotebookCell], gap_old: Sequence[int], gap_new: Sequence[int]
) -> dict[int, int]:
    """Return pairs of similar cells between two neighbouring pairs. Their order is the same in both notebooks."""
    if len(gap_old) * len(gap_new) > _MOST_PAIRS:
        return {}
    words = {there: Counter(_WORD.findall(new[there].source)) for there in gap_new}
    pairs: dict[int, int] = {}
    free = list(gap_new)
    for here in gap_old:
        mine = Counter(_WORD.findall(old[here].source))
        ratios = [(_share(mine, words[there]), -there) for there in free if new[there].type == old[here].type]
        ratio, best = max(ratios, default=(0.0, 0))
        if ratio >= _SIMILAR:
            pairs[here] = -best
            free = [each for each in free if each > -best]
    return pairs


def _share(one: Counter[str], other: Counter[str]) -> float:
    """Return the share of words that two texts have in common, from 0 to 1."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def _built(cell: Any) -> bool:
    metadata = cell.get("metadata", {})
    nbdag = metadata.get("nbdag", {}) if isinstance(metadata, dict) else {}
    return bool(nbdag.get("built")) if isinstance(nbdag, dict) else False
