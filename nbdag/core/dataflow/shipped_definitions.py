"""Select the definitions that are sent to other tasks as source code.

A top-level def, class or import of a task's cell is a definition. It is executed again in the kernel of each task that
needs it, so that it uses the globals of this kernel. This is done only if the definition has the same meaning in every
kernel: it reads no value of a task, its only effect is to define its name, no other cell binds this name, and no cell
changes the defined object. Any other function or class is passed as a pickled value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ..analysis.names import Defined
from ..analysis.objects import AbstractObject, Value, involved_objects
from ..analysis.scopes import Bound
from ..model.dag import CellKind, Definition, Place
from .reaching_definitions import CellFlow, Version
from .read_cells import CellAnalysis, NotebookAnalysis

# IPython applies this import to the cell that contains it and to all later cells.
_FUTURE = Definition(name="annotations", source="from __future__ import annotations", place=Place(cell=0, line=1))


class ShippedDefinitions:
    """The definitions that are sent to other tasks as source, and the definitions that each task needs."""

    def __init__(self, notebook: NotebookAnalysis, flows: Iterable[CellFlow]) -> None:
        self._swept = notebook
        self._flows = {flow.analysis: flow for flow in flows}
        self._binders: dict[str, list[CellAnalysis]] = defaultdict(list)
        self._by_object: dict[AbstractObject, tuple[CellAnalysis, Defined]] = {}
        self._known: dict[tuple[CellAnalysis, str], bool] = {}
        for analysis in notebook.analyses:
            for name in analysis.uses.bound:
                self._binders[name].append(analysis)
            for each in analysis.uses.definitions if analysis.cell.kind is CellKind.TASK else ():
                for obj in each.value:
                    self._by_object[obj] = (analysis, each)

    def definition_of(self, version: Version | None) -> Defined | None:
        """Return the definition that is sent as source for a version, or None if the value is pickled instead."""
        if version is None or version.definition is None or version.task is None:
            return None
        if version.definition.name == "*":
            return version.definition
        return version.definition if self.is_shipped(version.maker, version.name) else None

    def is_shipped(self, analysis: CellAnalysis, name: str) -> bool:
        """Return whether the definition of a name in a cell is sent as source."""
        key = (analysis, name)
        if key not in self._known:
            # This entry ends the recursion: definitions that need each other when they are executed cannot be sent.
            self._known[key] = False
            self._known[key] = self._may_be_shipped(analysis, name)
        return self._known[key]

    def _may_be_shipped(self, analysis: CellAnalysis, name: str) -> bool:
        mine = [each for each in analysis.uses.definitions if each.name == name]
        slot = analysis.uses.bound.get(name)
        if analysis.cell.kind is not CellKind.TASK or not mine or slot is None or slot.bound is not Bound.YES:
            return False
        if mine[-1].imports:
            return self._one_import(name)
        definition = mine[-1]
        if len(mine) > 1 or len(self._binders[name]) > 1 or not definition.pure or slot.value != definition.value:
            return False
        if definition.value & self._swept.changed:
            return False
        return all(self._is_available(analysis, each) for each in definition.reads)

    def _one_import(self, name: str) -> bool:
        """Return whether only equivalent imports bind a name. `import a.b` and `import a.c` are equivalent for `a`."""
        meanings = set()
        for analysis in self._binders[name]:
            imports = [each for each in analysis.uses.definitions if each.name == name]
            slot = analysis.uses.bound[name]
            if not imports or not all(each.imports for each in imports) or slot.bound is not Bound.YES:
                return False
            for each in imports:
                plain = each.imports.startswith("import ") and " as " not in each.imports
                meanings.add(name if plain else each.imports)
        return len(meanings) == 1

    def _is_available(self, analysis: CellAnalysis, name: str) -> bool:
        """Return whether every kernel that executes a definition has this name, which the definition reads."""
        flow = self._flows[analysis]
        if name in analysis.uses.bound and not self.is_shipped(analysis, name):
            return False
        read = flow.reads.get(name)
        if read is None or read.version is None:
            return True
        return read.version.task is None or self.definition_of(read.version) is not None

    def needed_by(self, flow: CellFlow) -> tuple[Definition, ...]:
        """Return the definitions to execute before a task's cell, in notebook order."""
        found: dict[tuple[int, int, str], Definition] = {}
        ahead: list[tuple[CellAnalysis, Defined]] = []
        for read in flow.reads.values():
            definition = self.definition_of(read.version)
            if definition is not None and read.version is not None:
                ahead += self._all_of(read.version.maker, definition)
            ahead += self._carried(read.value)
        if flow.analysis.future_above:
            # The `__future__` import comes first, so that it also applies to the definitions.
            found[-1, 0, ""] = _FUTURE
        seen: set[tuple[CellAnalysis, int, str]] = set()
        while ahead:
            analysis, definition = ahead.pop()
            key = (analysis, definition.line, definition.name)
            if key in seen or analysis is flow.analysis:
                continue
            seen.add(key)
            found[analysis.position, definition.line, definition.name] = _source(analysis, definition)
            maker = self._flows[analysis]
            for name in definition.reads:
                if name in analysis.uses.bound:
                    ahead += [(analysis, each) for each in analysis.uses.definitions if each.name == name]
                read_there = maker.reads.get(name)
                if read_there is not None and self.definition_of(read_there.version) is not None:
                    assert read_there.version is not None
                    assert read_there.version.definition is not None
                    ahead += self._all_of(read_there.version.maker, read_there.version.definition)
        return tuple(found[key] for key in sorted(found))

    def _all_of(self, analysis: CellAnalysis, definition: Defined) -> list[tuple[CellAnalysis, Defined]]:
        """Return the definition; for an import, return also all earlier imports of the same name."""
        if not definition.imports or definition.name == "*":
            return [(analysis, definition)]
        return [
            (binder, each)
            for binder in self._binders[definition.name]
            if binder.position <= analysis.position and binder.cell.kind is CellKind.TASK
            for each in binder.uses.definitions
            if each.name == definition.name
        ]

    def _carried(self, value: Value) -> list[tuple[CellAnalysis, Defined]]:
        found = []
        for obj in involved_objects(value):
            if obj in self._by_object:
                analysis, definition = self._by_object[obj]
                if self.is_shipped(analysis, definition.name):
                    found.append((analysis, definition))
        return found


def _source(analysis: CellAnalysis, definition: Defined) -> Definition:
    lines = analysis.cell.code.split("\n")[definition.line - 1 : definition.end]
    text = definition.imports or "\n".join(lines)
    cell = analysis.cell
    place = replace(cell, made_at=None).at(definition.line)
    made_by = "" if cell.made_at is None else cell.task or ""
    future = analysis.uses.future_annotations
    return Definition(name=definition.name, source=text, place=place, made_by=made_by, future_annotations=future)
