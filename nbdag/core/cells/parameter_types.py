"""Interpret and check the values of a run's parameters by the schemas of `parameter_schema`, before anything runs.

Values may come as text from a command line (`FromText`): the schema decides what the text means, so `-p version 1.10`
is the text "1.10" for a `str` and a number for a `float`. A parameter without an annotation accepts any value, unless
its default is written as a bool, list, tuple, set or dict. Such a parameter accepts only values of this kind, and None.
A cell that expects a list and gets a text would fail late, or iterate over single characters; a cell that expects a
bool would take the text "no" for true.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import NbdagError, error
from ..model.secret_names import is_reference, is_secret, masked_value
from .schema_check import CHECKED_KEYWORDS, RuleError, allowed_kinds, check_value
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
# Key: kind of a default; value: types of the values that such a parameter accepts.
_ACCEPTED: Mapping[str, type | tuple[type, ...]] = {
    "bool": bool,
    **dict.fromkeys(("list", "tuple", "set"), (list, tuple, set, frozenset)),
    "dict": Mapping,
}
_JUDGED = (str, int, float, list, tuple, set, frozenset, Mapping)
# Keywords of a schema that define which types of values a parameter accepts.
_DECLARED = frozenset({"type", "anyOf", "oneOf", "enum", "const", "x-annotation"})
_WORDS = {"true": True, "false": False}


class FromText(str):
    """The text of a value on a command line, whose type is not known yet."""


@error
class ParameterTypeError(NbdagError):
    """A parameter whose default is a bool, list, tuple, set or dict was given a value of another kind."""

    name: str
    kind: str  # name of the default's type, such as list
    value: object  # masked
    exit_code = 2
    template = "parameter {name} is a {kind}, but its value is {shown}; write {advice}"

    @property
    def shown(self) -> str:
        """The value, shortened."""
        shown = repr(self.value)
        shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
        return f"the text {shown}" if isinstance(self.value, str) else shown

    @property
    def advice(self) -> str:
        """A valid value: the given text if the text is a collection in YAML, else a short collection."""
        if self.kind == "bool":
            return "true or false"
        text = self.value.strip() if isinstance(self.value, str) else ""
        if text[:1] + text[-1:] in ("[]", "{}") and text.isprintable() and "'" not in text:
            return f"-y '{self.name}: {text}'"
        return f"-y '{self.name}: {{name: value}}'" if self.kind == "dict" else f"-y '{self.name}: [1, 2]'"


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


def resolve(
    schemas: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values in the form that a run records. Raise `ParameterRuleError` or `ParameterTypeError`.

    `defaults` has each default as source code. Names without a schema keep their values.
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
            place = f"{name}{broken.path}"
            shown = repr(masked_value(place, broken.value))
            shown = "***" if secret else shown if len(shown) <= 80 else f"{shown[:80]}…"
            raise ParameterRuleError(place, shown, broken.why, broken.hint) from None
    # The rules of a type or of an annotation are checked already, and may allow more than the default shows.
    undeclared = {name: found[name] for name in found if not _DECLARED & set(schemas.get(name, {}))}
    reject_other_kinds(defaults, undeclared)
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
    kinds = allowed_kinds(schema)
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
    if not set(schema) & CHECKED_KEYWORDS:
        # `typed` infers a bool only from True and False, but YAML also has true and false.
        is_bool = isinstance(schema.get("default"), bool) and not _DECLARED & set(schema)
        return _WORDS.get(text.lower(), inferred) if is_bool else inferred
    kinds = allowed_kinds(schema)
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


def reject_other_kinds(defaults: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raise `ParameterTypeError` if the default is a bool or a collection, and the value is plain data of another kind.

    `defaults` has each default as source code. None and a reference to a secret are accepted, and in a test of a task
    also other objects, such as an array for a list.
    """
    for name, value in given.items():
        kind = _kind(defaults.get(name))
        if kind in _ACCEPTED and isinstance(value, _JUDGED) and not isinstance(value, _ACCEPTED[kind]):
            if is_reference(value):
                continue
            raise ParameterTypeError(name, kind, masked_value(name, value))


def texts_given_for_numbers(defaults: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each parameter that is given a text although its default is a number."""
    for name, value in given.items():
        if isinstance(value, str) and _kind(defaults.get(name)) == "number":
            yield name, value


def _kind(source: str | None) -> str:
    if source is None:
        return ""
    match ast.parse(source, mode="eval").body:
        case ast.Constant(value=bool()):
            return "bool"
        case ast.Constant(value=int() | float()) | ast.UnaryOp(operand=ast.Constant(value=int() | float())):
            return "number"
        case ast.Call(func=ast.Name(id="list" | "tuple" | "set" | "dict" as kind)):
            return kind
        case other:
            return _KINDS.get(type(other), "")


def marked_secret(cells: Iterable[str]) -> frozenset[str]:
    """Return the parameters whose annotation in these cells contains `nbdag.Secret`, alone or inside another type."""
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
