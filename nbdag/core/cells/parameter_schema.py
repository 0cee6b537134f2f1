"""The parameters of a notebook as JSON Schema, read from its parameters cell without executing it.

    alpha: float = 0.5                  # in (0, 1): the learning rate
    region: Literal["EU", "US"] = "EU"
    day: date = date(2026, 1, 31)
    depth: Annotated[int, Ge(1), Le(9)] = 3
    name: Annotated[str, {"pattern": "[a-z]+", "description": "of the table"}] = "orders"
    sizes = [1, 2]                      # type: list[int]
    share: float = 0.1                  # {"minimum": 0, "maximum": 1} of the rows

Types come from annotations and papermill's type comments. Rules come from `Annotated`, written as JSON Schema or with
the names of annotated_types and pydantic. Choices also come from `Literal` and from enums of the cell. A comment
describes the parameter, and may begin with bounds or JSON Schema. `schema_of` returns one schema of all parameters. The
help of the command line, `check --json` and forms use this schema. `parameter_types` checks values by the schemas of
the single parameters. If JSON does not have the Python type of a value, the key `x-python` names this type.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..model.secret_names import MASK, masked_value

Schema = dict[str, Any]

_TYPES: Mapping[str, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "dict": {"type": "object"},
    "Dict": {"type": "object"},
    "Mapping": {"type": "object"},
    "list": {"type": "array"},
    "List": {"type": "array"},
    "Sequence": {"type": "array"},
    "tuple": {"type": "array", "x-python": "tuple"},
    "Tuple": {"type": "array", "x-python": "tuple"},
    "set": {"type": "array", "uniqueItems": True, "x-python": "set"},
    "Set": {"type": "array", "uniqueItems": True, "x-python": "set"},
    "date": {"type": "string", "format": "date", "x-python": "date"},
    "datetime": {"type": "string", "format": "date-time", "x-python": "datetime"},
    "time": {"type": "string", "format": "time", "x-python": "time"},
    "Path": {"type": "string", "format": "path", "x-python": "path"},
    "PurePath": {"type": "string", "format": "path", "x-python": "path"},
}
# Key: name of a class in the arguments of `Annotated`; value: keywords of JSON Schema, by the position or name of the
# class's arguments.
_RULES: Mapping[str, Mapping[int | str, str]] = {
    "Ge": {0: "minimum", "ge": "minimum"},
    "Gt": {0: "exclusiveMinimum", "gt": "exclusiveMinimum"},
    "Le": {0: "maximum", "le": "maximum"},
    "Lt": {0: "exclusiveMaximum", "lt": "exclusiveMaximum"},
    "MultipleOf": {0: "multipleOf", "multiple_of": "multipleOf"},
    "MinLen": {0: "min_length", "min_length": "min_length"},
    "MaxLen": {0: "max_length", "max_length": "max_length"},
    "Len": {0: "min_length", 1: "max_length", "min_length": "min_length", "max_length": "max_length"},
    "Doc": {0: "description"},
    "doc": {0: "description"},
    "Interval": {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "lt": "exclusiveMaximum",
    },
}
_FIELD: Mapping[int | str, str] = {
    **_RULES["Interval"],
    "multiple_of": "multipleOf",
    "regex": "pattern",
    **{name: name for name in ("min_length", "max_length", "pattern", "description", "title", "examples", "format")},
}
_LENGTHS = {
    ("array", "min_length"): "minItems",
    ("array", "max_length"): "maxItems",
    ("object", "min_length"): "minProperties",
    ("object", "max_length"): "maxProperties",
}
_NUMBER = r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][-+]?\d+)?"
_BOUNDS = re.compile(
    rf"in\s*(?P<open>[\[(])\s*(?P<low>-inf|{_NUMBER})\s*,\s*(?P<high>\+?inf|{_NUMBER})\s*(?P<close>[\])])"
)
_COMPARED = re.compile(rf"(?P<sign>>=|>|<=|<)\s*(?P<limit>{_NUMBER})(?![\w.])")
_CHOICES = re.compile(r"(?:one of|in)\s*(?P<values>\{[^{}]*\}|\[[^\[\]]*\])")
_SIGNS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}
_ABSENT: Any = object()


class ReadParameter(NamedTuple):
    """A parameter as a cell sets it."""

    default: str  # source code
    schema: Schema
    line: int
    declared: bool  # whether the cell gives the parameter a type or a rule


def read_parameters(tree: ast.Module, code: str) -> dict[str, ReadParameter]:
    """Return the names that a parameters cell sets, with their last defaults and their schemas."""
    comments = _comments(code)
    enums = dict(_enums(tree))
    found: dict[str, ReadParameter] = {}
    for statement in tree.body:
        annotation: ast.expr | None = None
        match statement:
            case ast.Assign(targets=targets, value=value):
                names = [each.id for each in targets if isinstance(each, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                names, annotation = [name], statement.annotation
            case _:
                continue
        comment = comments.get(statement.end_lineno or 0, "")
        for name in names:
            schema = _parameter(value, annotation, comment, enums)
            declared = bool(set(schema) - {"default", "description"})
            found[name] = ReadParameter(ast.unparse(value), schema, statement.lineno, declared)
    return found


def schema_of(schemas: Mapping[str, Mapping[str, Any]]) -> Schema:
    """Return one JSON Schema for all parameters, from which a form can be generated. Secrets are masked."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {name: _shown(name, schema) for name, schema in schemas.items()},
        "additionalProperties": False,
    }


def type_text(schema: Mapping[str, Any]) -> str:
    """Return the type in the annotation of a parameter, or "" if the parameter has no annotation."""
    return str(schema.get("x-annotation", ""))


def rules_text(schema: Mapping[str, Any]) -> str:
    """Return the rules of a parameter in words, such as "more than 0, at most 1", or "" if it has no rules."""
    words = []
    if "enum" in schema and not type_text(schema).startswith("Literal"):
        words.append("one of " + ", ".join(repr(each) for each in schema["enum"]))
    for keyword, text in (
        ("minimum", "at least {}"),
        ("exclusiveMinimum", "more than {}"),
        ("maximum", "at most {}"),
        ("exclusiveMaximum", "less than {}"),
        ("multipleOf", "a multiple of {}"),
        ("minLength", "at least {} characters"),
        ("maxLength", "at most {} characters"),
        ("minItems", "at least {} elements"),
        ("maxItems", "at most {} elements"),
        ("pattern", "matches {}"),
    ):
        if keyword in schema:
            words.append(text.format(schema[keyword]))
    return ", ".join(words)


def _shown(name: str, schema: Mapping[str, Any]) -> Schema:
    shown = dict(schema)
    if schema.get("writeOnly") and shown.get("default"):
        shown["default"] = MASK
    elif "default" in shown:
        shown["default"] = masked_value(name, shown["default"])
        if shown["default"] != schema["default"]:
            shown["writeOnly"] = True
    return shown


def _parameter(value: ast.expr, annotation: ast.expr | None, comment: str, enums: Mapping[str, Schema]) -> Schema:
    comment, type_comment = _type_comment(comment)
    if annotation is None and type_comment:
        annotation = _parsed(type_comment)
    schema = _schema(annotation, enums) if annotation is not None else _of_default(value)
    rules, description = _of_comment(comment)
    schema = {**schema, **_with_lengths(rules, schema)}
    if description and "description" not in schema:
        schema["description"] = description
    if annotation is not None:
        schema["x-annotation"] = _written(annotation)
        if re.search(r"\bSecret\b", ast.unparse(annotation)):
            schema["writeOnly"] = True  # see `parameter_types.marked_secret`
    default = _literal(value, enums)
    if default is not _ABSENT:
        schema["default"] = default
    return schema


def _schema(annotation: ast.expr, enums: Mapping[str, Schema]) -> Schema:
    """Return the schema of an annotation, or {} if the type does not restrict the value in JSON."""
    match annotation:
        case ast.Constant(value=str() as text):
            inner = _parsed(text)
            return {} if inner is None else _schema(inner, enums)
        case ast.Constant(value=None):
            return dict(_TYPES["None"])
        case ast.Name(id=name) if name in enums:
            return dict(enums[name])
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return dict(_TYPES.get(name, {}))
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _union([_schema(left, enums), _schema(right, enums)])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            return _generic(name, parts, enums)
    return {}


def _generic(name: str, parts: list[ast.expr], enums: Mapping[str, Schema]) -> Schema:
    if name == "Optional":
        return _union([_schema(parts[0], enums), dict(_TYPES["None"])])
    if name == "Union":
        return _union([_schema(each, enums) for each in parts])
    if name in ("Final", "ClassVar", "Required"):
        return _schema(parts[0], enums)
    if name == "Literal":
        values = [_literal(each, enums) for each in parts]
        return {"enum": [each for each in values if each is not _ABSENT]}
    if name == "Annotated":
        schema = _schema(parts[0], enums)
        for each in parts[1:]:
            schema |= _with_lengths(_rule(each), schema)
        return schema
    schema = dict(_TYPES.get(name, {}))
    if schema.get("type") == "object" and len(parts) == 2:
        schema["additionalProperties"] = _schema(parts[1], enums)
    elif schema.get("x-python") == "tuple" and not (isinstance(parts[-1], ast.Constant) and parts[-1].value is ...):
        count = len(parts)
        schema |= {"prefixItems": [_schema(each, enums) for each in parts], "minItems": count, "maxItems": count}
    elif schema.get("type") == "array":
        schema["items"] = _schema(parts[0], enums)
    return schema


def _union(schemas: list[Schema]) -> Schema:
    flat: list[Schema] = []
    for each in schemas:
        flat += each["anyOf"] if set(each) == {"anyOf"} else [each]
    return {} if {} in flat else {"anyOf": flat}


def _rule(node: ast.expr) -> Schema:
    """Return the keywords of JSON Schema that correspond to an argument of `Annotated`."""
    match node:
        case ast.Constant(value=str() as text):
            return {"description": text}
        case ast.Dict():
            value = _literal(node, {})
            return value if isinstance(value, dict) else {}
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
            known = _RULES.get(name, _FIELD if name in ("Field", "Param", "Query", "Parameter") else {})
            given: dict[int | str, ast.expr] = dict(enumerate(args))
            given |= {each.arg: each.value for each in keywords if each.arg is not None}
            values = {known[key]: _literal(value, {}) for key, value in given.items() if key in known}
            return {key: value for key, value in values.items() if value is not _ABSENT and value is not None}
    return {}


def _with_lengths(rules: Schema, schema: Schema) -> Schema:
    kind = schema.get("type")
    names = {"min_length": "minLength", "max_length": "maxLength"}
    return {_LENGTHS.get((str(kind), key), names.get(key, key)): value for key, value in rules.items()}


def _of_default(value: ast.expr) -> Schema:
    """Return the schema of a parameter without an annotation, derived from the type of its default."""
    match value:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in ("date", "datetime", "Path"):
            return dict(_TYPES[name])
        case ast.Tuple():
            return {"x-python": "tuple"}
        case ast.Set():
            return {"x-python": "set"}
    return {}


def _of_comment(comment: str) -> tuple[Schema, str]:
    """Return the rules at the beginning of a comment, and the rest of the comment as the description."""
    rules: Schema = {}
    if comment.startswith("{"):
        try:
            found, end = json.JSONDecoder().raw_decode(comment)
        except ValueError:
            return {}, comment
        return found, comment[end:].strip(" ,;:-–")
    if match := _BOUNDS.match(comment):
        if not match["low"].endswith("inf"):
            rules["minimum" if match["open"] == "[" else "exclusiveMinimum"] = _number(match["low"])
        if not match["high"].endswith("inf"):
            rules["maximum" if match["close"] == "]" else "exclusiveMaximum"] = _number(match["high"])
    elif match := _COMPARED.match(comment):
        rules[_SIGNS[match["sign"]]] = _number(match["limit"])
    elif match := _CHOICES.match(comment):
        node = _parsed(match["values"])
        values = _literal(node, {}) if isinstance(node, ast.Set | ast.List) else _ABSENT
        if values is _ABSENT:
            return {}, comment
        rules["enum"] = values
    if match is None:
        return {}, comment
    return rules, comment[match.end() :].strip(" ,;:-–")


def _type_comment(comment: str) -> tuple[str, str]:
    """Return the comment without papermill's type comment, and the type in that type comment."""
    match = re.match(r"type:\s*(?P<type>[\w.]+(?:\[.*?\])?(?=\s|\Z))\s*(?P<rest>.*)", comment)
    return (match["rest"], match["type"]) if match else (comment, "")


def _number(text: str) -> int | float:
    text = text.replace("_", "")
    return float(text) if re.search(r"[.eE]", text) else int(text)


def _enums(tree: ast.Module) -> Iterator[tuple[str, Schema]]:
    """Yield the name and the schema of each enum that the cell defines. Its key `x-members` maps members to values."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in node.bases}
        if not bases & {"Enum", "StrEnum", "IntEnum"}:
            continue
        members: dict[str, Any] = {}
        for statement in node.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name, value = statement.targets[0].id, _literal(statement.value, {})
                # A call without arguments, such as auto().
                if isinstance(statement.value, ast.Call) and not statement.value.args:
                    value = name.lower() if "StrEnum" in bases else len(members) + 1
                if value is not _ABSENT:
                    members[name] = value
        if members:
            yield node.name, {"enum": list(members.values()), "x-python": f"enum:{node.name}", "x-members": members}


def _literal(node: ast.expr | None, enums: Mapping[str, Schema]) -> Any:
    """Return the value of an expression in its JSON form, or `_ABSENT` if the value is unknown without execution."""
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=member) if name in enums:
            return enums[name]["x-members"].get(member, _ABSENT)
        case ast.Call(func=ast.Name(id="Path" | "PurePath") | ast.Attribute(attr="Path" | "PurePath"), args=[inner]):
            return _literal(inner, enums)
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as text)]):
            return _float(text)
        case ast.Call(func=ast.Name(id=kind) | ast.Attribute(attr=kind), args=args, keywords=[]):
            return _date(kind, [_literal(each, enums) for each in args])
    if node is None:
        return _ABSENT
    try:
        return _json(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _ABSENT


def _date(kind: str, args: list[Any]) -> Any:
    from datetime import date, datetime

    makers = {"date": date, "datetime": datetime}
    try:
        return makers[kind](*args).isoformat()
    except (KeyError, TypeError, ValueError):
        return _ABSENT


def _float(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return _ABSENT


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted((_json(each) for each in value), key=repr)
    if isinstance(value, bytes | complex) or value is ...:
        raise ValueError
    return value


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _written(annotation: ast.expr) -> str:
    """Return an annotation in the form that help shows, without the rules of `Annotated`."""
    match annotation:
        case ast.Subscript(
            value=ast.Name(id="Annotated") | ast.Attribute(attr="Annotated"), slice=ast.Tuple(elts=[first, *_])
        ):
            return _written(first)
        case ast.Constant(value=str() as text):
            return text
    return ast.unparse(annotation)


def _comments(code: str) -> dict[int, str]:
    """Return the comments of the code by line."""
    found = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("#").strip()
    except (tokenize.TokenError, SyntaxError):  # the cell contains magics of IPython, which are not Python
        pass
    return found
