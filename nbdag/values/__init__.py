"""The store of values that tasks pass to one another, by digest.

    store = ValueStore(".nbdag/values")
    saved = store.save({"X": X, "y": y})
    store.load(saved.outputs[0].digest)   # {"X": …}

Each name is stored in a file of its own, with two exceptions: the names of a group share a file, and so do names that
share a changeable object, so that they share it again after loading. Only values from the project's own store are
unpickled.

A stored value does not copy objects that belong to another stored value or to setup. It refers to these objects, so
that each remains one object after loading. `Origins` records where a process's objects come from. A value
that would differ in another task is rejected when it is stored.

`references` finds the objects to refer to, `trial` rejects values that no other task could use, `pickling` turns
objects into bytes, `files` stores the bytes, `fingerprints` detects changes of an object, `sharing` detects objects
that two values share, and `summaries` describes a value in one line. `types` is the registry of rules for types;
packages can extend it.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.job import StoredOutput
from ..errors import NbdagError, error
from . import files
from .files import LostValueError, Region, StoreWriteError
from .fingerprints import fingerprint, is_same, small_fingerprint
from .pickling import MissingDefinitionError, Namespace, NotebookUnpickler, Pickled, RefusedError, dump, using_namespace
from .references import Loaded, Origins, Reference, Referrer, follow, has_nan
from .set_order import recipes, restore
from .sharing import Sharing, find_sharing, too_large
from .summaries import summarise, type_name
from .trial import (
    addresses,
    finalised_classes,
    lost_attribute,
    needs_trial,
    reset_attributes,
    temporary_paths,
    useless_elsewhere,
)
from .type_rule import Refusal, TypeRule
from .types import TypeRulesError, is_safe, rule_of

__all__ = [
    "Loaded",
    "LostValueError",
    "MissingDefinitionError",
    "Namespace",
    "Origins",
    "Pickled",
    "Refusal",
    "Region",
    "Saved",
    "Sharing",
    "StoreWriteError",
    "TypeRule",
    "TypeRulesError",
    "UnreadableValueError",
    "UnstorableError",
    "ValueStore",
    "addresses",
    "dump",
    "finalised_classes",
    "find_sharing",
    "fingerprint",
    "is_safe",
    "is_same",
    "small_fingerprint",
    "summarise",
    "type_name",
]


@error
class UnstorableError(NbdagError):
    """A value cannot be passed to the later task that needs it."""

    name: str
    type: str
    reader: str | None  # the task that needs the value, if known
    why: str
    remedy: str = "create it in a %%setup cell, or create and use it within one task"
    template = "{name!r}, which {needed_by} needs, is a {type} and cannot be stored ({why}): {remedy}"

    @property
    def needed_by(self) -> str:
        """Describe the task that needs the value, for the message: "task train", or "a later task"."""
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
    sharing: tuple[Sharing, ...] = ()  # pairs of names of different groups that share an object
    pickled: Mapping[str, Pickled] = field(default_factory=dict)  # key: name; value: pickle of only this name's value
    too_large: tuple[str, ...] = ()  # names whose values are too large for the check of shared objects
    # Key: name; value: attributes, such as Counter.total, that the pickle of the value does not keep.
    reset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reordered: tuple[str, ...] = ()  # names whose values contain a set that iterates in another order after loading


@dataclass(frozen=True, slots=True)
class ValueStore:
    """A store of values in a folder, or at an fsspec URL, such as the URL of a bucket.

    With an `origin`, the folder contains copies of values from the store at this URL. A value that is missing in the
    folder is downloaded when it is read. `transfer` uploads new values.
    """

    root: str
    origin: str = ""

    def save(
        self,
        values: Mapping[str, object],
        groups: Iterable[Sequence[str]] = (),
        *,
        readers: Mapping[str, str] | None = None,
        namespace: MutableMapping[str, Any] | None = None,
        origins: Origins | None = None,
    ) -> Saved:
        """Store values by name.

        `groups` are names to store together. `readers` maps names to the tasks that need them, for error messages.
        `namespace` is the namespace of the notebook. Raises `UnstorableError` and `StoreWriteError`.
        """
        with using_namespace(namespace):
            return _Saving(self, values, readers or {}, origins or Origins()).save(groups)

    def load(
        self, digest: str, *, namespace: MutableMapping[str, Any] | None = None, origins: Origins | None = None
    ) -> dict[str, Any]:
        """Return the values stored under a digest, by name. Arrays are mapped privately, so changes stay here."""
        return self.open(digest, namespace=namespace, origins=origins).values

    def open(
        self, digest: str, *, namespace: MutableMapping[str, Any] | None = None, origins: Origins | None = None
    ) -> Loaded:
        """Return the same values as `load`, together with the memory that they use.

        With `origins`, a value is loaded only once per process.
        """
        known = origins if origins is not None else Origins()
        if digest not in known.loaded:
            with using_namespace(namespace):
                known.loaded[digest] = self._open(digest, known)
        return known.loaded[digest]

    def touch_if_stored(self, digest: str) -> bool:
        """Return whether a value and all values that it refers to are still stored.

        If so, mark these values as recently used, so that `nbdag gc` keeps them.
        """
        try:
            needed = self.needed([digest])
        except LostValueError:
            return False
        store = files.files(self.root, self.origin)
        return all(store.touch_if_stored(each) for each in needed)

    def needed(self, digests: Iterable[str]) -> set[str]:
        """Return the given digests and the digests of all values to which these values refer.

        Raises `LostValueError`.
        """
        store = files.files(self.root, self.origin)
        return follow(digests, lambda digest: store.about(digest).get("refers", ()))

    def in_use(self, digests: Iterable[str]) -> set[str]:
        """Return the same digests as `needed`, but raise no error.

        The references of a missing or damaged value are unknown, so it counts as a value without references.
        """
        store = files.files(self.root, self.origin)

        def refers(digest: str) -> Sequence[str]:
            try:
                found: Sequence[str] = store.about(digest).get("refers", ())
            except LostValueError:
                return ()
            return found

        return follow(digests, refers)

    def names_of_setup(self, digests: Iterable[str]) -> set[str]:
        """Return the names of the objects of setup to which these values refer."""
        store = files.files(self.root, self.origin)
        found: set[str] = set()
        for digest in self.in_use(digests):
            with contextlib.suppress(LostValueError):
                found.update(store.about(digest).get("of_setup", ()))
        return found

    def digests(self) -> set[str]:
        """Return the digests of all stored values."""
        return set(files.files(self.root, self.origin).digests())

    def damaged(self, digests: Iterable[str]) -> list[str]:
        """Read values completely; return the digests of values that are missing or damaged."""
        store = files.files(self.root, self.origin)
        found = []
        for digest in digests:
            try:
                store.read(digest)
            except LostValueError:
                found.append(digest)
        return found

    def _open(self, digest: str, origins: Origins) -> Loaded:
        content = files.files(self.root, self.origin).read(digest)
        nans: dict[int, float] = {}

        def resolve(reference: Reference) -> object:
            return origins.resolve(reference, nans, lambda other: self._open(other, origins))

        unpickler = NotebookUnpickler(content.pickle, list(content.buffers), resolve)
        try:
            values = unpickler.load()
        except LostValueError:
            raise
        except Exception as why:
            raise UnreadableValueError(digest, f"{type(why).__name__}: {why}") from why
        if content.about.get("set_orders"):
            restore(unpickler.memo_copy(), pickle.loads(content.buffers[-1]))
        return Loaded(values=values, region=content.region, unpickler=unpickler, nans=nans)


class _Saving:
    """Stores the values of one task."""

    def __init__(
        self, store: ValueStore, values: Mapping[str, object], readers: Mapping[str, str], origins: Origins
    ) -> None:
        self._store = store
        self._files = files.files(store.root, store.origin)
        self._values = values
        self._readers = readers
        self._origins = origins
        self._reordered: list[str] = []  # see `Saved`
        self._reset: dict[str, tuple[str, ...]] = {}  # see `Saved`
        self._paths: tuple[str, ...] | None = None  # temporary paths that are deleted when this process ends

    def save(self, groups: Iterable[Sequence[str]]) -> Saved:
        groups = list(groups)
        pickled = {name: self._dump(name) for name in self._values}
        references = self._origins.references(pickled.values(), self._reload)
        sharing = find_sharing(pickled, references)
        links = [*groups, *((pair.one, pair.other) for pair in sharing), *self._sharing_nans(pickled)]
        outputs: dict[str, StoredOutput] = {}
        for names in _linked_groups(self._values, links):
            digest = self._stored_already(names, references) or self._write(names, pickled, references)
            for name in names:
                value = self._values[name]
                outputs[name] = StoredOutput(
                    name=name,
                    digest=digest,
                    type=type_name(value),
                    bytes=pickled[name].size,
                    summary=summarise(value),
                )
        known = {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}
        return Saved(
            outputs=tuple(outputs[name] for name in self._values),
            sharing=tuple(pair for pair in sharing if frozenset((pair.one, pair.other)) not in known),
            pickled=pickled,
            too_large=tuple(too_large(pickled)),
            reset=self._reset,
            reordered=tuple(self._reordered),
        )

    def _dump(self, name: str) -> Pickled:
        try:
            pickled = dump({name: self._values[name]}, keep_memo=True)
        except RefusedError as why:
            raise self._refused(name, why.refusal) from why
        except Exception as why:
            remedy = "create it in a %%setup cell, or create and use it within one task"
            if self._origins.made_by_setup(name, self._values[name]):
                remedy = (
                    "setup creates the object for every task, so use it within one task, or pass only the data you need"
                )
            raise self._refused(name, Refusal(_reason(why), remedy)) from why
        refusal = useless_elsewhere(pickled, self._origins.handlers, self._temporary())
        if refusal is not None:
            raise self._refused(name, refusal)
        return pickled

    def _temporary(self) -> tuple[str, ...]:
        if self._paths is None:
            self._paths = temporary_paths()
        return self._paths

    def _refused(self, name: str, refusal: Refusal) -> UnstorableError:
        return UnstorableError(
            name, type_name(self._values[name]), self._readers.get(name), refusal.why, refusal.remedy
        )

    def _reload(self, digest: str) -> Loaded:
        return self._store.open(digest)

    def _sharing_nans(self, pickled: Mapping[str, Pickled]) -> list[list[str]]:
        """Return groups of names whose values contain the same NaN object, which pickle itself would copy."""
        holders: dict[int, list[str]] = {}
        with_nan = [name for name, each in pickled.items() if has_nan(each, self._values[name])]
        for name in with_nan if len(with_nan) > 1 else ():
            referrer = Referrer({}, self._origins.nans())
            dump({name: self._values[name]}, refer=referrer)
            for key in referrer.numbered:
                holders.setdefault(key, []).append(name)
        return [names for names in holders.values() if len(names) > 1]

    def _stored_already(self, names: Sequence[str], references: Mapping[int, Reference]) -> str | None:
        """Return the digest of the stored value that contains all these names, unchanged; None if there is none."""
        for digest, loaded in self._origins.loaded.items():
            if all(
                name in loaded.values
                and loaded.values[name] is self._values[name]
                and references.get(id(self._values[name]), ("", ""))[:2] == ("value", digest)
                for name in names
            ):
                return digest if self._store.touch_if_stored(digest) else None
        return None

    def _write(self, names: Sequence[str], pickled: Mapping[str, Pickled], references: Mapping[int, Reference]) -> str:
        alone = len(names) == 1
        refers = any(key in references for name in names for key in pickled[name].memo)
        nans = any(has_nan(pickled[name], self._values[name]) for name in names)
        about: dict[str, Any] = {"names": list(names)}
        if alone and not refers and not nans:
            one = pickled[names[0]]
        else:
            # Values that own memory come first, so that views of this memory can be stored as views.
            ordered = sorted(names, key=lambda name: _is_view(self._values[name]))
            values = {name: self._values[name] for name in ordered}
            while True:
                referrer = Referrer(references, self._origins.nans() if nans else None) if refers or nans else None
                one = dump(values, keep_memo=True, refer=referrer)
                divided = self._origins.divided(references, one)
                if not divided:
                    break
                references = {key: each for key, each in references.items() if key not in divided}
            if referrer is not None and referrer.digests:
                about["refers"] = sorted(referrer.digests)
            if referrer is not None and referrer.of_setup:
                about["of_setup"] = sorted(referrer.of_setup)
        orders = recipes(one)
        if None in orders.values():
            self._reordered += names
        parts: list[bytes | memoryview] = [one.data, *one.buffers]
        if found := {number: recipe for number, recipe in orders.items() if recipe is not None}:
            about["set_orders"] = True
            parts.append(pickle.dumps(found, 5))
        digest = self._files.write(about, parts)
        for each in about.get("refers", ()):
            self._store.touch_if_stored(each)
        if needs_trial(one):
            self._try(names, digest, one)
        return digest

    def _try(self, names: Sequence[str], digest: str, pickled: Pickled) -> None:
        """Load a value in the same way as the tasks that read it.

        Raises `UnstorableError` if loading fails or loses data.
        """
        try:
            loaded = self._store.open(digest)
        except UnreadableValueError as why:
            refusal = Refusal(
                f"it cannot be loaded from its pickle: {why.why}",
                "pass only the data that you need, such as its text, or define __reduce__ in its class",
            )
            raise self._refused(self._culprit(names), refusal) from why
        refusal_of_loaded = lost_attribute(pickled, loaded.objects)
        if refusal_of_loaded is not None:
            raise self._refused(self._culprit(names, pickled), refusal_of_loaded)
        if attributes := reset_attributes(pickled, loaded.objects):
            self._reset[names[-1]] = attributes

    def _culprit(self, names: Sequence[str], pickled: Pickled | None = None) -> str:
        """Return the name whose value cannot be loaded, or loses data, when it is stored alone."""
        for name in names[:-1]:
            alone = dump({name: self._values[name]}, keep_memo=True)
            unpickler = NotebookUnpickler(alone.data, [memoryview(bytearray(buffer)) for buffer in alone.buffers])
            try:
                unpickler.load()
            except Exception:
                return name
            if pickled is not None and lost_attribute(alone, unpickler.memo_copy()) is not None:
                return name
        return names[-1]


def _is_view(value: object) -> bool:
    is_view = rule_of(value).is_view
    return is_view is not None and is_view(value)


def _linked_groups(names: Iterable[str], links: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the names in groups: two names are in one group if links connect them, directly or through others.

    Names and groups keep their order.
    """
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
