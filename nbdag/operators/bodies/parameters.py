"""Parse the body of `notebook` and `trigger`: the name of a pipeline in the first line, its parameters below.

    train.ipynb
    alpha = best_alpha
    regions = ["eu", region]

The parameters are Python assignments, so a value is an expression that reads names as any cell does. The assigned names
exist only in the other pipeline.
"""

from __future__ import annotations

import ast
from typing import Any

from ..base import OperatorError
from .calls import fields, render_literals, write_call, write_pieces


def pipeline_call(function: str, body: str, what: str, **arguments: Any) -> str:
    """Return the call of `function` with the pipeline, its `parameters`, and these arguments. Raise `OperatorError`."""
    lines = body.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None:
        raise OperatorError(f"the cell names no {what}", hint=f"write the {what} in the first line below the header")
    name = lines[first].strip()
    parameters = _parameters("\n" * (first + 1) + "\n".join(lines[first + 1 :]))
    pieces = write_pieces(name, fields(name), what=f"the {what}")
    call = write_call(function, [f"({', '.join(pieces)},)"], **arguments)
    return f"{call[:-1]}, parameters=dict({parameters}))"


def _parameters(code: str) -> str:
    """Return the assignments as keyword arguments of a call, each on its original line."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError) as failure:
        line = getattr(failure, "lineno", None) or 1
        reason = getattr(failure, "msg", None) or str(failure)
        hint = "write name = value, one parameter in each line"
        raise OperatorError(f"the parameters are not Python ({reason})", hint=hint, line=line) from None
    seen: set[str] = set()
    made, at = "", 1
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in seen:
                seen.add(name)
            case _:
                hint = "write name = value, one parameter in each line, each name once"
                raise OperatorError("a line below the first line is not a parameter", hint=hint, line=statement.lineno)
        source = render_literals(ast.get_source_segment(code, value) or "", first_line=statement.lineno)
        made += "\n" * (statement.lineno - at) + f"{name}=({source}), "
        at = statement.lineno + source.count("\n")
    return made + "\n" * (code.count("\n") + 1 - at)
