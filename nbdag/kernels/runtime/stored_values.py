"""Report stored values that change when a task loads them, or that contain data that should not be stored.

Examples are a set that iterates in another order, an object that shares a part with another value, and a secret, which
the value store and other tasks would get in plain text. The search for secrets includes all secrets that the task has
looked up or could look up. It reads pickles, but not the memory of arrays.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from ...core.model.job import Note
from ...core.model.text import join_names
from ...secrets.masker import known
from ...values import Pickled, Saved, addresses, dump, finalised_classes, find_sharing
from .messages import KernelRequest

_MAX_SEARCHED = 10_000_000  # maximum number of bytes of a pickle that are searched
# Types of objects that several values may share without an effect.
_UNSHARED = (str, bytes, int, float, complex, type(None), types.ModuleType, types.FunctionType, type)


def secret_notes(request: KernelRequest, saved: Saved) -> list[Note]:
    """Return a note for each stored value that contains a secret."""
    if not known:
        return []
    return [
        Note(code="NB473", name=name, message=_message(name, request.readers.get(name)))
        for name, pickled in saved.pickled.items()
        if len(pickled.data) <= _MAX_SEARCHED and known.are_in(bytes(pickled.data).decode(errors="replace"))
    ]


def _message(name: str, reader: str | None) -> str:
    where = f"in {reader}" if reader else "in the task that needs it"
    return f"{name} contains a secret, which is stored in plain text: look it up {where} instead (nbdag.secret)"


def size_notes(saved: Saved) -> list[Note]:
    """Return a note for each stored value that is too large for the check of shared objects."""
    return [
        Note(
            code="NB420",
            name=name,
            message=(
                f"{name} is too large to find out whether it shares objects with other values of its task; if it "
                "does, name all these values in the `--change` of a task that changes one of them"
            ),
        )
        for name in saved.too_large
    ]


def reset_notes(request: KernelRequest, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Return a note for each stored value whose pickle lacks the current values of some attributes."""
    return [
        Note(
            code="NB422",
            name=name,
            message=(
                f"the pickle of {name} does not keep the values of {join_names(attributes)}, so "
                f"{request.readers.get(name, 'a later task')} gets other values than {request.task} has: include "
                "these attributes in the pickle methods of the class, or keep their values in a variable"
            ),
        )
        for name, attributes in saved.reset.items()
    ]


def order_notes(request: KernelRequest, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Return a note for each stored value with a set whose iteration order changes when the value is loaded."""
    return [
        Note(
            code="NB421",
            name=output.name,
            message=(
                f"{_set_in(output.name, names)} has the same elements in task {request.readers[output.name]}, but "
                f"iterates in another order; use sorted({output.name}) where the order matters"
            ),
        )
        for output in saved.outputs
        if output.name in request.readers and output.name in saved.reordered
    ]


def finaliser_notes(request: KernelRequest, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Return a note for each stored value with objects that run code when they are deleted."""
    found = {name: finalised_classes(each) for name, each in saved.pickled.items() if name in request.readers}
    return [
        Note(
            code="NB424",
            name=name,
            message=(
                f"the finaliser of {join_names(classes)} runs at the end of task {request.task}, and again in each "
                f"task that is given {name}, such as {request.readers[name]}: pass only the data that later tasks need"
            ),
        )
        for name, classes in found.items()
        if classes
    ]


def address_notes(request: KernelRequest, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Return a note for each stored value that contains the address of an object, as a number or in a text."""
    own = {name: saved.pickled[name] for name in saved.pickled if name in request.readers}
    return [
        Note(
            code="NB423",
            name=name,
            message=(
                f"{name} contains the {what} of an object ({kind}), which has another address in task "
                f"{request.readers[name]}: store the object itself, or a key that you give it"
            ),
        )
        for name, (what, kind) in addresses(own, names).items()
    ]


def _set_in(name: str, names: Mapping[str, Any]) -> str:
    return f"the set {name}" if isinstance(names.get(name), set | frozenset) else f"a set in {name}"


def sharing_notes(request: KernelRequest, saved: Saved, names: Mapping[str, Any]) -> list[Note]:
    """Return a note for each stored value that shares an object with a value that a later task changes in place.

    The change would not reach the stored value.
    """
    outputs = {output.name for output in saved.outputs}
    at_risk = [name for name in request.changed_later if name in names]
    if not outputs or not at_risk:
        return []
    pickled: dict[str, Pickled] = dict(saved.pickled)
    for name in {*at_risk, *(given.name for given in request.inputs)} - pickled.keys():
        if name in names and not isinstance(names[name], _UNSHARED):
            try:
                pickled[name] = dump({name: names[name]}, keep_memo=True)
            except Exception:
                continue
    together = {frozenset(group) for group in request.exports}
    notes = []
    for pair in find_sharing(pickled):
        changer = request.changed_later.get(pair.one) or request.changed_later.get(pair.other)
        changed, other = (pair.one, pair.other) if pair.one in request.changed_later else (pair.other, pair.one)
        if (
            not pair.changeable
            or changer is None
            or other not in outputs
            or request.changed_later.get(other) == changer
        ):
            continue
        if any({pair.one, pair.other} <= group for group in together):
            continue
        if changed in outputs and id(names[changed]) not in pickled[other].memo:
            # The values share only parts of the object. The later task that changes the object loads both values, and
            # reports a change of the shared parts itself.
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
