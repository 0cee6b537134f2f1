"""The operator `sensor`: a cell that is polled until its last expression is true.

    %%task wait --operator sensor --poke 1m --timeout 6h
    from pathlib import Path
    Path("inbox/done").exists()

In a headless run, the cell is polled: while its last expression is false, it runs again every `--poke`, until
`--timeout`. In the notebook the cell runs once and displays the value. Other tasks can read the variables of the cell,
as with any task. The operator returns the body unchanged; the task's kernel checks the value of the last expression.
"""

from __future__ import annotations

import ast

from ..core.cells.source import SyntaxProblem, to_python
from ..core.options.options import TaskOptions
from .base import OperatorError
from .tasks import Operator


class Sensor(Operator):
    """Checks that the body ends with an expression, and returns the body unchanged."""

    summary = "The body is Python, repeated every --poke until its last expression is true, or until --timeout."
    example = '%%task wait --operator sensor --poke 1m --timeout 6h\nPath("inbox/done").exists()'

    def source(self, body: str, options: TaskOptions) -> str:
        python = to_python(body)
        if isinstance(python, SyntaxProblem):
            return body  # not reported here: the analysis reports the syntax error
        last = max((n for n, line in enumerate(body.split("\n"), 1) if line.strip()), default=1)
        if not python.tree.body or not isinstance(python.tree.body[-1], ast.Expr):
            message = "a sensor must end with an expression"
            raise OperatorError(
                message, hint='end the cell with the condition to wait for, such as Path("done").exists()', line=last
            )
        if not python.shown:
            # IPython drops the value of an expression that ends with a semicolon, so the sensor would never succeed.
            raise OperatorError("a sensor's last expression ends with ;", hint="remove the ;", line=last)
        return body
