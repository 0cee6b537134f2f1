"""The params of a DAG, which become the parameters of the notebook."""

from __future__ import annotations

import json
from typing import Any

from ..core.options import option_types
from ..operators import OperatorError
from ..operators.tasks import Builder
from ..templates.context import Params as ParamsDict

__all__ = ["DagParam", "Param", "ParamsDict", "assignment", "parameter_name"]

_MISSING: Any = object()


class Param:
    """A parameter of the pipeline with a default, a type and a description, as JSON Schema has them."""

    def __init__(self, default: Any = _MISSING, description: str | None = None, **schema: Any) -> None:
        if default is _MISSING:
            raise OperatorError("a Param without a default is not supported", hint="write Param(5, …)")
        self.value = default
        self.description = description
        self.schema = schema

    def __repr__(self) -> str:
        return f"Param({self.value!r})"


class DagParam:
    """A parameter of the pipeline, as the code of a %%dag cell sees it: only a run knows its value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{{{{ params.{self.name} }}}}"


_TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "array": "list", "object": "dict"}


def parameter_name(name: str) -> str:
    """Return the name of a param. Raise `OperatorError` if it is no identifier of Python."""
    try:
        return option_types.read_identifier(name)
    except ValueError as error:
        raise OperatorError(f"the param {name!r} {error}", hint="rename it") from None


def assignment(name: str, given: Any, build: Builder) -> str:
    """Return the line of the parameters cell that assigns a param."""
    param = given if isinstance(given, Param) else Param(given)
    schema = dict(param.schema)
    annotation = _TYPES.get(schema["type"]) if isinstance(schema.get("type"), str) else None
    if annotation:
        del schema["type"]
    try:
        # Write even an empty JSON object, because a description such as "> 0" alone would be read as a rule.
        rules = json.dumps(schema, ensure_ascii=False) if schema or param.description else ""
    except TypeError as error:
        raise OperatorError(
            f"the schema of the param {name} is not JSON: {error}", hint="use texts and numbers"
        ) from None
    comment = " ".join([*([rules] if rules else []), *(param.description or "").split()])
    value = build.writer.expression(param.value)
    assigned = f"{name}: {annotation} = {value}" if annotation else f"{name} = {value}"
    return f"{assigned}  # {comment}" if comment else assigned
