"""How an option of a header is declared: once, with its type, its help text, and whether it affects a task's result.

The header's parser (`core.cells.header`), the help, the completion, the cache key and partial runs all read these
declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from .option_types import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """The declaration of an option that a header can set."""

    flag: str  # the name in a header, without the leading dashes, such as retry-delay
    field: str  # the field of TaskOptions or DagOptions that the option sets
    kind: Kind
    help: str
    group: str  # heading in the help
    affects_result: bool  # whether the values or the outcome of a task may depend on the option
    is_default: bool = False  # whether this is an option of %dag that sets a default for all tasks
    default: Any = None  # default value of an operator's own option
    recipients: bool = False  # whether the values are addresses, which are masked because they may contain tokens


def option(
    default: Any,
    kind: Kind,
    group: str,
    help: str,
    *,
    affects_result: bool,
    per_task: bool = False,
    recipients: bool = False,
) -> Any:  # `Any`, as in `dataclasses.field`: mypy then accepts the call as the default of a field of any type
    """Return a dataclass field that a header can set.

    `per_task`: `%dag` cannot set a default for the option. `recipients`: the option's values may contain tokens, so
    output masks them.
    """
    declared = {"kind": kind, "group": group, "help": help, "affects_result": affects_result, "per_task": per_task}
    return field(default=default, metadata={**declared, "recipients": recipients})


def dag_option(default: Any, kind: Kind, group: str, help: str, *, recipients: bool = False) -> Any:
    """Return a dataclass field that `%dag` can set.

    The option affects which tasks run and when, not what they compute.
    """
    return option(default, kind, group, help, affects_result=False, recipients=recipients)


# Fields without an option of their own.
_NOT_IN_HEADERS = frozenset({"defaults", "operator_options"})


def options_of(
    declaration: type, *, as_defaults: bool = False, taken: frozenset[str] = frozenset()
) -> tuple[Option, ...]:
    """Return the options that a dataclass declares.

    Raise `TypeError` for a field without `affects_result`: the cache key and partial runs need that flag.
    With `as_defaults`, return the options of `%dag` that set defaults for all tasks. An option whose field is in
    `taken` gets the prefix `task-`.
    """
    options = []
    for each in fields(declaration):
        if each.name in _NOT_IN_HEADERS:
            continue
        if "affects_result" not in each.metadata:
            raise TypeError(
                f"{declaration.__name__}.{each.name} does not declare affects_result; declare it with option()"
            )
        if as_defaults and each.metadata["per_task"]:
            continue
        options.append(
            Option(
                flag=("task-" if each.name in taken else "") + each.name.rstrip("_").replace("_", "-"),
                field=each.name,
                kind=each.metadata["kind"],
                help=each.metadata["help"],
                group=each.metadata["group"],
                affects_result=each.metadata["affects_result"],
                is_default=as_defaults,
                recipients=each.metadata["recipients"],
            )
        )
    return tuple(options)
