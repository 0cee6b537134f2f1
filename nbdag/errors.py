"""What can go wrong, in words that a person can act on.

Every error that nbdag raises on purpose is an `NbdagError`: it carries data, names the culprit and says the next
step in one sentence. A surface prints that sentence and exits with `exit_code`; a traceback of nbdag's own is a bug.
An error lives beside the code that raises it unless several layers raise it; then it lives here.
"""

from __future__ import annotations


class NbdagError(Exception):
    """Something that a person can mend. `str()` is one sentence with the place and the next step."""

    exit_code = 1


class Skip(NbdagError):
    """Raise it in a task's cell to skip the task: `raise nbdag.Skip("no new files")`."""


class Fail(NbdagError):
    """Raise it in a task's cell to fail the task for good, without a retry: `raise nbdag.Fail("bad input")`."""
