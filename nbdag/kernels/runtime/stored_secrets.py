"""Report stored values that contain a secret, because the value store and other tasks get the secret in plain text.

Only pickles are searched, not the memory of arrays. The search is for secrets that the task has looked up or could look
up.
"""

from __future__ import annotations

from ...core.model.job import Note
from ...secrets.masker import known
from ...values import Saved
from .messages import KernelRequest

_MAX_SEARCHED = 10_000_000  # maximum number of bytes of a pickle that are searched


def secret_notes(request: KernelRequest, saved: Saved) -> list[Note]:
    """Return a note for each stored value that contains a secret."""
    if not known:
        return []
    return [
        Note(code="NB473", name=name, message=_message(name, request.readers.get(name)))
        for name, pickled in saved.pickled.items()
        if len(pickled.data) <= _MAX_SEARCHED and known.are_in(bytes(pickled.data).decode(errors="replace"))
    ]


def _message(name: str, reader: str | None) -> str:
    where = f"in {reader}" if reader else "in the task that needs it"
    return f"{name} contains a secret, which is stored in plain text: look it up {where} instead (nbdag.secret)"
