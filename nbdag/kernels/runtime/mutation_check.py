"""Detect undeclared changes: values that a cell changed in place although its code does not show the change.

Analysis reads code, and code can hide changes. So every value that the task reads is fingerprinted before its cell and
compared afterwards. Inputs are checked because other tasks load the stored value, without the change. Objects of setup
and definitions are checked because other tasks create them again. If the cell binds a name to another object, the
original object is still compared, provided that other tasks have it under any name. A change that the task declares,
in its code or by `--change`, is not reported.

A changed object may also be part of a value that the task does not name: a value that another task stored with a
reference to the object, or another object of setup. Later tasks that load such a value do not get the change, even if
it is declared. So after the cell, the stored values that later tasks load are searched for references to objects that
the cell has changed. Small objects of setup that later tasks read are compared, too.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.model.job import Note
from ...core.model.text import join_names
from ...values import (
    Loaded,
    Origins,
    Region,
    ValueStore,
    dump,
    find_sharing,
    fingerprint,
    is_same,
    small_fingerprint,
)
from ...values.definitions import definition_digest
from ...values.pickling import is_definition
from ...values.types import rule_of
from .messages import KernelRequest

_IMMUTABLE = (str, bytes, int, float, complex, bool, type(None), types.ModuleType)
_MOST_RESULTS = 100  # maximum number of results that are checked in one `lru_cache`
_DEFINITIONS = (type, types.FunctionType)


@dataclass(slots=True)
class _Checked:
    """A name, and its value before the cell."""

    name: str
    value: Any
    digest: str | None  # digest of the stored value that was loaded; None if setup or a definition created the object
    print: bytes
    held: Sequence[str]  # names under which other tasks have the object
    beside: Sequence[str] = ()  # names that were stored together with this name and may share objects with it


@dataclass(frozen=True, slots=True)
class _Definition:
    """A function or class, before the cell."""

    name: str
    value: Any
    digest: str
    print: bytes


@dataclass(slots=True)
class MutationCheck:
    """The values to compare after the cell."""

    request: KernelRequest
    loaded: Mapping[str, Loaded]
    regions: Sequence[Region]
    store: ValueStore
    origins: Origins
    checked: Sequence[_Checked]
    of_setup: Sequence[_Checked]  # small objects of setup that later tasks read, but this task's code does not mention
    definitions: Sequence[_Definition]  # functions and classes that the task declares to change

    @classmethod
    def of(
        cls,
        request: KernelRequest,
        names: Mapping[str, Any],
        origins: Origins,
        store: ValueStore,
    ) -> MutationCheck:
        """Fingerprint every value that the task reads, except values that it declares to change."""
        loaded = origins.loaded
        regions = [each.region for each in loaded.values()]
        digests = {
            given.name: given.digests[0] if not given.is_list and len(given.digests) == 1 else ""
            for given in request.inputs
        }
        checked = []
        definitions = []
        declared = _declared_changes(request)
        for name in _names_to_check(request, names):
            value = names[name]
            for kept in kept_results(value):
                if (kept_print := fingerprint(kept, regions)) is not None:
                    checked.append(_Checked(f"{name}()", kept, None, kept_print, (name,)))
            if isinstance(value, _DEFINITIONS) and is_definition(value, names) and name in declared:
                shape = definition_digest(value)
                if (print := fingerprint(value)) is not None:
                    definitions.append(_Definition(name, value, shape, print))
            if name in declared or _cannot_change(value, names):
                continue
            held = (name,) if request.held is None else request.held.get(name, ())
            digest = digests.get(name, "" if name in request.element else None)
            together = loaded[digest].values if digest is not None and digest in loaded else {}
            beside = [other for other in request.beside.get(name, ()) if other in together and other not in held]
            if (held or beside) and (print := fingerprint(value, regions)) is not None:
                checked.append(_Checked(name, value, digest, print, held, beside))
        seen = {each.name for each in checked} | declared | digests.keys() | request.element.keys()
        of_setup = []
        for name in request.of_setup_below:
            if name in seen or name not in names or not _may_hold_data(value := names[name]):
                continue
            print = origins.print_of(name) or small_fingerprint(value, tolerant=True)
            if print is not None:
                of_setup.append(_Checked(name, value, None, print, (name,)))
        return cls(request, loaded, regions, store, origins, checked, of_setup, definitions)

    def notes(self, names: Mapping[str, Any]) -> Iterator[Note]:
        """Yield a note for each value that the cell changed."""
        reported: set[int] = set()  # ids of reported objects, so that an object with several names gets only one note
        stale = self._stale_values()
        for each in self.checked:
            # If the name now refers to another object, later tasks receive that object and are not affected by the
            # change.
            same = names.get(each.name) is each.value
            held = [*(name for name in each.held if same or name != each.name), *each.beside]
            if not held or id(each.value) in reported:
                continue
            if fingerprint(each.value, self.regions) != each.print and self._is_real_change(each):
                others = [*self._sharing_with(each), *stale.pop(each.name, ())]
                held = [name for name in held if name not in each.beside or name in others]
                if held:
                    reported.add(id(each.value))
                    yield self._note(each, held, others)

        for name, holders in stale.items():
            yield self._stale_note(name, holders)
        for each in self.of_setup:
            if id(each.value) not in reported and small_fingerprint(each.value, tolerant=True) != each.print:
                yield self._note(each, each.held, ())
        for name, holders in self._stale_of_setup().items():
            if id(self.origins.setup[name]) not in reported:
                yield self._stale_note(name, holders)
        yield from self._definition_notes()

    def _definition_notes(self) -> Iterator[Note]:
        """Yield a note for each declared change of a function or class that later tasks do not get.

        A later task uses its own definition if its digest equals that of the stored definition. But a digest does not
        cover every object in a definition, so the change can be missing in it.
        """
        for each in self.definitions:
            reader = self.request.readers.get(each.name)
            if reader is None or definition_digest(each.value) != each.digest or fingerprint(each.value) == each.print:
                continue
            what = "an attribute" if isinstance(each.value, type) else "a default or attribute"
            yield Note(
                code="NB402",
                name=each.name,
                message=(
                    f"{what} of {each.name} was changed in place by task {self.request.task}, but task {reader} gets "
                    f"{each.name} without that change: keep the object in a variable of its own"
                ),
            )

    def _stale_values(self) -> dict[str, list[str]]:
        """Return the inputs that the cell changed, each with the names of stored values that contain the old object.

        Later tasks load these values, so they do not get the change. If the change is undeclared, values that are not
        stored yet are included, provided that they may contain the object.
        """
        declared = _declared_changes(self.request)
        own = [(each.name, digest) for each in self.request.inputs for digest in each.digests]
        own += self.request.element.items()
        own = [(name, digest) for name, digest in own if digest in self.loaded]
        if not own or not (self.request.given_below or self.request.awaited_below):
            return {}
        # Key: digest of a loaded value; value: names of stored values that refer to it.
        parts: dict[str, list[str]] = {}
        stored: dict[str, Sequence[str]] = {}  # key: name of a stored value; value: its digests
        for given in self.request.given_below:
            stored[given.name] = given.digests
            for digest in self.store.in_use(given.digests) & self.loaded.keys():
                parts.setdefault(digest, []).append(given.name)
        for name, digest in own:
            if name not in declared and (awaited := self.request.awaited_below.get(name)):
                parts.setdefault(digest, []).extend(awaited)
        changed = {digest for digest in parts if self._is_changed(digest)}
        found: dict[str, list[str]] = {}
        for name, digest in sorted(own, key=lambda each: each[0] in declared):
            for part in self.store.in_use([digest]) & changed:
                holders = (each for each in parts[part] if each != name)
                found.setdefault(name, []).extend(
                    each for each in holders if self._is_stale(each, stored.get(each, ()))
                )
                changed.remove(part)
        return {name: list(dict.fromkeys(holders)) for name, holders in found.items() if holders}

    def _stale_of_setup(self) -> dict[str, list[str]]:
        """Return the changed objects of setup, each with the names of stored values that contain the old object.

        The cell does not name these objects: it changed a part of them through another object of setup. Later tasks
        load the stored values, so they do not get the change. A value that is not stored yet is included if its task
        reads the object.
        """
        if not self.request.given_below and not self.request.awaited_below:
            return {}
        known = {each.name for each in self.checked} | {each.name for each in self.request.inputs}
        changed = {
            name
            for name, value in self.origins.setup.items()
            if name not in known
            and (print := self.origins.print_of(name)) is not None
            and small_fingerprint(value) != print
        }
        found: dict[str, list[str]] = {}
        for given in self.request.given_below if changed else ():
            for name in self.store.names_of_setup(given.digests) & changed:
                found.setdefault(name, []).append(given.name)
        for name in changed & self.request.awaited_below.keys():
            found.setdefault(name, []).extend(self.request.awaited_below[name])
        return {name: list(dict.fromkeys(holders)) for name, holders in found.items()}

    def _is_stale(self, name: str, digests: Sequence[str]) -> bool:
        """Return whether a stored value contains a changed object; True if the value is not stored yet.

        The value is loaded twice and compared: with the objects of this process, and as a later task loads it.
        """
        try:
            return not digests or not all(
                is_same(self.store.open(each, origins=self.origins).values[name], self.store.open(each).values[name])
                for each in digests
            )
        except Exception:  # loading can fail, as in `_is_changed`
            return True

    def _is_changed(self, digest: str) -> bool:
        """Compare a loaded value with the stored value; return whether the cell has changed the loaded value."""
        now = self.loaded[digest]
        try:
            stored = self.store.open(digest)
        except Exception:  # loading can fail if the stored value was deleted
            return False
        same_print = fingerprint(now.values, [now.region]) == fingerprint(stored.values, [stored.region])
        return not same_print and not is_same(now.values, stored.values)

    def _stale_note(self, name: str, holders: Sequence[str]) -> Note:
        task = self.request.task
        is_declared = name in _declared_changes(self.request)
        remedy = f"`--change {' '.join(holders if is_declared else (name, *holders))}`"
        return Note(
            code="NB403" if is_declared else "NB401",
            name=holders[0] if is_declared else name,
            message=(
                f"{name} was changed in place by task {task}, but {join_names(holders)} may hold the same object, and "
                f"later tasks are given it without that change: add {remedy} to `%%task {task}`"
            ),
        )

    def _is_real_change(self, each: _Checked) -> bool:
        """Return False if only the layout of the value, or its place in memory, has changed; otherwise True."""
        if not each.digest or isinstance(
            each.value, _DEFINITIONS
        ):  # a stored definition cannot be compared, because loading it again returns the same object
            return True
        try:
            before = self.store.load(each.digest)[each.name]
        except Exception:
            return True
        return not is_same(before, each.value)

    def _note(self, each: _Checked, held: Sequence[str], others: Sequence[str]) -> Note:
        name, task = each.name, self.request.task
        other_name = "" if name in held else f", which use it under the name {join_names(held)},"
        remedy = f"add `--change {name}` to `%%task {task}`"
        if each.digest is not None:
            remedy = f"add `--change {' '.join(dict.fromkeys((name, *others)))}` to `%%task {task}`"
            code = "NB401"
            effect = f"which its code does not show, so later tasks{other_name} do not see the change: {remedy}"
        elif name.endswith("()"):
            code, function = "NB402", name.removesuffix("()")
            effect = f"but the caches of {function} in other tasks do not contain that change: change a copy instead"
            return Note(
                code=code, name=function, message=f"a result of {name} was changed in place by {task}, {effect}"
            )
        elif isinstance(each.value, _DEFINITIONS):
            code = "NB402"
            effect = f"but other tasks{other_name} define it again, without that change: {remedy}"
        else:
            code = "NB402"
            effect = f"but other tasks{other_name} run setup again, without that change: "
            if _can_cross(each.value):
                effect += f"create it in a task, or {remedy}"
            else:
                effect += f"it cannot be passed to other tasks, so use {name} within one task"
        return Note(code=code, name=name, message=f"{name} was changed in place by task {task}, {effect}")

    def _sharing_with(self, each: _Checked) -> list[str]:
        """Return the names that were stored together with this name and share a changeable object with it."""
        if each.digest is None or each.digest not in self.loaded:
            return []
        together = self.loaded[each.digest].values
        pickled = {}
        for name, value in together.items():
            with contextlib.suppress(Exception):
                pickled[name] = dump({name: value}, keep_memo=True)
        pairs = [{pair.one, pair.other} for pair in find_sharing(pickled) if pair.changeable]
        return [name for name in together if name != each.name and {name, each.name} in pairs]


def _may_hold_data(value: object) -> bool:
    """Return whether an object of setup contains data that can change.

    Modules, classes, and functions without defaults, closure and attributes do not.
    """
    if isinstance(value, types.FunctionType):
        return bool(value.__defaults__ or value.__kwdefaults__ or value.__closure__ or vars(value))
    return not isinstance(value, (*_IMMUTABLE, type)) and not rule_of(value).immutable


def _can_cross(value: object) -> bool:
    try:
        dump(value)
    except Exception:
        return False
    return True


def _cannot_change(value: object, names: Mapping[str, Any]) -> bool:
    """Return whether a value needs no check, because it is immutable or a definition of a module."""
    if isinstance(value, _DEFINITIONS):
        is_closure = isinstance(value, types.FunctionType) and value.__globals__ is names and _may_hold_data(value)
        return not is_closure and not is_definition(value, names)
    return isinstance(value, _IMMUTABLE)


def kept_results(function: Any) -> list[object]:
    """Return the changeable results in the cache of a function with functools.lru_cache; [] for any other object."""
    if not isinstance(function, functools._lru_cache_wrapper):
        return []
    referents = gc.get_referents(function)
    if function.cache_parameters()["maxsize"] is None:
        own = vars(function)
        referents = [
            result for each in referents if isinstance(each, dict) and each is not own for result in each.values()
        ]
    return [each for each in referents if _is_result(each, function)][:_MOST_RESULTS]


def _is_result(value: object, function: Any) -> bool:
    """Return whether an object in a cache is a result that can change, and not a part of the cache itself."""
    if isinstance(value, (*_IMMUTABLE, *_DEFINITIONS, tuple)) or type(value) is object:
        return False
    if type(value).__module__ == "functools" or value is vars(function):
        return False
    if isinstance(value, dict):  # an empty dict may be part of the cache itself
        return bool(value) and not any(type(item).__name__ == "_lru_list_elem" for item in value.values())
    return True


def _declared_changes(request: KernelRequest) -> set[str]:
    """Return the names whose change is declared, either directly or through a group that shares objects."""
    changed = set(request.changes)
    return changed.union(*(group for group in request.exports if changed & set(group)))


def _names_to_check(request: KernelRequest, names: Mapping[str, Any]) -> list[str]:
    if request.opaque:  # the analysis does not know what the cell reads, so the cell may read every name
        return [name for name in names if not name.startswith("_")]
    given = [each.name for each in request.inputs]
    return [name for name in dict.fromkeys((*request.reads, *given, *request.element)) if name in names]
