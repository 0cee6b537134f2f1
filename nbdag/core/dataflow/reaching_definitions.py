"""Which task's value each task reads.

Every task that binds a name, or changes its object, makes a new version of it. A reader takes the latest version
above it; where the task that makes it may be skipped, the one before is taken instead. Names that may be one object
which some task changes are kept together: whoever makes or changes one makes a new version of all, saved as one.
A task that binds a name only on some ways takes the version before as well, if anyone reads the name below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..analysis.names import Defined, changed_things
from ..analysis.objects import NOTHING, Value, reached, reaching
from ..analysis.scopes import Bound
from ..model.dag import CellKind
from .read_cells import Above, Reading, Swept


@dataclass(slots=True, eq=False)
class Version:
    """A name, as one cell leaves it."""

    name: str
    maker: Reading
    line: int
    certain: bool = True  # every way through the cell binds it
    gone: bool = False  # the cell deletes it
    lost: bool = False  # some way through the cell deletes it
    definition: Defined | None = None  # the def, class or import that made it
    before: Version | None = None  # what it was above the cell
    in_setup: bool = field(init=False)  # setup or parameters bind it too, here or above

    def __post_init__(self) -> None:
        self.in_setup = self.task is None or (self.before is not None and self.before.in_setup)

    @property
    def task(self) -> str | None:
        """The task that makes it; None where parameters or setup do."""
        return self.maker.cell.task if self.maker.cell.kind is CellKind.TASK else None


@dataclass(slots=True)
class Read:
    """A read of a name from outside a cell."""

    line: int
    optional: bool  # it may be missing
    version: Version | None  # None where nothing above makes one
    value: Value = NOTHING


@dataclass(slots=True, eq=False)
class Account:
    """What one cell takes and makes."""

    reading: Reading
    reads: dict[str, Read] = field(default_factory=dict)
    made: dict[str, Version] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # names whose object it changes, with the line
    groups: list[set[str]] = field(default_factory=list)  # names that stay together when saved
    aliases: dict[str, set[str]] = field(default_factory=dict)  # of a name that it reads: others that share its object


Visible = Callable[[Reading, Version | None], Version | None]


class Versions:
    """All versions and reads of a notebook."""

    def __init__(self, swept: Swept, skippable: frozenset[int], visible: Visible | None = None) -> None:
        self.swept = swept
        self.skippable = skippable
        self.visible = visible or (lambda reader, version: version)
        self.current: dict[str, Version] = {}
        self.accounts: list[Account] = []
        above = Above()
        for reading in swept.readings:
            self.accounts.append(self._account(reading, above))
        self._settle_uncertain()

    def sources(self, version: Version | None) -> Iterator[Version]:
        """The versions that a reader may be given, the nearest first; a last one without a task is setup's."""
        while version is not None:
            yield version
            if version.task is None or version.maker.cell.index not in self.skippable:
                return
            version = version.before

    def _account(self, reading: Reading, above: Above) -> Account:
        account = Account(reading)
        uses = reading.uses
        for names, optional in ((uses.reads, False), (uses.optional, True)):
            for name, line in names.items():
                self._read(account, name, line, optional, uses.values.get(name, NOTHING))
        for name in account.reads:
            if others := above.names(reaching(reached(above.values.get(name, NOTHING)))) - {name}:
                account.aliases[name] = others
        lines = {thing: touch.line for thing, touch in uses.touched.items()}
        for name in sorted(above.names(changed_things(uses.touched))):
            within = reached(above.values[name]) & lines.keys()
            account.changes[name] = min((lines[thing] for thing in within), default=1)
        account.changes.update((name, line) for name, line in uses.changed.items() if name in self.current)
        replaced = above.pass_by(reading, reading.cell.index in self.skippable)
        touched = {name: line for name, line in account.changes.items() if not self._rebinds(reading, name)}
        for group in self._groups(reading, above, [*uses.bound, *touched]):
            account.groups.append(group)
            line = min(slot.line if (slot := uses.bound.get(n)) else touched.get(n, 1 << 30) for n in group)
            touched |= {name: line for name in group if name not in uses.bound and name not in touched}
            for name in sorted(group):
                slot = uses.bound.get(name)
                if slot is not None and not self._rebinds(reading, name) and name in replaced:
                    self._read(account, name, line, True, replaced[name])
        for name, line in touched.items():
            value = replaced.get(name, above.values.get(name, NOTHING))
            self._read(account, name, line, True, value)
        self._make(account, touched)
        return account

    def _rebinds(self, reading: Reading, name: str) -> bool:
        slot = reading.uses.bound.get(name)
        return slot is not None and slot.bound in (Bound.YES, Bound.NO)

    def _read(self, account: Account, name: str, line: int, optional: bool, value: Value) -> None:
        known = account.reads.get(name)
        if known is None:
            version = self.visible(account.reading, self.current.get(name))
            if version is None and not optional:
                version = self.visible(account.reading, self._starred(account.reading, name))
            account.reads[name] = Read(line, optional, version, value)
        elif known.optional and not optional:
            account.reads[name] = Read(line, False, known.version, value)

    def _starred(self, reading: Reading, name: str) -> Version | None:
        """A name that nothing sets may come from the nearest `import *` of a task above."""
        if name in self.current or name not in reading.uses.unknown or reading.cell.kind is not CellKind.TASK:
            return None
        for account in reversed(self.accounts):
            for note in account.reading.uses.notes if account.reading.cell.kind is CellKind.TASK else ():
                if note.kind == "star" and not note.text.startswith("%"):
                    definition = Defined("*", note.line, note.line, NOTHING, f"from {note.text} import *", (), True)
                    return Version(name, account.reading, note.line, certain=False, definition=definition)
        return None

    def _groups(self, reading: Reading, above: Above, names: list[str]) -> list[set[str]]:
        """The names that must stay together when the cell has run, among those that it makes and others."""
        contended = self.swept.contended
        if not contended or reading.options.map:
            return []
        groups: list[set[str]] = []
        ahead, seen = list(names), set(names)
        while ahead:
            name = ahead.pop()
            for thing in reached(above.values.get(name, NOTHING)) & contended.keys():
                if contended[thing] < reading.position:
                    continue
                # All names that reach it count: what one of them is now may be under another name by then.
                together = above.names(reaching({thing}))
                if len(together | {name}) > 1:
                    groups.append(together | {name})
                    ahead.extend(together - seen)
                    seen |= together
        return _merged(groups)

    def _make(self, account: Account, touched: Mapping[str, int]) -> None:
        reading = account.reading
        definitions = {each.name: each for each in reading.uses.definitions}
        for name, slot in reading.uses.bound.items():
            before = self.current.get(name)
            if slot.bound in (Bound.NO, Bound.MAYBE_NOT) and before is None:
                continue  # such as the `e` of an except clause that nobody bound before
            self._new(
                account,
                Version(
                    name,
                    reading,
                    slot.line,
                    certain=self._rebinds(reading, name),
                    gone=slot.bound is Bound.NO,
                    lost=slot.bound in (Bound.NO, Bound.MAYBE_NOT),
                    definition=definitions.get(name) if slot.bound is Bound.YES else None,
                    before=before,
                ),
            )
        for name, line in touched.items():
            if name in self.current and name not in account.made:
                before = self.current[name]
                certain = before.certain and not before.gone
                self._new(account, Version(name, reading, line, certain=certain, before=before))
        for name in reading.options.out:
            if name not in account.made and reading.cell.kind is CellKind.TASK:
                self._new(account, Version(name, reading, 1, certain=False, before=self.current.get(name)))

    def _new(self, account: Account, version: Version) -> None:
        account.made[version.name] = self.current[version.name] = version

    def _settle_uncertain(self) -> None:
        """Whoever binds a name only perhaps takes what it was before, if anyone reads it below."""
        accounts = {account.reading: account for account in self.accounts}
        ahead = [(account, read) for account in self.accounts for read in account.reads.values()]
        while ahead:
            reader, read = ahead.pop()
            for version in self.sources(read.version):
                maker = accounts[version.maker]
                if version.certain or version.before is None or maker is reader:
                    continue
                if version.name not in maker.reads:
                    seen = self.visible(maker.reading, version.before)
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
