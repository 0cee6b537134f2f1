"""The options that operators declare for themselves, such as --subject of the operator email.

Operators are in a higher layer, which `core` must not import. So the parser, the help and the completion of headers
query a registry, which this module keeps. `nbdag.operators` installs the registry when it is imported. Before that,
only the options of `options.TaskOptions` are known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from .declaration import Option
from .option_types import Kind


@dataclass(frozen=True, slots=True)
class OperatorHelp:
    """The help that `%%task?` shows about one operator."""

    name: str
    summary: str  # one or two sentences: what the code below the header is, and what the operator does
    example: str = ""  # text of an example cell
    options: tuple[Option, ...] = ()


class Registry(Protocol):
    """The operators that are installed."""

    def names(self) -> Iterable[str]:
        """Return the names of all operators."""

    def options_of(self, operator: str) -> tuple[Option, ...]:
        """Return the options that an operator declares, or () if the operator is unknown or cannot be loaded."""

    def help_of(self, operator: str) -> OperatorHelp | None:
        """Return the help of an operator, or None if it cannot be loaded."""


class _NoOperators:
    def names(self) -> Iterable[str]:
        return ()

    def options_of(self, operator: str) -> tuple[Option, ...]:
        return ()

    def help_of(self, operator: str) -> OperatorHelp | None:
        return None


_registry: Registry = _NoOperators()


def operator_option(flag: str, kind: Kind, help: str, *, default: Any = None, recipients: bool = False) -> Option:
    """Return the declaration of an option that only one operator has.

    The operator writes the option's value into the source of the task, so the option affects the task's result.
    `default` is the value if the header does not set the option; the help text must mention this default. `recipients`:
    values may contain tokens, so they are masked where options are shown.
    """
    return Option(
        flag=flag,
        field=flag.replace("-", "_"),
        kind=kind,
        help=help,
        group="",
        affects_result=True,
        default=default,
        recipients=recipients,
    )


def install(registry: Registry) -> None:
    """Make the options of installed operators known to headers."""
    global _registry
    _registry = registry


def operator_names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    return tuple(sorted(_registry.names()))


def options_of_operator(operator: str) -> tuple[Option, ...]:
    """Return the options that an operator declares."""
    return _registry.options_of(operator)


def help_of_operators() -> tuple[OperatorHelp, ...]:
    """Return the help of all operators that can be loaded, sorted by name."""
    found = (_registry.help_of(name) for name in operator_names())
    return tuple(each for each in found if each is not None)


def operators_with(flag: str) -> tuple[str, ...]:
    """Return the names of the operators that declare an option of this name."""
    return tuple(name for name in operator_names() if any(each.flag == flag for each in options_of_operator(name)))
