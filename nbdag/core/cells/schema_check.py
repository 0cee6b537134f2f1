"""Check a value by a JSON schema, and report the part of the value that breaks a rule."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from ..options.option_types import nearest

KIND_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "None",
    "array": "a list",
    "object": "a mapping",
}
# Key: format; value: its name in messages, and a function that checks a text. If the text does not have this format,
# the function raises ValueError or returns None.
_FORMATS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "date": ("a date such as 2026-01-31", date.fromisoformat),
    "date-time": ("a date and time such as 2026-01-31T06:00", datetime.fromisoformat),
    "time": ("a time such as 06:00", time.fromisoformat),
    "uuid": ("a UUID", UUID),
    "email": ("an e-mail address", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+").fullmatch),
    "uri": ("a URL", re.compile(r"[A-Za-z][\w+.-]*:\S+").fullmatch),
    "regex": ("a regular expression", re.compile),
}
# Keywords of JSON Schema that only describe a value.
_DESCRIPTIVE_KEYWORDS = frozenset(
    {
        "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "x-python",
        "x-annotation", "x-members", "values_display", "section", "description_md", "suggested_values",
    }
)  # fmt: skip
# Keywords of JSON Schema that `check_value` checks.
CHECKED_KEYWORDS = frozenset(
    {
        "type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "items", "prefixItems",
        "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties", "minProperties",
        "maxProperties",
    }
)  # fmt: skip
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})


class RuleError(Exception):
    """A value breaks a rule.

    `path` leads to the part of the value that breaks the rule, and `value` is this part. `why` is the rule in words.
    """

    def __init__(self, path: str, value: Any, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.path, self.value, self.why, self.hint = path, value, why, hint


def allowed_kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the types of JSON that a schema allows, or an empty set if the schema does not restrict the type."""
    kind = schema.get("type")
    if kind is not None:
        return {kind} if isinstance(kind, str) else set(kind)
    found: set[str] = set()
    for each in schema.get("anyOf", schema.get("oneOf", ())):
        found |= allowed_kinds(each)
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    found |= {names.get(type(each), "") for each in schema.get("enum", ())}
    return found


def check_value(schema: Mapping[str, Any], value: Any, path: str = "") -> None:
    """Raise `RuleError` if a value of JSON breaks a rule of its schema."""
    if "const" in schema and not equal(value, schema["const"]):
        raise RuleError(path, value, f"must be {schema['const']!r}")
    if "enum" in schema and not any(equal(value, each) for each in schema["enum"]):
        choices = [*schema["enum"], *(each for each in schema.get("x-members", ()) if each not in schema["enum"])]
        values = [each for each in schema["enum"] if isinstance(each, str)]
        similar = nearest(str(value), values) or nearest(str(value), schema.get("x-members", ()))
        hint = f"did you mean {similar!r}?" if similar else ""
        raise RuleError(path, value, f"must be one of {', '.join(repr(each) for each in choices)}", hint)
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        words = [KIND_WORDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        if kinds == "string" and schema.get("format") in _FORMATS:
            words = [_FORMATS[schema["format"]][0]]
        raise RuleError(path, value, f"must be {' or '.join(words)}", example_of(schema, value))
    _check_combined(schema, value, path)
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(schema, value, path)
    elif isinstance(value, str):
        _check_text(schema, value, path)
    elif isinstance(value, list):
        _check_list(schema, value, path)
    elif isinstance(value, Mapping):
        _check_mapping(schema, value, path)


def _check_combined(schema: Mapping[str, Any], value: Any, path: str) -> None:
    for each in schema.get("allOf", ()):
        check_value(each, value, path)
    for keyword in ("anyOf", "oneOf"):
        if keyword not in schema:
            continue
        broken: list[tuple[Mapping[str, Any], RuleError]] = []
        for each in schema[keyword]:
            try:
                check_value(each, value, path)
            except RuleError as error:
                broken.append((each, error))
        fits = len(schema[keyword]) - len(broken)
        if fits == 0:
            # Report the broken rule of the alternative with the right type, because that is clearer than a list of all
            # alternatives.
            for each, failure in broken:
                if any(_is(value, kind) for kind in allowed_kinds(each)):
                    raise failure
            rules = list(dict.fromkeys(failure.why for _, failure in broken))
            if all(rule.startswith("must be ") for rule in rules):
                rules[1:] = [rule.removeprefix("must be ") for rule in rules[1:]]
            raise RuleError(path, value, " or ".join(rules))
        if keyword == "oneOf" and fits > 1:
            raise RuleError(path, value, "must match exactly one of its alternatives")
    if "not" in schema:
        try:
            check_value(schema["not"], value, path)
        except RuleError:
            return
        raise RuleError(path, value, "must not match what its schema excludes")


def _check_number(schema: Mapping[str, Any], value: float, path: str) -> None:
    # Comparisons with NaN are false, so NaN breaks every bound.
    holds = {
        "minimum": ("at least", operator.ge),
        "exclusiveMinimum": ("more than", operator.gt),
        "maximum": ("at most", operator.le),
        "exclusiveMaximum": ("less than", operator.lt),
    }
    for keyword, (words, compare) in holds.items():
        if keyword in schema and not compare(value, schema[keyword]):
            raise RuleError(path, value, f"must be {words} {schema[keyword]}")
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        raise RuleError(path, value, f"must be a multiple of {step}")


def _check_text(schema: Mapping[str, Any], value: str, path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise RuleError(path, value, f"must have at least {schema['minLength']} characters")
    if len(value) > schema.get("maxLength", len(value)):
        raise RuleError(path, value, f"must have at most {schema['maxLength']} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise RuleError(path, value, f"must match the pattern {schema['pattern']}")
    if schema.get("format") in _FORMATS:
        words, read = _FORMATS[schema["format"]]
        try:
            is_valid = read(value) is not None
        except (ValueError, re.error):
            is_valid = False
        if not is_valid:
            raise RuleError(path, value, f"must be {words}")


def _check_list(schema: Mapping[str, Any], value: list[Any], path: str) -> None:
    if len(value) < schema.get("minItems", 0):
        raise RuleError(path, value, f"must have at least {schema['minItems']} elements")
    if len(value) > schema.get("maxItems", len(value)):
        raise RuleError(path, value, f"must have at most {schema['maxItems']} elements")
    if schema.get("uniqueItems") and any(equal(a, b) for n, a in enumerate(value) for b in value[:n]):
        raise RuleError(path, value, "must have no element twice")
    first = schema.get("prefixItems", ())
    for n, each in enumerate(value):
        rule = first[n] if n < len(first) else schema.get("items", {})
        if isinstance(rule, Mapping):
            check_value(rule, each, f"{path}[{n}]")


def _check_mapping(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> None:
    if len(value) < schema.get("minProperties", 0):
        raise RuleError(path, value, f"must have at least {schema['minProperties']} entries")
    if len(value) > schema.get("maxProperties", len(value)):
        raise RuleError(path, value, f"must have at most {schema['maxProperties']} entries")
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise RuleError(path, value, f"must have the key {name!r}")
    for name, each in value.items():
        rule = known.get(name, schema.get("additionalProperties", {}))
        if rule is False:
            similar = nearest(str(name), known)
            hint = f"did you mean {similar!r}?" if similar else ""
            raise RuleError(path, value, f"must not have the key {name!r}", hint)
        if isinstance(rule, Mapping):
            check_value(rule, each, f"{path}[{name!r}]")


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
    return True


def equal(a: Any, b: Any) -> bool:
    """Return whether two values of JSON are equal. 1 and True are not equal."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def example_of(schema: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str) and schema.get("type") in ("array", "object"):
        example = "{key: value}" if schema["type"] == "object" else "[1, 2]"
        return f"write YAML, such as -y 'NAME: {example}'"
    return ""


def unknown_keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keywords of a schema that `check_value` does not check."""
    yield from (
        key for key in schema if key not in CHECKED_KEYWORDS | _DESCRIPTIVE_KEYWORDS and not key.startswith("x-")
    )


def wrong_rules(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each keyword that has an invalid value in the schema, with a text such as "must be a number"."""
    for keyword in _BOUNDS & schema.keys():
        bound = schema[keyword]
        compared = not allowed_kinds(schema) or bool(allowed_kinds(schema) & {"integer", "number"})
        if compared and (isinstance(bound, bool) or not isinstance(bound, int | float)):
            yield keyword, "must be a number"
    for keyword in _SIZES & schema.keys():
        if type(schema[keyword]) is not int:
            yield keyword, "must be an integer"
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except (re.error, TypeError) as failure:
            yield "pattern", f"must be a regular expression ({failure})"
