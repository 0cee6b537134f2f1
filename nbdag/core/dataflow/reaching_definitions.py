"""Reaching definitions: for each read of a name, the task that provides the value.

Every task that binds a name, or changes the name's object, creates a new version of the name. A reading cell takes
the latest version from earlier cells. If the task of this version is skipped, the reader takes the previous version.
Names that may refer to one object form a group if some task changes the object. A task that binds or changes one name
of a group creates a new version of the whole group, stored as one value. If a task binds a name only on some paths, and
a later task reads the name, the first task also reads the previous version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..analysis.names import Defined, changed_objects
from ..analysis.objects import NOTHING, Value, held_objects, holders
from ..analysis.scopes import Bound
from ..model.dag import CellKind
from .read_cells import CellAnalysis, NamesAbove, NotebookAnalysis

# Trigger rules that run a task when all upstream tasks have ended, even if some failed. For a task with such a rule, an
# additional dependency on the task of an earlier version causes neither a delay nor a skip.
RUNS_AFTER_FAILURES = frozenset({"all_done", "all_done_setup_success", "none_skipped"})


@dataclass(slots=True, eq=False)
class Version:
    """The value of a name after one cell."""

    name: str
    maker: CellAnalysis
    line: int
    certain: bool = True  # whether every path through the cell binds the name
    deleted: bool = False  # whether the cell deletes the name
    maybe_deleted: bool = False  # whether some path through the cell deletes the name
    definition: Defined | None = None  # the def, class or import statement that binds the name
    before: Version | None = None  # the version of the name before this cell
    in_setup: bool = field(init=False)  # whether setup or a parameters cell binds the name, in this cell or earlier

    def __post_init__(self) -> None:
        self.in_setup = self.task is None or (self.before is not None and self.before.in_setup)

    @property
    def task(self) -> str | None:
        """Return the task of this version. Return None if a setup cell or a parameters cell made the version."""
        return self.maker.cell.task if self.maker.cell.kind is CellKind.TASK else None


@dataclass(slots=True)
class Read:
    """A read of a name from outside a cell."""

    line: int
    optional: bool  # whether the name may be missing
    version: Version | None  # the version that is read; None if no cell above sets the name
    value: Value = NOTHING


@dataclass(slots=True, eq=False)
class CellFlow:
    """The versions that one cell reads and creates."""

    analysis: CellAnalysis
    reads: dict[str, Read] = field(default_factory=dict)
    made: dict[str, Version] = field(default_factory=dict)
    # Key: name whose object the cell changes; value: line of the change.
    changes: dict[str, int] = field(default_factory=dict)
    groups: list[set[str]] = field(default_factory=list)  # groups of names that must be stored as one value
    # Key: name that the cell reads; value: other names that refer to the same object.
    aliases: dict[str, set[str]] = field(default_factory=dict)


Visible = Callable[[CellAnalysis, Version | None], Version | None]


class Versions:
    """All versions and reads of a notebook."""

    def __init__(self, notebook: NotebookAnalysis, skippable: frozenset[int], visible: Visible | None = None) -> None:
        self.notebook = notebook
        self.skippable = skippable
        self.visible = visible or (lambda reader, version: version)
        self.current: dict[str, Version] = {}
        self.flows: list[CellFlow] = []
        above = NamesAbove()
        for analysis in notebook.analyses:
            self.flows.append(self._flow(analysis, above))
        self._settle_uncertain()

    def sources(self, version: Version | None, reader: CellAnalysis | None = None) -> Iterator[Version]:
        """Yield the versions that a reader may get, the nearest first; only the last may come from setup.

        A skipped task provides no version. A failed task provides no version either, but this matters only for a reader
        that runs in spite of the failure.
        """
        tolerant = reader is not None and reader.options.trigger in RUNS_AFTER_FAILURES
        while version is not None:
            yield version
            if version.task is None or not (tolerant or version.maker.cell.index in self.skippable):
                return
            version = version.before

    def _flow(self, analysis: CellAnalysis, above: NamesAbove) -> CellFlow:
        flow = CellFlow(analysis)
        uses = analysis.uses
        for names, optional in ((uses.reads, False), (uses.optional, True)):
            for name, line in names.items():
                self._read(flow, name, line, optional, uses.values.get(name, NOTHING))
        for name in flow.reads:
            if others := above.names(holders(held_objects(above.values.get(name, NOTHING)))) - {name}:
                flow.aliases[name] = others
        lines = {obj: mutation.line for obj, mutation in uses.mutated.items()}
        for name in sorted(above.names(changed_objects(uses.mutated))):
            within = held_objects(above.values[name]) & lines.keys()
            flow.changes[name] = min((lines[obj] for obj in within), default=1)
        flow.changes.update((name, line) for name, line in uses.changed.items() if name in self.current)
        replaced = above.pass_cell(analysis, analysis.cell.index in self.skippable)
        mutated = {name: line for name, line in flow.changes.items() if not self._rebinds(analysis, name)}
        for group in self._groups(analysis, above, [*uses.bound, *mutated]):
            flow.groups.append(group)
            line = min(slot.line if (slot := uses.bound.get(n)) else mutated.get(n, 1 << 30) for n in group)
            mutated |= {name: line for name in group if name not in uses.bound and name not in mutated}
            for name in sorted(group):
                slot = uses.bound.get(name)
                if slot is not None and not self._rebinds(analysis, name) and name in replaced:
                    self._read(flow, name, line, True, replaced[name])
        for name, line in mutated.items():
            value = replaced.get(name, above.values.get(name, NOTHING))
            self._read(flow, name, line, True, value)
        self._make(flow, mutated)
        return flow

    def _rebinds(self, analysis: CellAnalysis, name: str) -> bool:
        slot = analysis.uses.bound.get(name)
        return slot is not None and slot.bound in (Bound.YES, Bound.NO)

    def _read(self, flow: CellFlow, name: str, line: int, optional: bool, value: Value) -> None:
        known = flow.reads.get(name)
        if known is None:
            version = self.visible(flow.analysis, self.current.get(name))
            if version is None and not optional:
                version = self.visible(flow.analysis, self._starred(flow.analysis, name))
            flow.reads[name] = Read(line, optional, version, value)
        elif known.optional and not optional:
            flow.reads[name] = Read(line, False, known.version, value)

    def _starred(self, analysis: CellAnalysis, name: str) -> Version | None:
        """Return a version for the nearest `import *` in a task above, because this import may set the name.

        Return None if a cell above sets the name, or if no task above has such an import.
        """
        if name in self.current or name not in analysis.uses.unknown or analysis.cell.kind is not CellKind.TASK:
            return None
        for flow in reversed(self.flows):
            for note in flow.analysis.uses.notes if flow.analysis.cell.kind is CellKind.TASK else ():
                if note.kind == "star" and not note.text.startswith("%"):
                    definition = Defined("*", note.line, note.line, NOTHING, f"from {note.text} import *", (), True)
                    return Version(name, flow.analysis, note.line, certain=False, definition=definition)
        return None

    def _groups(self, analysis: CellAnalysis, above: NamesAbove, names: list[str]) -> list[set[str]]:
        """Return the groups of names that must be stored as one value, among the names that the cell passes on."""
        changed_while_shared = self.notebook.changed_while_shared
        if not changed_while_shared or analysis.options.map:
            return []
        groups: list[set[str]] = []
        ahead, seen = list(names), set(names)
        while ahead:
            name = ahead.pop()
            for obj in held_objects(above.values.get(name, NOTHING)) & changed_while_shared.keys():
                if changed_while_shared[obj] < analysis.position:
                    continue
                # Cells below may reach the object through any of these names, so all of them are stored together with
                # the object.
                together = above.names(holders({obj}))
                if len(together | {name}) > 1:
                    groups.append(together | {name})
                    ahead.extend(together - seen)
                    seen |= together
        return _merged(groups)

    def _make(self, flow: CellFlow, mutated: Mapping[str, int]) -> None:
        analysis = flow.analysis
        definitions = {each.name: each for each in analysis.uses.definitions}
        for name, slot in analysis.uses.bound.items():
            before = self.current.get(name)
            if slot.bound in (Bound.NO, Bound.MAYBE_NOT) and before is None:
                continue  # a name that is only deleted has no version, such as the `e` of an except clause
            self._new(
                flow,
                Version(
                    name,
                    analysis,
                    slot.line,
                    certain=self._rebinds(analysis, name),
                    deleted=slot.bound is Bound.NO,
                    maybe_deleted=slot.bound in (Bound.NO, Bound.MAYBE_NOT),
                    definition=definitions.get(name) if slot.bound is Bound.YES else None,
                    before=before,
                ),
            )
        for name, line in mutated.items():
            if name in self.current and name not in flow.made:
                before = self.current[name]
                certain = before.certain and not before.deleted
                self._new(flow, Version(name, analysis, line, certain=certain, before=before))
        for name in analysis.options.out:
            if name not in flow.made and analysis.cell.kind is CellKind.TASK:
                self._new(flow, Version(name, analysis, 1, certain=False, before=self.current.get(name)))

    def _new(self, flow: CellFlow, version: Version) -> None:
        flow.made[version.name] = self.current[version.name] = version

    def _settle_uncertain(self) -> None:
        """Add reads of earlier versions to cells that bind a name only on some paths, if later cells read the name."""
        flows = {flow.analysis: flow for flow in self.flows}
        ahead = [(flow, read) for flow in self.flows for read in flow.reads.values()]
        while ahead:
            reader, read = ahead.pop()
            for version in self.sources(read.version, reader.analysis):
                maker = flows[version.maker]
                if version.certain or version.before is None or maker is reader:
                    continue
                if version.name not in maker.reads:
                    seen = self.visible(maker.analysis, version.before)
                    maker.reads[version.name] = Read(version.line, True, seen)
                    ahead.append((maker, maker.reads[version.name]))


def _merged(groups: list[set[str]]) -> list[set[str]]:
    merged: list[set[str]] = []
    for group in groups:
        apart = []
        for other in merged:
            if other & group:
                group = group | other
            else:
                apart.append(other)
        merged = [*apart, group]
    return merged
