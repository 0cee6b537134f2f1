"""Report stored values that hold a secret: other tasks and the value store get it in plain text.

Only pickles are searched, not the memory of arrays, and only for secrets that the task has looked up or could have.
"""

from __future__ import annotations

from ...core.model.job import Note
from ...secrets.masker import known
from ...values import Saved
from .messages import KernelRequest

_MAX_SEARCHED = 10_000_000  # bytes of a pickle that is searched


def secret_notes(request: KernelRequest, saved: Saved) -> list[Note]:
    """Return a note for each stored value that holds a secret."""
    if not known:
        return []
    return [
        Note(code="NB473", name=name, message=_message(name, request.readers.get(name)))
        for name, pickled in saved.pickled.items()
        if len(pickled.data) <= _MAX_SEARCHED and known.are_in(bytes(pickled.data).decode(errors="replace"))
    ]


def _message(name: str, reader: str | None) -> str:
    where = f"in {reader}" if reader else "in the task that needs it"
    return f"{name} holds a secret, so the value store has it in plain text: look it up {where} instead (nbdag.secret)"
