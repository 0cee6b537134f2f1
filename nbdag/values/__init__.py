"""The store of values that tasks pass to one another, by digest.

    store = ValueStore(".nbdag/values")
    saved = store.save({"X": X, "y": y})
    store.load(saved.outputs[0].digest)   # {"X": …}

Each name is stored in a file of its own, except that names which share objects are stored together: the names of a
group, and names found to share an object that can be changed. Loaded again, they share these objects as before.
Values are unpickled only from the project's own store.

`pickling` turns objects into bytes, `files` stores the bytes, `fingerprints` detects changes of an object, `sharing`
detects objects that two values share, `summaries` describes a value in one line. `types` is the registry of what these
modules know of single types; packages can extend it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.job import StoredOutput
from ..errors import NbdagError, error
from . import files
from .files import LostValueError, Region, StoreWriteError
from .fingerprints import fingerprint
from .pickling import MissingDefinitionError, Pickled, dump, load, using_namespace
from .sharing import Sharing, find_sharing
from .summaries import summarise, type_name
from .type_rule import TypeRule
from .types import TypeRulesError, is_safe, rule_of

__all__ = [
    "Loaded",
    "LostValueError",
    "MissingDefinitionError",
    "Pickled",
    "Region",
    "Saved",
    "Sharing",
    "StoreWriteError",
    "TypeRule",
    "TypeRulesError",
    "UnreadableValueError",
    "UnstorableError",
    "ValueStore",
    "dump",
    "find_sharing",
    "fingerprint",
    "is_safe",
    "summarise",
    "type_name",
]


@error
class UnstorableError(NbdagError):
    """A value that a later task needs cannot be pickled."""

    name: str
    type: str
    reader: str | None  # the task that needs it, if known
    why: str
    template = (
        "{name!r}, which {needed_by} needs, is a {type} and cannot be stored ({why}): make it in a %%setup cell, or "
        "make and use it within one task"
    )

    @property
    def needed_by(self) -> str:
        """Return the task that needs the value."""
        return f"task {self.reader}" if self.reader else "a later task"


@error
class UnreadableValueError(NbdagError):
    """A stored value cannot be unpickled in this process."""

    digest: str
    why: str
    template = "the stored value {digest:.12}… cannot be loaded here ({why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """The result of storing values."""

    outputs: tuple[StoredOutput, ...]
    sharing: tuple[Sharing, ...] = ()  # between names of different groups
    pickled: Mapping[str, Pickled] = field(default_factory=dict)  # the pickle of each name by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A stored value, loaded."""

    values: dict[str, Any]
    region: Region  # the memory that holds its arrays


@dataclass(frozen=True, slots=True)
class ValueStore:
    """A store of values in a folder, or at an fsspec URL such as that of a bucket."""

    root: str

    def save(
        self,
        values: Mapping[str, object],
        groups: Iterable[Sequence[str]] = (),
        *,
        readers: Mapping[str, str] | None = None,
        namespace: MutableMapping[str, Any] | None = None,
    ) -> Saved:
        """Store values by name.

        `groups` are names to store together. `readers` maps names to the tasks that need them, for error messages.
        `namespace` is the notebook's. Raises `UnstorableError` and `StoreWriteError`.
        """
        with using_namespace(namespace):
            pickled = {name: self._dump(name, value, readers or {}) for name, value in values.items()}
            sharing = find_sharing(pickled)
            links = [*groups, *((pair.one, pair.other) for pair in sharing)]
            outputs: dict[str, StoredOutput] = {}
            for names in _linked_groups(values, links):
                digest = self._write(names, values, pickled)
                for name in names:
                    outputs[name] = StoredOutput(
                        name=name,
                        digest=digest,
                        type=type_name(values[name]),
                        bytes=pickled[name].size,
                        summary=summarise(values[name]),
                    )
        known = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
        return Saved(
            outputs=tuple(outputs[name] for name in values),
            sharing=tuple(pair for pair in sharing if frozenset((pair.one, pair.other)) not in known),
            pickled=pickled,
        )

    def load(self, digest: str, *, namespace: MutableMapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the values stored under a digest, by name. Arrays are not copied, and changes of them stay local."""
        return self.open(digest, namespace=namespace).values

    def open(self, digest: str, *, namespace: MutableMapping[str, Any] | None = None) -> Loaded:
        """Return what `load` returns, with the memory that holds it."""
        content = files.files(self.root).read(digest)
        try:
            with using_namespace(namespace):
                values = load(content.pickle, list(content.buffers))
        except Exception as why:
            raise UnreadableValueError(digest, f"{type(why).__name__}: {why}") from why
        return Loaded(values=values, region=content.region)

    def keep(self, digest: str) -> bool:
        """Return whether a value is still stored; if so, mark it as recently used, so that `nbdag gc` keeps it."""
        return files.files(self.root).keep(digest)

    def _dump(self, name: str, value: object, readers: Mapping[str, str]) -> Pickled:
        try:
            return dump({name: value}, keep_memo=True)
        except Exception as why:
            raise UnstorableError(name, type_name(value), readers.get(name), _reason(why)) from why

    def _write(self, names: Sequence[str], values: Mapping[str, object], pickled: Mapping[str, Pickled]) -> str:
        if len(names) == 1:
            one = pickled[names[0]]
        else:
            # The owner of memory first, so that views of it can be stored as views.
            one = dump({name: values[name] for name in sorted(names, key=lambda name: _is_view(values[name]))})
        return files.files(self.root).write({"names": list(names)}, [one.data, *one.buffers])


def _is_view(value: object) -> bool:
    is_view = rule_of(value).is_view
    return is_view is not None and is_view(value)


def _linked_groups(names: Iterable[str], links: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the names in groups that links connect; names and groups keep their order."""
    members = {name: [name] for name in names}
    for link in links:
        present = [name for name in link if name in members]
        for name in present[1:]:
            one, other = members[present[0]], members[name]
            if one is not other:
                one.extend(other)
                for moved in other:
                    members[moved] = one
    order = {name: n for n, name in enumerate(members)}
    sets = {id(group): tuple(sorted(group, key=order.__getitem__)) for group in members.values()}
    return list(sets.values())


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{text[:200]}…" if len(text) > 200 else text or type(error).__name__
