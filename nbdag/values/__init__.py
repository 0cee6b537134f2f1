"""Values that cross from task to task, by digest.

    store = ValueStore(".nbdag/values")
    saved = store.save({"X": X, "y": y})
    store.load(saved.outputs[0].digest)   # {"X": …}

Each name is stored for itself, unless it shares objects with another: names of one group, and names that are
found to share something that can be changed, are stored together, and are the same objects again when loaded.
Values are unpickled only from the project's own store.

`pickling` says how objects become bytes, `files` where the bytes go, `fingerprints` whether an object has changed,
`sharing` whether two have a part in common, `summaries` how a value looks in one line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.job import StoredOutput
from ..errors import NbdagError
from . import files
from .files import MissingValueError, Region, StoreWriteError
from .fingerprints import fingerprint
from .pickling import MissingDefinitionError, Pickled, dump, load, using_namespace
from .sharing import Sharing, find_sharing
from .summaries import summarise, type_name
from .views import is_view

__all__ = [
    "Loaded",
    "MissingDefinitionError",
    "MissingValueError",
    "Pickled",
    "Region",
    "Saved",
    "Sharing",
    "StoreWriteError",
    "UnreadableValueError",
    "UnstorableError",
    "ValueStore",
    "dump",
    "find_sharing",
    "fingerprint",
    "summarise",
    "type_name",
]


class UnstorableError(NbdagError):
    """A value that a later task needs cannot be pickled."""

    def __init__(self, name: str, type: str, reader: str | None, why: str) -> None:
        super().__init__(name, type, reader, why)
        self.name = name
        self.type = type
        self.reader = reader
        self.why = why

    def __str__(self) -> str:
        needed = f"task {self.reader} needs" if self.reader else "a later task needs"
        return (
            f"{self.name!r}, which {needed}, is a {self.type} and cannot be stored ({self.why}): make it in a %%setup "
            "cell, or make and use it within one task"
        )


class UnreadableValueError(NbdagError):
    """A stored value cannot be made into an object here."""

    def __init__(self, digest: str, why: str) -> None:
        super().__init__(digest, why)
        self.digest = digest
        self.why = why

    def __str__(self) -> str:
        return f"the stored value {self.digest[:12]}… cannot be loaded here ({self.why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What was stored."""

    outputs: tuple[StoredOutput, ...]
    sharing: tuple[Sharing, ...] = ()  # found among names of different groups
    pickled: Mapping[str, Pickled] = field(default_factory=dict)  # what each name was pickled from


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A stored value, as objects."""

    values: dict[str, Any]
    region: Region  # the memory in which its arrays lie


@dataclass(frozen=True, slots=True)
class ValueStore:
    """A folder, or an fsspec URL such as a bucket's."""

    root: str

    def save(
        self,
        values: Mapping[str, object],
        groups: Iterable[Sequence[str]] = (),
        *,
        readers: Mapping[str, str] | None = None,
        namespace: MutableMapping[str, Any] | None = None,
    ) -> Saved:
        """Store values by name. `readers` says, for messages, who needs a name; `namespace` is the notebook's."""
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
        told = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
        return Saved(
            outputs=tuple(outputs[name] for name in values),
            sharing=tuple(pair for pair in sharing if frozenset((pair.one, pair.other)) not in told),
            pickled=pickled,
        )

    def load(self, digest: str, *, namespace: MutableMapping[str, Any] | None = None) -> dict[str, Any]:
        """What is stored under a digest, by name. Arrays are not copied, and changes of them stay here."""
        return self.open(digest, namespace=namespace).values

    def open(self, digest: str, *, namespace: MutableMapping[str, Any] | None = None) -> Loaded:
        """`load`, and the memory that the value lies in."""
        content = files.files(self.root).read(digest)
        try:
            with using_namespace(namespace):
                values = load(content.pickle, list(content.buffers))
        except Exception as error:
            raise UnreadableValueError(digest, f"{type(error).__name__}: {error}") from error
        return Loaded(values=values, region=content.region)

    def keep(self, digest: str) -> bool:
        """Whether a value is stored still; if so, it counts as new to whoever removes old values."""
        return files.files(self.root).keep(digest)

    def _dump(self, name: str, value: object, readers: Mapping[str, str]) -> Pickled:
        try:
            return dump({name: value}, keep_memo=True)
        except Exception as error:
            raise UnstorableError(name, type_name(value), readers.get(name), _reason(error)) from error

    def _write(self, names: Sequence[str], values: Mapping[str, object], pickled: Mapping[str, Pickled]) -> str:
        if len(names) == 1:
            one = pickled[names[0]]
        else:
            # An array before the views of it, so that they can be stored as such.
            one = dump({name: values[name] for name in sorted(names, key=lambda name: is_view(values[name]))})
        return files.files(self.root).write({"names": list(names)}, [one.data, *one.buffers])


def _linked_groups(names: Iterable[str], links: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The names, in sets that are linked to one another; names and sets in their given order."""
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
