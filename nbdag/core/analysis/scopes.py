"""Python's scopes: the local names of a function, and the possible values of each name at a point of the code."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from .objects import NOTHING, AbstractObject, FunctionEffects, Value

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Bound(Enum):
    """Whether a name is bound."""

    YES = auto()
    MAYBE = auto()
    NO = auto()  # every path deletes the name
    MAYBE_NOT = auto()  # some paths delete the name, others leave it unchanged


class Slot(NamedTuple):
    """The value of a name at a point of the code."""

    value: Value
    bound: Bound
    line: int


class Scope(Enum):
    """The kinds of scopes."""

    MODULE = auto()
    FUNCTION = auto()
    CLASS = auto()
    COMPREHENSION = auto()


@dataclass(slots=True, eq=False)
class Frame:
    """One scope while its code is interpreted."""

    scope: Scope
    parent: Frame | None = None
    names: dict[str, Slot] = field(default_factory=dict)  # local names bound so far
    global_slots: dict[str, Slot] = field(default_factory=dict)  # global names bound so far, in a module or function
    local: frozenset[str] = frozenset()  # all local names of a function or comprehension
    globals: frozenset[str] = frozenset()
    nonlocals: frozenset[str] = frozenset()
    # Key: local name that inner functions may read; value: all values that the name has at any time.
    all_values: dict[str, Value] = field(default_factory=dict)
    code: FunctionEffects | None = None  # the function's effects; None for any other scope
    # Only for a function. Key: global name that the function reads; value: symbolic object for this name.
    global_objects: dict[str, AbstractObject] = field(default_factory=dict)
    # The frame of a function or module has itself as `body_frame`. Any other frame has the innermost function or module
    # around it.
    body_frame: Frame = field(init=False)

    def __post_init__(self) -> None:
        has_body = self.scope is Scope.MODULE or self.scope is Scope.FUNCTION or self.parent is None
        self.body_frame = self if has_body or self.parent is None else self.parent.body_frame

    def chain(self) -> Iterator[Frame]:
        """Yield the frame and its enclosing frames, up to its `body_frame`."""
        frame: Frame | None = self
        while frame is not None:
            yield frame
            if frame is self.body_frame:
                return
            frame = frame.parent


class State(NamedTuple):
    """The values of all names at a point of the code; None stands for a point that is unreachable."""

    frames: tuple[tuple[Frame, dict[str, Slot], dict[str, Slot]], ...]


def save(frame: Frame) -> State:
    """Return a snapshot of the names."""
    return State(tuple((each, dict(each.names), dict(each.global_slots)) for each in frame.chain()))


def restore(state: State) -> None:
    """Restore a snapshot."""
    for frame, names, world in state.frames:
        frame.names, frame.global_slots = dict(names), dict(world)


def join(states: Iterable[State | None]) -> State | None:
    """Return the merged state of several control-flow paths."""
    known = [state for state in states if state is not None]
    if not known:
        return None
    first, *others = known
    for other in others:
        first = State(
            tuple(
                (frame, _join(names, theirs), _join(world, their_world))
                for (frame, names, world), (_, theirs, their_world) in zip(first.frames, other.frames, strict=True)
            )
        )
    return first


def _join(one: dict[str, Slot], other: dict[str, Slot]) -> dict[str, Slot]:
    if one == other:
        return dict(one)
    return {name: _meet(one.get(name), other.get(name)) for name in {**one, **other}}


def _meet(one: Slot | None, other: Slot | None) -> Slot:
    if one is None or other is None:
        only = one or other
        assert only is not None
        lost = only.bound in (Bound.NO, Bound.MAYBE_NOT)
        return Slot(only.value, Bound.MAYBE_NOT if lost else Bound.MAYBE, only.line)
    bound = one.bound if one.bound is other.bound else Bound.MAYBE
    if {one.bound, other.bound} == {Bound.NO, Bound.MAYBE_NOT}:
        bound = Bound.MAYBE_NOT
    # Prefer the line of a binding to the line of a deletion.
    line = other.line if one.bound is Bound.NO else one.line
    return Slot(one.value | other.value, bound, line)


class Names(NamedTuple):
    """The names of a function's body."""

    bound: frozenset[str]
    globals: frozenset[str]
    nonlocals: frozenset[str]
    generator: bool
    nested: bool  # whether the body contains inner functions


def names_of(body: Iterable[ast.AST]) -> Names:
    """Return the names that a body binds and declares. Inner scopes are excluded, except `:=` in comprehensions."""
    bound: set[str] = set()
    outer: set[str] = set()
    enclosing: set[str] = set()
    generator = nested = False
    ahead: list[tuple[ast.AST, bool]] = [(node, False) for node in body]
    while ahead:
        node, inside = ahead.pop()  # `inside`: whether the node is in a comprehension, which has its own targets
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()) if not inside:
                bound.add(node.id)
            case ast.NamedExpr():
                bound.add(node.target.id)
                ahead.append((node.value, inside))
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                nested = True
                bound.add(node.name)
                ahead += [(each, inside) for each in _outer_parts(node)]
                continue
            case ast.Lambda():
                nested = True
                ahead += [(each, inside) for each in _outer_parts(node)]
                continue
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                ahead += [(each, True) for each in ast.iter_child_nodes(node)]
                continue
            case ast.Import() | ast.ImportFrom():
                bound.update((alias.asname or alias.name.partition(".")[0]) for alias in node.names)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                bound.add(name)
            case ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case ast.Global():
                outer.update(node.names)
            case ast.Nonlocal():
                enclosing.update(node.names)
            case ast.Yield() | ast.YieldFrom():
                generator = True
            case _ if type(node).__name__ == "TypeAlias":
                bound.add(node.name.id)  # type: ignore[attr-defined]
                continue
        ahead += [(each, inside) for each in ast.iter_child_nodes(node)]
    return Names(frozenset(bound - outer - enclosing), frozenset(outer), frozenset(enclosing), generator, nested)


def _outer_parts(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda) -> list[ast.AST]:
    """Return the parts of a definition that Python evaluates in the enclosing scope."""
    parts: list[ast.AST] = []
    if not isinstance(node, ast.Lambda):
        parts += node.decorator_list
    if isinstance(node, ast.ClassDef):
        return [*parts, *node.bases, *node.keywords]
    arguments = node.args
    return [*parts, *arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def all_values_of(frame: Frame, name: str) -> Value:
    """Return all values that a name of an enclosing function has at any time."""
    return frame.all_values.get(name, NOTHING)
