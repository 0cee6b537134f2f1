"""Check the values of a run's parameters by the schemas of `parameter_schema`, before anything runs.

Values may come as text from a command line (`FromText`): the schema decides what the text means, so `-p version 1.10`
is the text "1.10" for a `str` and a number for a `float`. A parameter without an annotation accepts any value, except
that a text is rejected if its default is written as a list, tuple, set or dict: a cell that expects a list and gets a
text fails late, or iterates over single characters.

A run records values as JSON. `kernel_value` returns what the kernel gets. For a date, path, tuple, set or member of an
enum, this is source code that creates the value.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from ...errors import NbdagError, error
from ..model.masking import is_reference, is_secret, masked_value
from ..options.option_types import nearest
from .source import Python, to_python

_KINDS: Mapping[type[ast.expr], str] = {
    ast.List: "list",
    ast.ListComp: "list",
    ast.Tuple: "tuple",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Dict: "dict",
    ast.DictComp: "dict",
}
_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "None",
    "array": "a list",
    "object": "a mapping",
}
# Key: format; value: its name in messages, and a function that raises ValueError or returns None for a text without
# this format.
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
_DESCRIPTIVE = frozenset(
    {
        "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "x-python",
        "x-annotation", "x-members", "values_display", "section", "description_md", "suggested_values",
    }
)  # fmt: skip
_CHECKED = frozenset(
    {
        "type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "items", "prefixItems",
        "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties", "minProperties",
        "maxProperties",
    }
)  # fmt: skip

_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})


class FromText(str):
    """The text of a value on a command line, whose type is not known yet."""


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


@error
class ParameterTypeError(NbdagError):
    """A parameter whose default is a list, tuple, set or dict was given a text."""

    name: str
    kind: str  # name of the default's type, such as list
    text: str
    exit_code = 2
    template = "parameter {name} is a {kind}, but its value is the text {text!r}; write -y '{name}: {example}'"

    @property
    def example(self) -> str:
        """An example of a valid value: the given text if the text is a collection in YAML, else a short collection."""
        text = self.text.strip()
        if text[:1] + text[-1:] in ("[]", "{}") and text.isprintable() and "'" not in text:
            return text
        return "{name: value}" if self.kind == "dict" else "[1, 2]"


@error
class ParameterRuleError(NbdagError):
    """The value of a parameter breaks a rule of the parameters cell."""

    name: str
    value: str  # the value, shortened and masked
    why: str  # the rule, such as "must be at most 1"
    hint: str = ""
    exit_code = 2
    template = "parameter {name} is {value}, but {why}{advice}"

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""


class RuleError(Exception):
    """A value breaks a rule: the path inside the value, the rule in words, and perhaps a hint."""

    def __init__(self, path: str, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.path, self.why, self.hint = path, why, hint


def resolve(
    schemas: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values in the form that a run records. Raise `ParameterRuleError` or `ParameterTypeError`.

    `defaults` are source code. Names without a schema keep their values.
    """
    found = {}
    for name, value in given.items():
        schema = schemas.get(name, {})
        secret = is_secret(name) or schema.get("writeOnly")
        if is_reference(value) or (secret and isinstance(value, str) and value.startswith("secret:")):
            # The text names a secret, whose value is not known here.
            found[name] = str(value) if isinstance(value, str) else value
            continue
        try:
            found[name] = value_for(schema, value)
        except RuleError as broken:
            meant = _meant(schema, str(value)) if isinstance(value, FromText) else value
            shown = repr(masked_value(name, meant))
            shown = "***" if secret else shown if len(shown) <= 80 else f"{shown[:80]}…"
            place = f"{name}{broken.path}"
            raise ParameterRuleError(place, shown, broken.why, broken.hint) from None
    reject_text(defaults, {name: value for name, value in found.items() if not schemas.get(name, {}).get("type")})
    return found


def value_for(schema: Mapping[str, Any], value: Any) -> Any:
    """Return the value of a parameter in the form that a run records. Raise `RuleError`."""
    if isinstance(value, FromText):
        value = _meant(schema, str(value))
    if "x-members" in schema and isinstance(value, str) and value in schema["x-members"]:
        value = schema["x-members"][value]
    if value is None and schema.get("default", ...) is None:
        return None
    check_value(schema, value)
    kinds = _kinds(schema)
    if isinstance(value, float) and value.is_integer() and "integer" in kinds and "number" not in kinds:
        return int(value)
    return value


def typed(text: str) -> Any:
    """Return the value that papermill infers from a text."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:  # an integer with too many digits also raises ValueError
            pass
    return text


def _meant(schema: Mapping[str, Any], text: str) -> Any:
    """Return the value that a text means: its first interpretation that the schema allows."""
    inferred = typed(text)
    if not set(schema) & _CHECKED:
        return inferred
    kinds = _kinds(schema)
    candidates: list[Any] = [text] if kinds == {"string"} else [inferred, text]
    if "boolean" in kinds and text.lower() in ("true", "false", "yes", "no", "on", "off"):
        candidates.append(text.lower() in ("true", "yes", "on"))
    if kinds & {"array", "object"} and text.strip()[:1] in ("[", "{"):
        candidates.insert(0, _collection(text))
    for each in candidates:
        try:
            if "x-members" in schema and isinstance(each, str) and each in schema["x-members"]:
                return each
            check_value(schema, each)
        except RuleError:
            continue
        return each
    return candidates[0]


def _collection(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Return the types of JSON that a schema allows, or no types if the schema does not restrict them."""
    kind = schema.get("type")
    if kind is not None:
        return {kind} if isinstance(kind, str) else set(kind)
    found: set[str] = set()
    for each in schema.get("anyOf", schema.get("oneOf", ())):
        found |= _kinds(each)
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    found |= {names.get(type(each), "") for each in schema.get("enum", ())}
    return found


def check_value(schema: Mapping[str, Any], value: Any, path: str = "") -> None:
    """Raise `RuleError` if a value of JSON breaks a rule of its schema."""
    if "const" in schema and not _equal(value, schema["const"]):
        raise RuleError(path, f"must be {schema['const']!r}")
    if "enum" in schema and not any(_equal(value, each) for each in schema["enum"]):
        choices = [*schema["enum"], *(each for each in schema.get("x-members", ()) if each not in schema["enum"])]
        values = [each for each in schema["enum"] if isinstance(each, str)]
        similar = nearest(str(value), values) or nearest(str(value), schema.get("x-members", ()))
        hint = f"did you mean {similar!r}?" if similar else ""
        raise RuleError(path, f"must be one of {', '.join(repr(each) for each in choices)}", hint)
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        words = [_WORDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        raise RuleError(path, f"must be {' or '.join(words)}", _example(schema, value))
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
                if any(_is(value, kind) for kind in _kinds(each)):
                    raise failure
            raise RuleError(path, " or ".join(dict.fromkeys(failure.why for _, failure in broken)))
        if keyword == "oneOf" and fits > 1:
            raise RuleError(path, "must match exactly one of its alternatives")
    if "not" in schema:
        try:
            check_value(schema["not"], value, path)
        except RuleError:
            return
        raise RuleError(path, "must not match what its schema excludes")


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
            raise RuleError(path, f"must be {words} {schema[keyword]}")
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        raise RuleError(path, f"must be a multiple of {step}")


def _check_text(schema: Mapping[str, Any], value: str, path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise RuleError(path, f"must have at least {schema['minLength']} characters")
    if len(value) > schema.get("maxLength", len(value)):
        raise RuleError(path, f"must have at most {schema['maxLength']} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        raise RuleError(path, f"must match the pattern {schema['pattern']}")
    if schema.get("format") in _FORMATS:
        words, read = _FORMATS[schema["format"]]
        try:
            is_valid = read(value) is not None
        except (ValueError, re.error):
            is_valid = False
        if not is_valid:
            raise RuleError(path, f"must be {words}")


def _check_list(schema: Mapping[str, Any], value: list[Any], path: str) -> None:
    if len(value) < schema.get("minItems", 0):
        raise RuleError(path, f"must have at least {schema['minItems']} elements")
    if len(value) > schema.get("maxItems", len(value)):
        raise RuleError(path, f"must have at most {schema['maxItems']} elements")
    if schema.get("uniqueItems") and any(_equal(a, b) for n, a in enumerate(value) for b in value[:n]):
        raise RuleError(path, "must have no element twice")
    first = schema.get("prefixItems", ())
    for n, each in enumerate(value):
        rule = first[n] if n < len(first) else schema.get("items", {})
        if isinstance(rule, Mapping):
            check_value(rule, each, f"{path}[{n}]")


def _check_mapping(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> None:
    if len(value) < schema.get("minProperties", 0):
        raise RuleError(path, f"must have at least {schema['minProperties']} entries")
    if len(value) > schema.get("maxProperties", len(value)):
        raise RuleError(path, f"must have at most {schema['maxProperties']} entries")
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise RuleError(path, f"must have the key {name!r}")
    for name, each in value.items():
        rule = known.get(name, schema.get("additionalProperties", {}))
        if rule is False:
            similar = nearest(str(name), known)
            hint = f"did you mean {similar!r}?" if similar else ""
            raise RuleError(path, f"must not have the key {name!r}", hint)
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


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values of JSON are equal. 1 and True are not equal."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _example(schema: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, str) and schema.get("type") in ("array", "object"):
        example = "{key: value}" if schema["type"] == "object" else "[1, 2]"
        return f"write YAML, such as -y 'NAME: {example}'"
    return ""


def unknown_keywords(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keywords of a schema that `check_value` does not check."""
    yield from (key for key in schema if key not in _CHECKED | _DESCRIPTIVE and not key.startswith("x-"))


def wrong_rules(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keywords of a schema with which no value can be compared, each with what its value must be."""
    for keyword in _BOUNDS & schema.keys():
        bound = schema[keyword]
        compared = not _kinds(schema) or bool(_kinds(schema) & {"integer", "number"})
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
        member = next((name for name, each in schema["x-members"].items() if _equal(each, value)), None)
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


def reject_text(defaults: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raise `ParameterTypeError` if a text is given for a list, tuple, set or dict; `defaults` are source code."""
    for name, value in given.items():
        kind = _kind(defaults.get(name)) if isinstance(value, str) else ""
        if isinstance(value, str) and kind not in ("", "number"):
            raise ParameterTypeError(name, kind, str(masked_value(name, value)))


def texts_given_for_numbers(defaults: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each parameter that is a text although its default is a number."""
    for name, value in given.items():
        if isinstance(value, str) and _kind(defaults.get(name)) == "number":
            yield name, value


def _kind(source: str | None) -> str:
    if source is None:
        return ""
    match ast.parse(source, mode="eval").body:
        case ast.Constant(value=bool()):
            return ""
        case ast.Constant(value=int() | float()) | ast.UnaryOp(operand=ast.Constant(value=int() | float())):
            return "number"
        case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "dict" as kind)):
            return kind
        case other:
            return _KINDS.get(type(other), "")


def marked_secret(cells: Iterable[str]) -> frozenset[str]:
    """Return the parameters that the code of these cells annotates as secret: `nbdag.Secret`, alone or in a type."""
    found = set()
    for code in cells:
        python = to_python(code)
        for statement in python.tree.body if isinstance(python, Python) else ():
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    if any(_is_mark(node) for node in ast.walk(annotation)):
                        found.add(name)
    return frozenset(found)


def _is_mark(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="Secret") | ast.Attribute(attr="Secret"):
            return True
        case ast.Constant(value=str() as text):  # an annotation in quotes
            return re.search(r"\bSecret\b", text) is not None
    return False
