"""Restore the iteration order of sets when a stored value is loaded.

The iteration order of a set depends on the order in which its elements were added and removed. A pickle does not
contain that history. So two tasks that number the elements of the same set, by `enumerate(words)`, could number them
differently. When a value is stored, `recipes` finds out how to create each set in the value so that the set iterates in
the original order. After loading, `restore` follows this recipe.

CPython keeps the elements in a table of slots and iterates over the slots. The hash of an element determines a sequence
of slots, and CPython puts the element into the first free slot of this sequence. So the slots of the elements are
computed from the iteration order. The order in which to add the elements is then computed from the slots. The slot of
an element that was removed from the original set is filled by a number, a "filler". Fillers are removed at the end.
Each recipe is tried before it is stored. The processes of a run have the same hashes of texts, because nbdag sets
PYTHONHASHSEED for them.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .pickling import Pickled

MAX_ELEMENTS = 10_000  # limit for the elements of all sets of one value whose order is restored
_PLAIN = frozenset([str, bytes, int, float, bool])  # types whose hashes depend only on the hash seed
_SMALLEST = 8  # number of slots of an empty set
_LINEAR = 9  # number of neighbouring slots that are tried before a jump
_SHIFT = 5
_MOST_SHUFFLED = 30  # maximum number of elements of a set for which random orders are tried
_SHUFFLES = 200
_TRIED = 60  # maximum number of slots of one element that are considered


@dataclass(frozen=True, slots=True)
class Recipe:
    """Instructions for restoring the iteration order of a set from the elements of the loaded set."""

    check: int  # hash of the elements in the order in which the loaded set iterates
    order: Sequence[int]  # the elements in the order in which to add them, as indexes in the loaded set
    fillers: Sequence[int] = ()  # numbers that are added first and removed at the end
    at_once: bool = False  # whether all elements are added at once, as a dict, which sets the table size at the start


def recipes(pickled: Pickled) -> dict[int, Recipe | None]:
    """Return a recipe for each set in a pickle whose order would change on loading, by the set's number in the pickle.

    The recipe is None for a frozenset, a large set, a set with NaN (whose place depends on its address), and if no
    recipe was found. Sets are ignored if they contain other elements than numbers and texts. The order of such a set
    depends on the addresses of its elements, so it also differs between two runs of the notebook.
    """
    found: dict[int, Recipe | None] = {}
    left = MAX_ELEMENTS
    for number, obj in pickled.numbered:
        if not isinstance(obj, set | frozenset) or type(obj) not in (set, frozenset):
            continue
        if len(obj) > 1 and _PLAIN.issuperset(map(type, obj)):
            wanted = list(obj)
            loaded = list(type(obj)(wanted))
            if any(each != each for each in wanted):
                found[number] = None
            elif loaded != wanted:
                left -= len(obj)
                found[number] = _recipe(obj, wanted, loaded) if type(obj) is set and left >= 0 else None
    return found


def restore(objects: Mapping[int, object], found: Mapping[int, Recipe]) -> None:
    """Restore the order of the loaded sets with these numbers. Skip sets whose elements have other hashes now."""
    for number, recipe in found.items():
        target = objects.get(number)
        if type(target) is set:
            elements = list(target)
            if len(elements) == len(recipe.order) and hash(tuple(elements)) == recipe.check:
                target.clear()
                _build(target, elements, recipe)


def _build(target: set[object], elements: Sequence[object], recipe: Recipe) -> None:
    added = [*recipe.fillers, *(elements[index] for index in recipe.order)]
    target.update(dict.fromkeys(added) if recipe.at_once else added)
    for filler in recipe.fillers:
        target.discard(filler)


def _recipe(original: set[object], wanted: list[object], loaded: list[object]) -> Recipe | None:
    place = {element: index for index, element in enumerate(loaded)}
    check = hash(tuple(loaded))
    for order, fillers, at_once in _plans(original, wanted):
        recipe = Recipe(check, [place[element] for element in order], fillers, at_once)
        trial: set[object] = set()
        _build(trial, loaded, recipe)
        if list(trial) == wanted:
            return recipe
    return None


def _plans(original: set[object], wanted: list[object]) -> Iterator[tuple[list[object], list[int], bool]]:
    """Yield plans to try: (order in which to add the elements, fillers, whether to add all at once)."""
    slots = _slot_count(original)
    mask = slots - 1
    paths = [list(itertools.islice(_path(hash(element), mask), _TRIED)) for element in wanted]
    taken = _slots(paths, slots)
    if taken is not None:
        order, holes = _order(paths, taken)
        if order is not None:
            elements = [wanted[index] for index in order]
            known = set(wanted)
            fillers = [_filler(hole, slots, known) for hole in sorted(holes)]
            yield elements, fillers, False
            yield elements, fillers, True
            # With more fillers, CPython chooses the wanted number of slots for the table.
            free = iter(sorted(set(range(slots)) - set(taken) - holes, reverse=True))
            count = slots // 4 + 1 - len(fillers) - len(elements)
            fillers += [_filler(slot, slots, known) for slot in itertools.islice(free, max(count, 0))]
            yield elements, fillers, True
    if len(wanted) <= _MOST_SHUFFLED:  # the plans above fail if the table has just grown, so try random orders
        chance = random.Random(0)
        for _ in range(_SHUFFLES):
            shuffled = chance.sample(wanted, len(wanted))
            yield shuffled, [], False
            yield shuffled, [], True


def _slot_count(original: set[object]) -> int:
    size = sys.getsizeof(original) - sys.getsizeof(set())
    return size // 16 or _SMALLEST


def _path(value: int, mask: int) -> Iterator[int]:
    """Yield the slots in which CPython tries to put an element with this hash."""
    perturb = value & (1 << 64) - 1
    slot = perturb & mask
    while True:
        last = slot + _LINEAR if slot + _LINEAR <= mask else slot
        yield from range(slot, last + 1)
        perturb >>= _SHIFT
        slot = (slot * 5 + 1 + perturb) & mask


def _slots(paths: Sequence[Sequence[int]], slots: int) -> list[int] | None:
    """Return one slot of each element's path such that the slots increase; None if there are no such slots."""
    highest = [0] * len(paths)
    limit = slots
    for index in range(len(paths) - 1, -1, -1):
        limit = max((slot for slot in paths[index] if slot < limit), default=-1)
        highest[index] = limit
    taken: list[int] = []
    last = -1
    for path, limit in zip(paths, highest, strict=True):
        last = next((slot for slot in path if last < slot <= limit), slots)
        taken.append(last)
    return taken if last < slots else None


def _order(paths: Sequence[Sequence[int]], taken: Sequence[int]) -> tuple[list[int] | None, set[int]]:
    """Return an order of adding the elements in which each gets its own slot, and the slots of fillers.

    The order is None if there is no such order.
    """
    at = {slot: index for index, slot in enumerate(taken)}
    holes: set[int] = set()
    needs: list[set[int]] = []
    for path, own in zip(paths, taken, strict=True):
        before = path[: path.index(own)]
        holes.update(slot for slot in before if slot not in at)
        needs.append({at[slot] for slot in before if slot in at})
    order = [index for index, need in enumerate(needs) if not need]
    waiting = [index for index, need in enumerate(needs) if need]
    done = set(order)
    while waiting:
        ready = [index for index in waiting if needs[index] <= done]
        if not ready:
            return None, holes
        order += ready
        done.update(ready)
        waiting = [index for index in waiting if index not in done]
    return order, holes


def _filler(slot: int, slots: int, known: set[object]) -> int:
    """Return a number that CPython puts into this slot and that is not an element."""
    number = slot + slots
    while number in known:
        number += slots
    known.add(number)
    return number
