"""The operator `empty`: a task that does nothing, to join branches or to give a group of tasks one name.

%%task loaded --operator empty --after load_eu load_us --trigger none_failed_min_one_success
"""

from __future__ import annotations

from ..core.options.options import TaskOptions
from .base import OperatorError
from .tasks import Operator


class Empty(Operator):
    """Translates an empty body into empty source."""

    summary = "The cell has no body; the task only joins other tasks (--after, --trigger)."
    example = "%%task loaded --operator empty --after load_eu load_us"
    needs_body = False

    def source(self, body: str, options: TaskOptions) -> str:
        for line, text in enumerate(body.split("\n"), 1):
            if text.strip() and not text.lstrip().startswith("#"):
                message = "the operator empty runs no code, but the cell contains code"
                raise OperatorError(message, hint="remove the code, or --operator empty", line=line)
        if options.out:
            raise OperatorError("the operator empty has no result for --out", hint="remove --out")
        return body
