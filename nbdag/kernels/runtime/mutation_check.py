"""What a cell changed in place, though its code does not show it.

Analysis reads code, and code can hide things. So what the task reads is fingerprinted before its cell and compared
after it: inputs, because others are given the value as it was stored; and what setup and definitions made, because
others make it anew. The object counts, whatever its name stands for after the cell, as long as others have it by that
name or another. A change that the task declares, by its code or by `--change`, is as it should be.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.model.job import Note
from ...core.model.text import join_names
from ...values import Loaded, Pickled, Region, Saved, dump, fingerprint, shared
from ...values.pickling import is_definition
from .messages import Brief

_FOREVER = (str, bytes, int, float, complex, bool, type(None), types.ModuleType)
_DEFINED = (type, types.FunctionType)


@dataclass(slots=True)
class _Watched:
    """A name, and its value as the cell finds it."""

    name: str
    value: Any
    digest: str | None  # of the stored value it came from; None: setup or a definition made it
    print: bytes
    held: Sequence[str]  # the names by which others have it


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
            value = names[name]
            if name in expected or _stays(value, names):
                continue
            held = (name,) if brief.held is None else brief.held.get(name, ())
            if held and (mark := fingerprint(value, regions)) is not None:
                digest = digests.get(name, "" if name in brief.element else None)
                watched.append(_Watched(name, value, digest, mark, held))
        return cls(brief, regions, reload, watched)

    def notes(self, names: Mapping[str, Any]) -> Iterator[Note]:
        """What to say, after the cell."""
        for each in self.watched:
            # Who reads a name that stands for something else now is given that.
            same = names.get(each.name) is each.value
            held = [name for name in each.held if same or name != each.name]
            if held and fingerprint(each.value, self.regions) != each.print and self._really(each):
                yield self._note(each, held)

    def _really(self, each: _Watched) -> bool:
        """Not only laid out anew, or moved in memory."""
        if not each.digest or isinstance(each.value, _DEFINED):  # the same one would be found by its name
            return True
        try:
            before = self.reload(each.digest)[each.name]
        except Exception:
            return True
        return fingerprint(before) != fingerprint(each.value)

    def _note(self, each: _Watched, held: Sequence[str]) -> Note:
        name, task = each.name, self.brief.task
        under = "" if name in held else f", which have it as {join_names(held)},"
        remedy = f"add `--change {name}` to `%%task {task}`"
        if each.digest is not None:
            code = "NB401"
            said = f"which its code does not show, so later tasks{under} do not see the change: {remedy}"
        elif isinstance(each.value, _DEFINED):
            code = "NB402"
            said = f"and other tasks{under} define it anew, without that change: {remedy}"
        else:
            code = "NB402"
            said = f"and other tasks{under} make it anew, as setup does, without it: make it in a task, or {remedy}"
        return Note(code=code, name=name, message=f"{name} was changed in place by task {task}, {said}")


def sharing_notes(brief: Brief, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Values that have a part in common with another, of which one is changed later: the other will not show it."""
    outputs = {output.name for output in saved.outputs}
    at_risk = [name for name in brief.changed_later if name in names]
    if not outputs or not at_risk:
        return []
    pickled: dict[str, Pickled] = dict(saved.pickled)
    for name in {*at_risk, *(given.name for given in brief.inputs)} - pickled.keys():
        if name in names and not isinstance(names[name], (*_FOREVER, *_DEFINED)):
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


def _stays(value: object, names: Mapping[str, Any]) -> bool:
    """Whether it cannot change, or is a module's, where every kernel has its own."""
    return isinstance(value, _FOREVER) or (isinstance(value, _DEFINED) and not is_definition(value, names))


def _known(brief: Brief) -> set[str]:
    """Names whose change is declared, by themselves or as part of a group that shares objects."""
    changed = set(brief.changes)
    return changed.union(*(group for group in brief.exports if changed & set(group)))


def _looked_at(brief: Brief, names: Mapping[str, Any]) -> list[str]:
    if brief.opaque:  # what it reads cannot be known, so everything counts
        return [name for name in names if not name.startswith("_")]
    given = [each.name for each in brief.inputs]
    return [name for name in dict.fromkeys((*brief.reads, *given, *brief.element)) if name in names]
