"""The registry of types: how values of a type are pickled, fingerprinted, checked for sharing and summarised.

    from nbdag.values import TypeRule

    RULES = [TypeRule("mypackage.frames:Frame", fingerprint=lambda frame: (frame.version, frame.name))]

    [project.entry-points."nbdag.types"]
    mypackage = "mypackage.nbdag_types:RULES"

A `TypeRule` names its type and sets the fields that differ from the default; the other fields are None. All classes in
the MRO of a value's type may have rules. The value of a field comes from the nearest class whose rule sets the field.
For one class, rules of packages come before the built-in rule, so a package can replace a field of a built-in rule.

The registry imports no library. A rule names its type as "module:qualname". The module is the one that defines the
class, or an enclosing package that exports the class: "pandas:DataFrame" names pandas.core.frame.DataFrame. A module
with the rules for a package should import that package only inside functions, because every task that stores a value of
any third-party type imports the module with the rules. The search for such modules takes tens of milliseconds. So it is
made only for third-party types, and in advance in the fork server.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..errors import NbdagError, error
from .builtin_rules import BUILT_IN
from .type_rule import TypeRule

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nbdag.types"


@error
class TypeRulesError(NbdagError):
    """The rules for types of an installed package cannot be loaded."""

    package: str
    reason: str
    template = "the type rules of package {package} cannot be loaded ({reason}); repair or uninstall the package"


@lru_cache(maxsize=4096)
def rule_for(cls: type) -> TypeRule:
    """Return the rule of a type, combined from the rules of all classes in the type's MRO. Raises `TypeRulesError`."""
    by_name = _rules_by_name(_is_third_party(cls))
    parts: dict[str, Any] = {}
    for base in cls.__mro__:
        for name in _names(base):
            for rule in by_name.get(name, ()):
                for part in fields(TypeRule):
                    if parts.get(part.name) is None:
                        parts[part.name] = getattr(rule, part.name)
    return TypeRule(**{**parts, "type": f"{cls.__module__}:{cls.__qualname__}"})


@cache
def _rules_by_name(with_installed: bool) -> dict[str, list[TypeRule]]:
    found: dict[str, list[TypeRule]] = {}
    for rule in (*(_installed() if with_installed else ()), *BUILT_IN):
        found.setdefault(rule.type, []).append(rule)
    return found


def rule_of(value: object) -> TypeRule:
    """Return the rule of a value's type. Raises `TypeRulesError`."""
    return rule_for(type(value))  # type: ignore[arg-type]  # mypy doubts that classes hash


def is_safe(value: object) -> bool:
    """Return whether neither the value nor anything inside it can change."""
    return bool(rule_of(value).safe)


def _names(cls: type) -> Iterator[str]:
    """Yield the names of a class as "module:qualname".

    The module is the one that defines the class, then each enclosing package that exports the class.
    """
    module = str(cls.__module__)  # `str`, because a class may set `__module__` to any object
    yield f"{module}:{cls.__qualname__}"
    for package in accumulate(module.split(".")[:-1], lambda above, name: f"{above}.{name}"):
        # `vars` and not `getattr`, because `getattr` would trigger the imports of a lazy package.
        if package in sys.modules and vars(sys.modules[package]).get(cls.__qualname__) is cls:
            yield f"{package}:{cls.__qualname__}"


def _is_third_party(cls: type) -> bool:
    tops = {str(base.__module__).partition(".")[0] for base in cls.__mro__}
    return bool(tops - sys.stdlib_module_names - {"__main__", "nbdag"})


@cache
def search() -> tuple[EntryPoint, ...]:
    """Return the entry points of all packages with rules, without importing the packages."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


@cache
def _installed() -> tuple[TypeRule, ...]:
    return tuple(rule for point in search() for rule in _load(point))


def _load(point: EntryPoint) -> list[TypeRule]:
    try:
        return [*point.load()]
    except Exception as why:
        package = point.dist.name if point.dist else point.value
        raise TypeRulesError(package, f"{type(why).__name__}: {why}") from why
