"""Errors that a person can act on.

Every error that nbdag raises on purpose is an `NbdagError`: it carries data, names the culprit and offers the next
step in one sentence. A surface prints that sentence and exits with `exit_code`; a traceback of nbdag's own is a bug.
An error lives beside the code that raises it unless several layers raise it; then it lives here.

    @error
    class UnknownRunError(NbdagError):
        \"\"\"No run has this id.\"\"\"

        run: str
        home: Path
        template = "unknown run {run!r} in {home}; `nbdag runs` lists the runs"

The template is filled in from the error's attributes, so a part that depends on the data is a property.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

_E = TypeVar("_E", bound="NbdagError")


class NbdagError(Exception):
    """Something that a person can fix. `str()` is one sentence with the place and the next step."""

    exit_code: ClassVar[int] = 1
    template: ClassVar[str] = ""  # of the sentence; names in braces are attributes of the error

    def __post_init__(self) -> None:
        self.args = tuple(getattr(self, each.name) for each in fields(self))  # type: ignore[arg-type]  # see `error`

    def __str__(self) -> str:
        return self.template.format_map(_Attributes(self)) if self.template else super().__str__()


@dataclass_transform(eq_default=False)
def error(cls: type[_E]) -> type[_E]:
    """Make a class of error a dataclass: its fields are its arguments, and it can be pickled."""
    return dataclass(eq=False, repr=False)(cls)


class _Attributes:
    """The attributes of an error, as `str.format_map` asks for them."""

    def __init__(self, error: NbdagError) -> None:
        self._error = error

    def __getitem__(self, name: str) -> Any:
        return getattr(self._error, name)


class Skip(NbdagError):
    """Raise it in a task's cell to skip the task: `raise nbdag.Skip("no new files")`."""


class Fail(NbdagError):
    """Raise it in a task's cell to fail the task for good, without a retry: `raise nbdag.Fail("bad input")`."""
