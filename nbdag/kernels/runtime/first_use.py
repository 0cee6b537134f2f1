"""Find state in objects that a user's module creates on first use, such as a client that counts its calls.

Before the cell, such an object does not exist yet, so there is no earlier state to compare it with. Instead, its
initial values are read from the code of its class: the constants and empty containers that `__init__` assigns to
attributes. Only attributes that another method changes are compared with their initial values.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import random
import textwrap
import types
from collections.abc import Iterator
from typing import Any

from ...values.libraries import is_users_class
from .object_copies import is_ignored

_EMPTY: dict[str, object] = {"list": [], "set": set(), "dict": {}, "deque": [], "Counter": {}}
_CHANGES = frozenset(
    ["append", "extend", "insert", "add", "update", "pop", "popleft", "remove", "discard", "clear", "appendleft"]
)


def used_parts(value: object, name: str, module: types.ModuleType | None) -> Iterator[str]:
    """Yield each attribute in which an object differs from a new object, with a leading dot, such as ".calls".

    For a counter, or a random generator that was created with a seed, yield "" (the whole object), because any use
    changes it. `name` is the module's attribute that refers to the object.
    """
    if isinstance(value, itertools.count):
        yield ""
    elif isinstance(value, random.Random) or getattr(value, "bit_generator", None) is not None:
        if _has_seed(name.rpartition(".")[2], module):
            yield ""
    elif is_users_class(type(value)):
        cls: Any = type(value)  # `Any`, because mypy doubts that classes can be hashed
        for attribute, initial in _initial_values(cls).items():
            now = getattr(value, "__dict__", {}).get(attribute, initial)
            if _differs(attribute, initial, now):
                yield f".{attribute}"


def _differs(name: str, initial: object, now: Any) -> bool:
    if initial is None or (name.startswith("_") and (initial is False or isinstance(initial, dict))):
        return False  # such an attribute is probably filled on first use
    if isinstance(initial, list | set | dict):
        return isinstance(now, list | set | dict) and len(now) > 0
    return type(now) in (int, float, str, bytes, bool) and bool(now != initial)


def _has_seed(name: str, module: types.ModuleType | None) -> bool:
    """Return whether the module's code creates the object of this name by a call with arguments, such as a seed."""
    try:
        tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    except (OSError, TypeError, SyntaxError):
        return False
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=ast.Call(args=args, keywords=keywords)) if args or keywords:
                if any(getattr(each, "id", getattr(each, "attr", "")) == name for each in targets):
                    return True
    return False


@functools.cache
def _initial_values(cls: type) -> dict[str, object]:
    """Return the initial values of the attributes that a method other than `__init__` changes."""
    initial: dict[str, object] = {}
    changed: set[str] = set()
    for base in reversed([each for each in cls.__mro__ if each is not object and is_users_class(each)]):
        try:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError, SyntaxError, ValueError):
            return {}
        methods = [each for each in ast.walk(definition) if isinstance(each, ast.FunctionDef)]
        beginning = [each for each in methods if each.name in ("__init__", "__post_init__")]
        called = {_own(node.func) for each in beginning for node in ast.walk(each) if isinstance(node, ast.Call)}
        initial |= dict(_constants(beginning))
        for method in methods:
            if method not in beginning and method.name not in called:
                changed |= set(_changed(method))
    return {name: value for name, value in initial.items() if name in changed and not is_ignored(name)}


def _constants(methods: list[ast.FunctionDef]) -> Iterator[tuple[str, object]]:
    for node in (each for method in methods for each in ast.walk(method)):
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [_own(each) for each in targets]
                found = _constant(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                names, found = [_own(target)], _constant(value)
            case _:
                continue
        for name in names:
            if name:
                yield name, found


def _constant(value: ast.expr) -> object:
    """Return the value of a constant or of an empty container; None for any other expression."""
    if isinstance(value, ast.Call) and not value.args and not value.keywords:
        return _EMPTY.get(ast.unparse(value.func).rpartition(".")[2])
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return None
    return found if not isinstance(found, list | dict | set | tuple) or not found else None


def _changed(method: ast.FunctionDef) -> Iterator[str]:
    """Yield the attributes of `self` that a method changes."""
    for node in ast.walk(method):
        match node:
            case ast.AugAssign(target=target):
                yield _own(target.value if isinstance(target, ast.Subscript) else target)
            case ast.Assign(targets=targets):
                yield from (_own(each.value if isinstance(each, ast.Subscript) else each) for each in targets)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in _CHANGES:
                yield _own(value)


def _own(node: ast.expr) -> str:
    """Return the name of an attribute of `self`, or "" for any other expression."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return node.attr
    return ""
