"""What a cell changed in place, though its code does not show it.

Analysis reads code, and code can hide things. So what the task reads is fingerprinted before its cell and compared
after it: inputs, because others are given the value as it was stored; and what setup made, because others make it anew.
A change that the task declares, by its code or by `--change`, is as it should be.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.job import Note
from ..values import Loaded, Pickled, Region, Saved, dump, fingerprint, shared
from .brief import Brief

_FOREVER = (str, bytes, int, float, complex, bool, type(None), type, types.FunctionType, types.ModuleType)


@dataclass(slots=True)
class _Watched:
    """A name, and its value as the cell finds it."""

    name: str
    value: Any
    digest: str | None  # of the stored value it came from; None: setup made it
    print: bytes


@dataclass(slots=True)
class Watch:
    """What is compared."""

    brief: Brief
    regions: Sequence[Region]
    reload: Callable[[str], Mapping[str, Any]]
    watched: Sequence[_Watched]

    @classmethod
    def of(
        cls,
        brief: Brief,
        names: Mapping[str, Any],
        loaded: Mapping[str, Loaded],
        reload: Callable[[str], Mapping[str, Any]],
    ) -> Watch:
        """Remember everything that the task reads and is not known to change."""
        regions = [each.region for each in loaded.values()]
        digests = {
            given.name: given.digests[0] if not given.is_list and len(given.digests) == 1 else ""
            for given in brief.inputs
        }
        watched = []
        expected = _known(brief)
        for name in _looked_at(brief, names):
            if name in expected or isinstance(names[name], _FOREVER):
                continue
            made_by_setup = name not in digests and name not in brief.element
            if made_by_setup and brief.read_elsewhere is not None and name not in brief.read_elsewhere:
                continue  # nobody else reads it, so nobody misses the change
            mark = fingerprint(names[name], regions)
            if mark is not None:
                watched.append(_Watched(name, names[name], None if made_by_setup else digests.get(name, ""), mark))
        return cls(brief, regions, reload, watched)

    def notes(self, names: Mapping[str, Any]) -> Iterator[Note]:
        """What to say, after the cell."""
        for each in self.watched:
            if names.get(each.name) is not each.value:
                continue  # the name stands for something else now, so what it stood for has gone
            if fingerprint(each.value, self.regions) != each.print and self._really(each):
                yield self._note(each)

    def _really(self, each: _Watched) -> bool:
        """Not only laid out anew, or moved in memory."""
        if not each.digest:
            return True
        try:
            before = self.reload(each.digest)[each.name]
        except Exception:
            return True
        return fingerprint(before) != fingerprint(each.value)

    def _note(self, each: _Watched) -> Note:
        task = self.brief.task
        if each.digest is None:
            return Note(
                code="NB402",
                name=each.name,
                message=(
                    f"{each.name}, which setup makes, was changed in place by task {task}, and other tasks make it "
                    f"anew, without that change: make it in a task, or add `--change {each.name}` to `%%task {task}`"
                ),
            )
        return Note(
            code="NB401",
            name=each.name,
            message=(
                f"{each.name} was changed in place by task {task}, which its code does not show, so later tasks do not "
                f"see the change: add `--change {each.name}` to `%%task {task}`"
            ),
        )


def sharing_notes(brief: Brief, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Values that have a part in common with another, of which one is changed later: the other will not show it."""
    outputs = {output.name for output in saved.outputs}
    at_risk = [name for name in brief.changed_later if name in names]
    if not outputs or not at_risk:
        return []
    pickled: dict[str, Pickled] = dict(saved.pickled)
    for name in {*at_risk, *(given.name for given in brief.inputs)} - pickled.keys():
        if name in names and not isinstance(names[name], _FOREVER):
            try:
                pickled[name] = dump({name: names[name]}, keep_memo=True)
            except Exception:
                continue
    together = {frozenset(group) for group in brief.exports}
    notes = []
    for pair in shared(pickled):
        changer = brief.changed_later.get(pair.one) or brief.changed_later.get(pair.other)
        changed, other = (pair.one, pair.other) if pair.one in brief.changed_later else (pair.other, pair.one)
        if changer is None or other not in outputs or brief.changed_later.get(other) == changer:
            continue
        if any({pair.one, pair.other} <= group for group in together):
            continue
        notes.append(
            Note(
                code="NB403",
                name=other,
                message=(
                    f"{other} and {changed} share a {pair.type}, and task {changer} changes {changed} in place: add "
                    f"`--change {other}` to `%%task {changer}`"
                ),
            )
        )
    return notes


def _known(brief: Brief) -> set[str]:
    """Names whose change is declared, by themselves or as part of a group that shares objects."""
    changed = set(brief.changes)
    return changed.union(*(group for group in brief.exports if changed & set(group)))


def _looked_at(brief: Brief, names: Mapping[str, Any]) -> list[str]:
    if brief.opaque:  # what it reads cannot be known, so everything counts
        return [name for name in names if not name.startswith("_")]
    given = [each.name for each in brief.inputs]
    return [name for name in dict.fromkeys((*brief.reads, *given, *brief.element)) if name in names]
