"""The base class of errors.

Every error that nbdag raises on purpose is an `NbdagError`. It has fields with data, and its message is one sentence
with the cause and the next step. A command prints the message and exits with `exit_code`; a traceback of nbdag itself
is a bug. An error is defined in the module that raises it, or here if several packages raise it.

    @error
    class UnknownRunError(NbdagError):
        \"\"\"No run has this id.\"\"\"

        run: str
        home: Path
        template = "unknown run {run!r} in {home}; `nbdag runs` lists the runs"

The template is formatted with the error's attributes; text that must be computed is a property of the class.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

_E = TypeVar("_E", bound="NbdagError")


class NbdagError(Exception):
    """An error that a user can fix. `str()` returns one sentence with the cause and the next step."""

    exit_code: ClassVar[int] = 1
    template: ClassVar[str] = ""  # the sentence; names in braces are attributes of the error

    def __post_init__(self) -> None:
        self.args = tuple(getattr(self, each.name) for each in fields(self))  # type: ignore[arg-type]  # see `error`

    def __str__(self) -> str:
        return self.template.format_map(_Attributes(self)) if self.template else super().__str__()


@dataclass_transform(eq_default=False)
def error(cls: type[_E]) -> type[_E]:
    """Turn an error class into a dataclass that can be pickled; its fields are the arguments of the error."""
    return dataclass(eq=False, repr=False)(cls)


class _Attributes:
    """Maps names to the attributes of an error, for `str.format_map`."""

    def __init__(self, error: NbdagError) -> None:
        self._error = error

    def __getitem__(self, name: str) -> Any:
        return getattr(self._error, name)


class Skip(NbdagError):
    """An exception that skips the task whose cell raises it: `raise nbdag.Skip("no new files")`."""


class Fail(NbdagError):
    """An exception that fails the task whose cell raises it, without a retry: `raise nbdag.Fail("bad input")`."""
