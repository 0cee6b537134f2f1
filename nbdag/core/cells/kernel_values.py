"""Convert the recorded values of parameters into the form that the kernel gets.

A run records values as JSON. For a date, path, tuple, set or member of an enum, the kernel gets source code that
creates the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..model.secret_names import is_reference
from .schema_check import RuleError, check_value, equal


class KernelCode(str):
    """A recorded value, with the source code that creates the value in the kernel."""

    code: str

    def __new__(cls, text: str, code: str = "") -> KernelCode:
        """Create the object. `text` is shown to readers."""
        made = super().__new__(cls, text)
        made.code = code
        return made

    def __reduce__(self) -> tuple[type[KernelCode], tuple[str, str]]:
        return KernelCode, (str(self), self.code)


def kernel_values(schemas: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded values in the form that the kernel gets, by name; see `kernel_value`."""
    return {name: kernel_value(schemas.get(name, {}), value) for name, value in values.items()}


def kernel_value(schema: Mapping[str, Any], value: Any) -> Any:
    """Return a recorded value in the form that the kernel gets.

    A value that JSON does not have becomes `KernelCode`.
    """
    if is_reference(value):
        return value
    code = _code(schema, value)
    return value if code is None else KernelCode(str(value), code)


def _code(schema: Mapping[str, Any], value: Any) -> str | None:
    """Return source code for a value whose Python type differs from its JSON type, or None for any other value."""
    for each in schema.get("anyOf", ()):
        try:
            check_value(each, value)
        except RuleError:
            continue
        return _code(each, value)
    kind = str(schema.get("x-python", ""))
    if isinstance(value, str) and kind in ("date", "datetime", "time"):
        return f"__import__('datetime').{kind}.fromisoformat({value!r})"
    if isinstance(value, str) and kind == "path":
        return f"__import__('pathlib').Path({value!r})"
    if kind.startswith("enum:"):
        member = next((name for name, each in schema["x-members"].items() if equal(each, value)), None)
        return None if member is None else f"{kind[5:]}.{member}"
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        rules = [first[n] if n < len(first) else schema.get("items", {}) for n in range(len(value))]
        parts = [_code(rule, each) for rule, each in zip(rules, value, strict=True)]
        if kind in ("tuple", "set") or any(part is not None for part in parts):
            inside = ", ".join(part or _literal(each) for part, each in zip(parts, value, strict=True))
            if kind == "tuple":
                return f"({inside},)" if len(value) == 1 else f"({inside})"
            return (f"{{{inside}}}" if value else "set()") if kind == "set" else f"[{inside}]"
    if isinstance(value, Mapping):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        coded = {key: _code(known.get(key, others) or {}, each) for key, each in value.items()}
        if any(part is not None for part in coded.values()):
            pairs = (f"{key!r}: {coded[key] or _literal(each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
    return None


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_literal(each)}' for key, each in value.items())}}}"
    return repr(value)
