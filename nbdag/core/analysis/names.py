"""The names that one cell reads, binds and changes.

Python's rules apply. If a cell has certainly bound a name, later reads of the name refer to the cell's own value. Any
other read refers to earlier cells. If only some paths through the cell bind a name (`Bound.MAYBE`), later reads in the
cell may also refer to earlier cells, but these need not set the name. A call of a function has the reads and changes of
the function's body. The caller passes a function `outer`, which returns the value that a name has before the cell.
Without `outer`, every name stands for an unknown object, except the names that Python or IPython defines.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..cells.source import Python
from . import known
from .effects import DeletedRead, Mutation, NameRead
from .objects import NOTHING, AbstractObject, Kind, Note, Value, holders
from .scopes import Bound, Slot
from .statements import Statements

PRIVATE = "_nbdag"


class Defined(NamedTuple):
    """A def, class or import at the top level of a cell."""

    name: str
    line: int  # first line of the statement, decorators included
    end: int  # last line of the statement
    value: Value  # the object that the statement defines
    imports: str  # the import statement in a normalized form, to compare imports; "" for a def or class
    reads: Collection[str]  # names that the statement itself reads
    pure: bool  # whether the only effect of the statement is to define the name


@dataclass(frozen=True, slots=True)
class CellUses:
    """The effects of a cell on names and objects."""

    # Key: name that an earlier cell must set; value: line of its first read.
    reads: Mapping[str, int] = field(default_factory=dict)
    # Key: name that the cell reads if it exists; value: line of its first read.
    optional: Mapping[str, int] = field(default_factory=dict)
    deferred: frozenset[str] = frozenset()  # optional names that are read only if some function is called
    certain: frozenset[str] = frozenset()  # names of `reads` that every path through the cell reads
    unknown: frozenset[str] = frozenset()  # names that the cell reads, but that no earlier cell sets
    # Names that the cell binds or deletes, on all or some paths.
    bound: Mapping[str, Slot] = field(default_factory=dict)
    # Key: name that an earlier cell sets; value: line at which this cell changes the name's object in place.
    changed: Mapping[str, int] = field(default_factory=dict)
    mutated: Mapping[AbstractObject, Mutation] = field(default_factory=dict)  # objects that the cell changes in place
    compared: frozenset[AbstractObject] = frozenset()  # objects whose identity the cell compares with `is`
    deleted_reads: tuple[DeletedRead, ...] = ()  # reads of names after the cell has deleted them
    definitions: tuple[Defined, ...] = ()
    notes: tuple[Note, ...] = ()
    # Key: name that the cell reads; value: the value that the name has before the cell.
    values: Mapping[str, Value] = field(default_factory=dict)
    # Whether `from __future__ import annotations` applies to this cell and the cells below.
    future_annotations: bool = False

    @property
    def writes(self) -> tuple[str, ...]:
        """Return the names that every path through the cell binds."""
        return self._bound(Bound.YES)

    @property
    def maybe_writes(self) -> tuple[str, ...]:
        """Return the names that only some paths through the cell bind."""
        return self._bound(Bound.MAYBE)

    @property
    def changes(self) -> tuple[str, ...]:
        """Return the names from earlier cells whose objects this cell changes, perhaps through other names."""
        objects = changed_objects(self.mutated)
        found = dict.fromkeys(self.changed)
        for name, value in self.values.items():
            if value & objects:
                found[name] = None
        return tuple(found)

    @property
    def aliases(self) -> tuple[tuple[str, ...], ...]:
        """Return the groups of names that may refer to the same object after the cell.

        The cell binds at least one name of each group.
        """
        after = {name: value for name, value in self.values.items() if name not in self.bound}
        after |= {name: slot.value for name, slot in self.bound.items() if slot.bound is not Bound.NO}
        groups: dict[AbstractObject, list[str]] = {}
        for name, value in sorted(after.items()):
            for obj in value:
                if obj.kind is Kind.OBJECT or obj.kind is Kind.CLASS or obj.kind is Kind.FUNCTION:
                    groups.setdefault(obj, []).append(name)
        found = {tuple(names) for names in groups.values() if len(names) > 1 and set(names) & set(self.bound)}
        return tuple(sorted(found))

    def _bound(self, bound: Bound) -> tuple[str, ...]:
        return tuple(name for name, slot in self.bound.items() if slot.bound is bound)


def changed_objects(mutated: Mapping[AbstractObject, Mutation]) -> set[AbstractObject]:
    """Return the changed objects and all objects that hold a changed object."""
    strong = holders(obj for obj, mutation in mutated.items() if mutation.strong)
    return strong | holders((obj for obj, mutation in mutated.items() if not mutation.strong), strong=False)


def uses(
    python: Python,
    outer: Callable[[str], Value | None] | None = None,
    *,
    before: Sequence[ast.expr] = (),
    mapped: Mapping[str, ast.expr] | None = None,
    after: Sequence[ast.expr] = (),
    change: Sequence[str] = (),
    future_annotations: bool = False,
) -> CellUses:
    """Analyse a cell and return its effects.

    `before` and `after` are the expressions that run before and after the cell, such as the expressions of the options
    `--when` and `--check`. `mapped` has the expression of each variable of `--map`; the variable is bound to one
    element of the expression's value. `change` are the names that the header's option `--change` lists.
    """
    reader = Statements(outer or _unknown_objects(), future_annotations)
    for expression in before:
        reader.expr(expression)
    reader.consumes = not mapped  # the instances of a task with --map do not share iterators and generators
    elements = {name: reader.element(reader.expr(each), each) for name, each in (mapped or {}).items()}
    for name, value in elements.items():
        reader.store(name, value, 1)
    given = {name: reader.module.global_slots[name] for name in elements}
    for name, line in python.reads:
        reader.use(reader.load(name, line), line)
    with reader.optionally():
        for name, line in python.soft_reads:
            reader.load(name, line)
    definitions = _run(reader, python)
    for name, line in python.writes:
        reader.store(name, frozenset({reader.object_created_at("magic", name)}), line)
    for line in python.opaque:
        reader.note("opaque", "a magic", line)
    for name in change:
        slot = reader.module.global_slots.get(name)
        # If the cell rebinds the name, the object that the name had before the cell also counts as changed.
        if slot is not None:
            reader.change(reader.outer(name) or NOTHING, 1)
        if slot is None or slot.bound is not Bound.NO:
            reader.change_name(name, reader.load(name, 1), 1)
    for expression in after:
        reader.expr(expression)
    log, slots = reader.log, reader.module.global_slots
    bound = {name: slot for name, slot in slots.items() if not name.startswith(PRIVATE) and given.get(name) is not slot}
    own = known.BUILTINS | known.IPYTHON
    for name, seen in log.reads.items():
        if name in known.HISTORY and not seen.soft and reader.outer(name) is None:
            reader.note("history", name, seen.line)
    reads = {name: seen for name, seen in log.reads.items() if name not in own or reader.outer(name) is not None}
    return CellUses(
        reads=_lines(reads, soft=False),
        optional=_lines(reads, soft=True),
        unknown=frozenset(name for name in reads if reader.outer(name) is None),
        deferred=frozenset(name for name, seen in reads.items() if seen.deferred),
        certain=frozenset(name for name, seen in reads.items() if seen.certain),
        bound={} if python.closed else bound,
        changed=log.changed,
        mutated=log.mutated,
        compared=frozenset(log.compared),
        deleted_reads=tuple(log.deleted_reads),
        definitions=() if python.closed else tuple(each for each in definitions if each.name in bound),
        notes=tuple(log.notes),
        values={name: reader.outer(name) or NOTHING for name in reads},
        future_annotations=reader.future_annotations,
    )


def _run(reader: Statements, python: Python) -> list[Defined]:
    definitions: list[Defined] = []
    last = python.tree.body[-1] if python.tree.body else None
    for statement in python.tree.body:
        if reader.unreachable:
            break
        if isinstance(statement, ast.Expr) and statement is last and python.shown:
            reader.show(statement)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            definitions += _define(reader, statement)
        else:
            reader.statement(statement)
    return definitions


def _define(
    reader: Statements,
    statement: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom,
) -> list[Defined]:
    mutated, slots = len(reader.log.mutated), dict(reader.module.global_slots)
    reader.captured = set()
    reader.statement(statement)
    reads, reader.captured = frozenset(reader.captured), None
    after = reader.module.global_slots
    names = [name for name, slot in after.items() if slots.get(name) is not slot]
    # A definition also depends on names that the same cell binds.
    inner = {node.id for part in _evaluated(statement) for node in ast.walk(part) if isinstance(node, ast.Name)}
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [
            Defined(
                alias.asname or (alias.name.partition(".")[0] if isinstance(statement, ast.Import) else alias.name),
                first,
                statement.end_lineno or first,
                NOTHING,
                _import(statement, alias),
                frozenset(),
                True,
            )
            for alias in statement.names
            if alias.name != "*"
        ]
    value = after[statement.name].value if statement.name in after else NOTHING
    pure = mutated == len(reader.log.mutated) and names == [statement.name]
    return [
        Defined(statement.name, first, statement.end_lineno or first, value, "", reads | (inner & set(slots)), pure)
    ]


def _import(statement: ast.Import | ast.ImportFrom, alias: ast.alias) -> str:
    if isinstance(statement, ast.ImportFrom):
        return ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))
    return ast.unparse(ast.Import([alias]))


def _evaluated(statement: ast.stmt) -> list[ast.AST]:
    """Return the names that Python evaluates when it executes a definition; bodies of functions are excluded."""
    found: list[ast.AST] = []
    ahead: list[ast.AST] = [statement]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            arguments = node.args
            ahead += [*arguments.defaults, *(each for each in arguments.kw_defaults if each is not None)]
            if not isinstance(node, ast.Lambda):
                ahead += node.decorator_list
                everything = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
                ahead += [each.annotation for each in everything if each.annotation is not None]
                ahead += [node.returns] if node.returns is not None else []
        else:
            if isinstance(node, ast.Name):
                found.append(node)
            ahead += list(ast.iter_child_nodes(node))
    return found


def _lines(reads: Mapping[str, NameRead], *, soft: bool) -> dict[str, int]:
    return {name: seen.line for name, seen in reads.items() if seen.soft is soft}


def _unknown_objects() -> Callable[[str], Value | None]:
    """Return a function `outer` that returns None for names of Python and IPython, else an unknown object."""
    found: dict[str, Value] = {}

    def outer(name: str) -> Value | None:
        if name in known.BUILTINS or name in known.IPYTHON:
            return None
        return found.setdefault(name, frozenset({AbstractObject(label=name)}))

    return outer
