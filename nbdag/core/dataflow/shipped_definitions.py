"""Definitions that travel as source.

A top-level def, class or import of a task's cell is replayed in the kernel of each task that needs it, so that its
globals are that kernel's. It must mean the same there: it looks up nothing that a task made, it does nothing but
define, its name is bound nowhere else, and nothing changes what it made. Any other function or class travels by value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ..analysis.names import Defined
from ..analysis.objects import Thing, Value, used
from ..analysis.scopes import Bound
from ..model.dag import CellKind, Definition, Place
from .reaching_definitions import Account, Version
from .read_cells import Reading, Swept


class Replayed:
    """Which definitions travel as source, and which of them a task needs."""

    def __init__(self, swept: Swept, accounts: Iterable[Account]) -> None:
        self._swept = swept
        self._accounts = {account.reading: account for account in accounts}
        self._binders: dict[str, list[Reading]] = defaultdict(list)
        self._by_thing: dict[Thing, tuple[Reading, Defined]] = {}
        self._known: dict[tuple[Reading, str], bool] = {}
        for reading in swept.readings:
            for name in reading.uses.bound:
                self._binders[name].append(reading)
            for each in reading.uses.definitions if reading.cell.kind is CellKind.TASK else ():
                for thing in each.value:
                    self._by_thing[thing] = (reading, each)

    def of(self, version: Version | None) -> Defined | None:
        """The definition by which a version of a name travels; None where it travels by value."""
        if version is None or version.definition is None or version.task is None:
            return None
        if version.definition.name == "*":
            return version.definition
        return version.definition if self.eligible(version.maker, version.name) else None

    def eligible(self, reading: Reading, name: str) -> bool:
        """Whether what a cell defines under a name travels as source."""
        key = (reading, name)
        if key not in self._known:
            self._known[key] = False  # a circle of definitions would not run anyway
            self._known[key] = self._is_eligible(reading, name)
        return self._known[key]

    def _is_eligible(self, reading: Reading, name: str) -> bool:
        mine = [each for each in reading.uses.definitions if each.name == name]
        slot = reading.uses.bound.get(name)
        if reading.cell.kind is not CellKind.TASK or not mine or slot is None or slot.bound is not Bound.YES:
            return False
        if mine[-1].imports:
            return self._one_import(name)
        definition = mine[-1]
        if len(mine) > 1 or len(self._binders[name]) > 1 or not definition.pure or slot.value != definition.value:
            return False
        if definition.value & self._swept.changed:
            return False
        return all(self._looked_up(reading, each) for each in definition.reads)

    def _one_import(self, name: str) -> bool:
        """Whether a name is bound by imports alone that mean one thing; `import a.b` and `import a.c` both bind a."""
        meanings = set()
        for reading in self._binders[name]:
            imports = [each for each in reading.uses.definitions if each.name == name]
            slot = reading.uses.bound[name]
            if not imports or not all(each.imports for each in imports) or slot.bound is not Bound.YES:
                return False
            for each in imports:
                plain = each.imports.startswith("import ") and " as " not in each.imports
                meanings.add(name if plain else each.imports)
        return len(meanings) == 1

    def _looked_up(self, reading: Reading, name: str) -> bool:
        """Whether a name that a definition looks up is there wherever the definition is replayed."""
        account = self._accounts[reading]
        if name in reading.uses.bound and not self.eligible(reading, name):
            return False
        read = account.reads.get(name)
        if read is None or read.version is None:
            return True
        return read.version.task is None or self.of(read.version) is not None

    def needed(self, account: Account) -> tuple[Definition, ...]:
        """The definitions to replay before a task's cell, in notebook order."""
        found: dict[tuple[int, int, str], Definition] = {}
        ahead: list[tuple[Reading, Defined]] = []
        for read in account.reads.values():
            definition = self.of(read.version)
            if definition is not None and read.version is not None:
                ahead += self._all_of(read.version.maker, definition)
            ahead += self._carried(read.value)
        seen: set[tuple[Reading, int, str]] = set()
        while ahead:
            reading, definition = ahead.pop()
            key = (reading, definition.line, definition.name)
            if key in seen or reading is account.reading:
                continue
            seen.add(key)
            found[reading.position, definition.line, definition.name] = _source(reading, definition)
            maker = self._accounts[reading]
            for name in definition.reads:
                if name in reading.uses.bound:
                    ahead += [(reading, each) for each in reading.uses.definitions if each.name == name]
                read_there = maker.reads.get(name)
                if read_there is not None and self.of(read_there.version) is not None:
                    assert read_there.version is not None
                    assert read_there.version.definition is not None
                    ahead += self._all_of(read_there.version.maker, read_there.version.definition)
        return tuple(found[key] for key in sorted(found))

    def _all_of(self, reading: Reading, definition: Defined) -> list[tuple[Reading, Defined]]:
        """A definition; of an import, all above it that bind the same name."""
        if not definition.imports or definition.name == "*":
            return [(reading, definition)]
        return [
            (binder, each)
            for binder in self._binders[definition.name]
            if binder.position <= reading.position and binder.cell.kind is CellKind.TASK
            for each in binder.uses.definitions
            if each.name == definition.name
        ]

    def _carried(self, value: Value) -> list[tuple[Reading, Defined]]:
        found = []
        for thing in used(value):
            if thing in self._by_thing:
                reading, definition = self._by_thing[thing]
                if self.eligible(reading, definition.name):
                    found.append((reading, definition))
        return found


def _source(reading: Reading, definition: Defined) -> Definition:
    lines = reading.cell.code.split("\n")[definition.line - 1 : definition.end]
    text = definition.imports or "\n".join(lines)
    cell = reading.cell
    place = Place(cell=cell.in_file, line=definition.line)
    made_by = "" if cell.made_at is None else cell.task or ""
    return Definition(name=definition.name, source=text, place=place, made_by=made_by)
