"""References from a stored value to objects of other stored values, of setup and of modules.

For example, a task loads `start` and sets `graph = {start: 1}`. It stores `graph` with a reference to the stored
`start`, so that a later task that loads both finds `start` in `graph`. The same holds for objects that setup creates,
for sentinels of modules, and for NaN, which Python's containers compare by identity.

- The reference to an object of another stored value consists of that value's digest and the object's number in that
  value's pickle. It is written only if the object and the classes of the stored value have not changed since that value
  was stored. Otherwise the object itself is pickled.
- The reference to an object of setup consists of its name, fingerprint and pickle. It is written only if the object is
  small and unchanged. The pickle is for kernels in which setup creates a different object or none.

`Origins` records where a process's objects come from. A process loads each stored value once, so that references from
several values lead to one object.
"""

from __future__ import annotations

import itertools
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .files import Region
from .fingerprints import fingerprint, small_fingerprint
from .pickling import NotebookUnpickler, Pickled, dump, is_definition, small_pickle, user_namespace
from .types import rule_of

MAX_COMPARED = 200  # maximum number of objects of one stored value that are compared one by one
MAX_NANS = 1000  # maximum number of NaNs of one pickle whose identity is preserved
_TABLES = ("pandas", "numpy", "polars", "pyarrow", "scipy", "sklearn")
# The buffer that iterators of `itertools.tee` share. The buffer can advance although the next elements of a stored
# iterator are the same as before. An iterator at a position beyond its buffer reads uninitialised memory.
_BUFFER: type = getattr(itertools, "_tee_dataobject", types.NoneType)
_NANS = (b"G\x7f\xf8", b"G\xff\xf8")  # the bytes of a NaN in a pickle

# A reference is a tuple: one of these kinds, then the items that the comment names.
_VALUE = "value"  # an object of another stored value: its digest, the object's number in the pickle
_NAN_OF = "nan of"  # a NaN of another stored value: its digest, the NaN's number in the pickle
_NAN = "nan"  # a NaN of the same pickle: its number
_SETUP = "setup"  # an object of setup: its name, its fingerprint, its pickle
_MODULE = "module"  # an object of a module: the module's name, the object's name

Reference = tuple[Any, ...]


@dataclass(kw_only=True)
class Loaded:
    """A stored value that this process has loaded."""

    values: dict[str, Any]
    region: Region  # the memory that the value's arrays use
    unpickler: NotebookUnpickler | None = None
    nans: Mapping[int, float] = field(default_factory=dict)  # key: number of a NaN in the pickle; value: the NaN
    _objects: dict[int, object] | None = None

    @property
    def objects(self) -> Mapping[int, object]:
        """Return a dict from the number that the value's pickle gives an object to that object."""
        if self._objects is None:
            self._objects = self.unpickler.memo_copy() if self.unpickler is not None else {}
        return self._objects


@dataclass
class Origins:
    """The places from which the objects of this process come: stored values, and names that setup set."""

    loaded: dict[str, Loaded] = field(default_factory=dict)  # key: digest of a stored value
    setup: dict[str, object] = field(default_factory=dict)  # key: name that setup set; value: the object
    handlers: set[int] = field(default_factory=set)  # ids of the logging handlers that setup created
    # Key: name that setup set; value: fingerprint of the object before the cell ran.
    _prints: dict[str, bytes | None] = field(default_factory=dict)
    # Key: name and fingerprint of an object of setup; value: the object.
    _from_setup: dict[tuple[str, bytes], object] = field(default_factory=dict)

    def add_setup(self, names: Mapping[str, object]) -> None:
        """Record the objects that setup, parameters and definitions have created, before the cell runs."""
        import logging

        self.setup = {name: value for name, value in names.items() if not name.startswith("_")}
        for name, value in self.setup.items():
            known = isinstance(value, types.ModuleType | type | types.FunctionType)
            if not known and (is_nan(value) or _has_identity(value)):
                self._prints[name] = small_fingerprint(value)
        alive = (reference() for reference in getattr(logging, "_handlerList", ()))
        self.handlers = {id(handler) for handler in alive if handler is not None}

    def made_by_setup(self, name: str, value: object) -> bool:
        """Return whether setup set this name to this object."""
        return name in self.setup and self.setup[name] is value

    def print_of(self, name: str) -> bytes | None:
        """Return the fingerprint that an object of setup had before the cell, or None if it was not computed."""
        return self._prints.get(name)

    # -- loading ------------------------------------------------------------------------------------------------

    def resolve(self, reference: Reference, nans: dict[int, float], open: Callable[[str], Loaded]) -> object:
        """Return the object of a reference. `nans` are the NaNs of the pickle that is being loaded."""
        kind, *rest = reference
        if kind == _VALUE:
            digest, number = rest
            return self._opened(digest, open).objects[number]
        if kind == _NAN_OF:
            digest, number = rest
            return self._opened(digest, open).nans[number]
        if kind == _NAN:
            return nans.setdefault(rest[0], float("nan"))
        if kind == _MODULE:
            module, name = rest
            __import__(module)
            return getattr(sys.modules[module], name)
        return self._of_setup(*rest)

    def _opened(self, digest: str, open: Callable[[str], Loaded]) -> Loaded:
        if digest not in self.loaded:
            self.loaded[digest] = open(digest)
        return self.loaded[digest]

    def _of_setup(self, name: str, print: bytes, data: bytes) -> object:
        if (name, print) not in self._from_setup:
            # `setup` comes first, because in the namespace an input may have replaced the object of setup.
            names = self.setup or user_namespace()
            here = name in names and small_fingerprint(names[name]) == print
            self._from_setup[name, print] = names[name] if here else pickle.loads(data)
        return self._from_setup[name, print]

    # -- storing ------------------------------------------------------------------------------------------------

    def references(self, pickled: Iterable[Pickled], reload: Callable[[str], Loaded]) -> dict[int, Reference]:
        """Return references for the objects in these pickles that come from other values or from setup, by their ids.

        `reload` loads a stored value again, for comparison with the objects of this process.
        """
        every = list(pickled)
        skipped: set[int] = set().union(*(each.unshared for each in every))
        # The first object of each pickle is skipped: the dict of names that `save` created is never shared.
        objects = {id(obj): obj for each in every for number, obj in each.numbered if number}
        wanted = {key: obj for key, obj in objects.items() if key not in skipped and _has_identity(obj)}
        found: dict[int, Reference] = {}
        if not wanted:
            return found
        for name, value in self.setup.items():
            if (
                id(value) in wanted
                and id(value) not in found
                and (reference := self._to_setup(name, value)) is not None
            ):
                found[id(value)] = reference
        for digest, loaded in self.loaded.items():
            # This fast test comes first, because it usually finds no object.
            keys = frozenset(wanted).intersection(map(id, loaded.objects.values()))
            hits = {id(obj): number for number, obj in loaded.objects.items() if id(obj) in keys} if keys else {}
            for key in _unchanged(loaded, hits, digest, reload):
                found[key] = (_VALUE, digest, hits[key])
        return found

    def nans(self) -> dict[int, Reference]:
        """Return the references for NaNs of loaded values, of setup and of the modules math and numpy, by their ids."""
        found: dict[int, Reference] = {}
        for module in ("math", "numpy"):
            if (value := vars(sys.modules.get(module, types)).get("nan")) is not None:
                found[id(value)] = (_MODULE, module, "nan")
        for name, value in self.setup.items():
            if is_nan(value) and (reference := self._to_setup(name, value)) is not None:
                found.setdefault(id(value), reference)
        for digest, loaded in self.loaded.items():
            for number, value in loaded.nans.items():
                found.setdefault(id(value), (_NAN_OF, digest, number))
        return found

    def divided(self, references: Mapping[int, Reference], pickled: Pickled) -> set[int]:
        """Return the ids of objects of setup to which the pickle must not refer, because it contains parts of them.

        With a reference, a kernel that loads the value would get such a part twice: from the pickle and from setup.
        """
        found = set()
        for value in self.setup.values():
            if references.get(id(value), ("",))[0] != _SETUP:
                continue
            whole = dump(value, keep_memo=True)
            parts = (obj for key, obj in whole.memo.items() if key in pickled.memo and key not in whole.unshared)
            if any(part is not value and _has_identity(part) for part in parts):
                found.add(id(value))
        return found

    def _to_setup(self, name: str, value: object) -> Reference | None:
        """Return the reference to an object of setup, or None if the object has changed or is too large."""
        print = self._prints.get(name)
        if print is None or small_fingerprint(value) != print or (data := small_pickle(value)) is None:
            return None
        return _SETUP, name, print, data


class Referrer:
    """The `refer` function of one pickle: it numbers the pickle's NaNs and records which references were written."""

    def __init__(self, references: Mapping[int, Reference], nans: Mapping[int, Reference] | None) -> None:
        self._get = references.get
        self._known = nans
        # Key: id of a NaN; value: (its number, the NaN itself, so that it stays alive).
        self.numbered: dict[int, tuple[int, float]] = {}
        self.digests: set[str] = set()
        self.of_setup: set[str] = set()  # names of setup

    def __call__(self, obj: Any) -> Reference | None:
        """Return the reference to write in place of an object, or None to pickle the object."""
        if type(obj) is float:
            return self._nan(obj) if obj != obj and self._known is not None else None
        reference = self._get(id(obj))
        if reference is not None and reference[0] == _VALUE:
            self.digests.add(reference[1])
        elif reference is not None and reference[0] == _SETUP:
            self.of_setup.add(reference[1])
        return reference

    def _nan(self, value: float) -> Reference | None:
        assert self._known is not None
        if (known := self._known.get(id(value))) is not None:
            if known[0] == _NAN_OF:
                self.digests.add(known[1])
            return known
        if id(value) not in self.numbered:
            if len(self.numbered) == MAX_NANS:
                return None
            self.numbered[id(value)] = len(self.numbered), value
        return _NAN, self.numbered[id(value)][0]


def has_nan(pickled: Pickled, value: object) -> bool:
    """Return whether a value may contain a NaN object whose identity matters.

    NaNs in arrays and tables are not objects.
    """
    if type(value).__module__.partition(".")[0] in _TABLES:
        return False
    return any(start in pickled.data for start in _NANS)


def is_nan(value: object) -> bool:
    """Return whether a value is a NaN of type float."""
    return type(value) is float and value != value


def _has_identity(obj: Any) -> bool:
    """Return whether values that share this object must share it again after loading.

    For other objects, an equal copy in each value is enough.
    """
    if isinstance(obj, types.FunctionType):
        return obj.__globals__ is user_namespace() and not is_definition(obj, user_namespace())
    return not rule_of(obj).immutable


def _unchanged(loaded: Loaded, hits: Mapping[int, int], digest: str, reload: Callable[[str], Loaded]) -> Iterator[int]:
    """Yield the ids of the objects that are unchanged since their value was stored.

    `hits` maps the ids of the objects to their numbers in the value's pickle.
    """
    if not hits or loaded.unpickler is None or not loaded.unpickler.definitions.are_unchanged():
        return
    try:
        stored = reload(digest)
    except Exception:  # loading can fail, for example because the stored value was deleted
        return
    has_buffer = any(type(loaded.objects[number]) is _BUFFER for number in hits.values())
    if not has_buffer and _same(loaded.values, loaded, stored.values, stored):
        yield from hits
        return
    # If there are too many objects, none is compared: references to only some of them could separate objects that share
    # a part.
    if len(hits) > MAX_COMPARED:
        return
    for key, number in hits.items():
        if _same(loaded.objects[number], loaded, stored.objects.get(number), stored):
            yield key


def _same(one: object, of_one: Loaded, other: object, of_other: Loaded) -> bool:
    print = fingerprint(one, [of_one.region])
    return print is not None and print == fingerprint(other, [of_other.region])


def follow(digests: Iterable[str], references: Callable[[str], Sequence[str]]) -> set[str]:
    """Return the given digests and the digests of all values to which their values refer, directly or indirectly."""
    found: set[str] = set()
    waiting = list(digests)
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting.extend(references(digest))
    return found
