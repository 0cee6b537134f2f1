"""A cell that looks whether something is so, again and again.

    %%task wait --operator sensor --poke 1m --timeout 6h
    from pathlib import Path
    Path("inbox/done").exists()

The cell's last expression is the question. Headlessly, a false answer makes the task look again after `--poke`, until
`--timeout`; in the notebook the cell runs once and shows the answer. The names that the cell sets are passed on as any
task's are. The source is the body as it stands: the task's kernel asks for what its last expression gave.
"""

from __future__ import annotations

import ast

from ..core.cells.source import SyntaxProblem, to_python
from ..core.options.options import TaskOptions
from . import OperatorError
from .tasks import Operator


class Sensor(Operator):
    """Leaves the body as it is, and sees to it that it ends with a question."""

    def source(self, body: str, options: TaskOptions) -> str:
        python = to_python(body)
        if isinstance(python, SyntaxProblem):
            return body  # analysis says so, with the place
        last = max((n for n, line in enumerate(body.split("\n"), 1) if line.strip()), default=1)
        if not python.tree.body or not isinstance(python.tree.body[-1], ast.Expr):
            message = "a sensor ends with the expression that it waits for"
            raise OperatorError(message, hint='end the cell with one, such as Path("done").exists()', line=last)
        if not python.shown:
            # IPython drops the value of what ends with ;, so it would never be true.
            raise OperatorError("a sensor's last expression ends with ;", hint="remove the ;", line=last)
        return body
