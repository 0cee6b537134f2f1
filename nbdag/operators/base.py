"""The error `OperatorError`, and functions for all operators: the names that the notebook sets, and pulls of XComs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..errors import NbdagError, error

if TYPE_CHECKING:
    from ..templates.names import Pull


@error
class OperatorError(NbdagError):
    """An operator cannot translate a cell."""

    message: str
    hint: str = ""  # what the user can do
    line: int = 1  # line of the body, from 1
    template = "{message}{advice}"

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. nbdag's own frames are omitted, so that the traceback ends at the user's cell.
        from IPython.core.getipython import get_ipython

        frame = last = self.__traceback__
        while frame is not None:
            if not frame.tb_frame.f_globals.get("__name__", "").startswith("nbdag."):
                last = frame
            frame = frame.tb_next
        if last is not None:
            last.tb_next = None
        shell = get_ipython()
        assert shell is not None
        return list(shell.InteractiveTB.structured_traceback(type(self), self, self.__traceback__, tb_offset=1))


_known: ContextVar[Collection[str] | None] = ContextVar("known", default=None)
BodyWarning = tuple[int, str, str]  # (line of the body from 1, message, hint)


def pull_source(pull: Pull) -> str:
    """Return the Python source of a template's XCom pull, in a form that the analysis can read."""
    task = "None or ''" if pull.task is None else repr(pull.task)
    key = "" if pull.key is None else f", key={pull.key!r}" if pull.key else ", key=None or ''"
    return f"dag_run.ti.xcom_pull({task}{key})"


def known_names() -> Collection[str] | None:
    """Return the names that the notebook's cells set, or None if they are not known.

    Methods of operators may call this.
    """
    return _known.get()


@contextmanager
def known_names_set(known: Collection[str] | None) -> Iterator[None]:
    before = _known.set(known)
    try:
        yield
    finally:
        _known.reset(before)
