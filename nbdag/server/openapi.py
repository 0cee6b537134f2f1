"""The OpenAPI 3.1 document of the API, made from the types of its operations.

msgspec makes the JSON Schemas, but cannot describe a union of an enum and other strings. Such a union becomes one enum
with all values.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import types
from collections.abc import Iterable
from enum import EnumMeta
from functools import lru_cache
from importlib.metadata import version
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from .handlers.base import PROBLEM, ROUTES, Call, Operation, Problem, without_none

_DESCRIPTION = """Pipelines of notebooks, and their runs. All times are seconds since the epoch.

`GET events` is a stream of Server-Sent Events: a JSON object for each change, with `kind` (run, dag, scheduler, asset;
all: read everything again) and `dag`, `run`, `state`, `asset` where they apply. The header `Last-Event-ID` continues a
stream that was interrupted."""
_REF = "#/components/schemas/{name}"
# Errors that any operation may report, besides the errors of its arguments.
_ANYWHERE = {
    400: "The request cannot be read.",
    401: "Jupyter requires a login.",
    403: "The user is unknown or not allowed to do this, or the state of nbdag cannot be written.",
    404: "Nothing has this id.",
    422: "An argument has a wrong value.",
    503: "The database cannot be used now.",
}
_CONFLICT = {409: "The current state does not allow this."}
_TOO_LARGE = {413: "The body is too large."}
_RANGE = {416: "The requested range of bytes does not exist."}


@ROUTES.get("openapi.json")
def get_openapi(call: Call) -> dict[str, Any]:
    """Return the OpenAPI document of this API."""
    return _document(call.base_url)


@lru_cache(maxsize=1)
def _document(base_url: str) -> dict[str, Any]:
    return document(ROUTES.operations, base_url)


def document(operations: Iterable[Operation], base_url: str) -> dict[str, Any]:
    """Return the document, for a server at a base URL."""
    found = list(operations)
    wanted = [_schema_type(hint) for each in found for hint in _json_types(each)]
    schemas, components = msgspec.json.schema_components([*wanted, Problem], ref_template=_REF)
    schema_of = dict(zip(map(_key, wanted), schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for each in found:
        paths.setdefault(f"/{each.path}", {})[each.method.lower()] = _operation(each, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "nbdag",
            "version": version("nbdag"),
            "description": _DESCRIPTION,
        },
        "servers": [{"url": f"{base_url}nbdag/api"}],
        "security": [{"token": []}, {"token_in_query": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token TOKEN`, with the token of the Jupyter server",
                },
                "token_in_query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _json_types(operation: Operation) -> list[Any]:
    """Return the types of the arguments and of the answer that need a schema."""
    hints = operation.hints
    names = [
        *operation.segments,
        *(["body"] if "body" in hints else []),
        *([] if operation.mime is not None else ["return"]),
    ]
    return [hints[name] for name in names]


def _operation(operation: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    """Return one operation of the document."""
    hints = operation.hints
    summary, _, description = operation.doc.partition("\n")
    content: dict[str, Any] = (
        {
            mime: {"schema": {"type": "object" if mime.endswith("json") else "string"}}
            for mime in (operation.mime,)
            if mime
        }
        if operation.mime is not None
        else {"application/json": {"schema": schema_of[_key(_schema_type(hints["return"]))]}}
    )
    errors = {
        **_ANYWHERE,
        **(_CONFLICT if operation.method != "GET" else {409: "The id is ambiguous."}),
        **(_TOO_LARGE if "body" in hints else {}),
        **(_RANGE if 206 in operation.statuses else {}),
    }
    with_content = {"content": content} if content else {}
    responses: dict[str, Any] = {
        str(status): {"description": "A part of the content." if status == 206 else "Success.", **with_content}
        for status in operation.statuses
    }
    if operation.method == "GET":
        responses["304"] = {"description": "Unchanged since the `ETag` of the request."}
    problem = {PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}}
    responses |= {str(status): {"description": text, "content": problem} for status, text in sorted(errors.items())}
    found: dict[str, Any] = {
        "operationId": operation.function.__name__,
        "summary": summary.rstrip("."),
        "tags": [operation.function.__module__.rpartition(".")[2]],
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": schema_of[_key(_schema_type(hints[name]))],
            }
            for name in operation.segments
        ]
        + ([] if "query" not in hints else _query_parameters(hints["query"])),
        "responses": responses,
    }
    if description.strip():
        found["description"] = description.strip()
    if "body" in hints:
        found["requestBody"] = {
            "required": _has_required_fields(hints["body"]),
            "content": {"application/json": {"schema": schema_of[_key(_schema_type(hints["body"]))]}},
        }
    return found


def _query_parameters(query: type[msgspec.Struct]) -> list[dict[str, Any]]:
    found = []
    for each in msgspec.structs.fields(query):
        hint = _schema_type(without_none(each.type))
        (schema,), _ = msgspec.json.schema_components([hint], ref_template=_REF)
        parameter = {
            "name": each.encode_name,
            "in": "query",
            "required": each.required,
            "schema": _inlined(schema, hint),
        }
        description = parameter["schema"].pop("description", None) or _comments(query).get(each.name)
        if description:
            parameter["description"] = description
        if isinstance(each.default, str | int | float | bool):
            parameter["schema"]["default"] = each.default
        found.append(parameter)
    return found


def _inlined(schema: Any, hint: Any) -> Any:
    """Return the schema of a query parameter with the definition of an enum in place of the reference to it."""
    _, components = msgspec.json.schema_components([hint], ref_template=_REF)
    if "$ref" in schema:
        return dict(components[schema["$ref"].rpartition("/")[2]])
    if "items" in schema:
        return {**schema, "items": _inlined(schema["items"], hint)}
    return schema


def _has_required_fields(body: Any) -> bool:
    if is_typeddict(body):
        return bool(body.__required_keys__)
    return any(each.required for each in msgspec.structs.fields(body))


def _key(hint: Any) -> str:
    return repr(hint)


@lru_cache(maxsize=1024)
def _schema_type(hint: Any) -> Any:
    """Return a type that msgspec can describe: a union of strings becomes one enum."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        comments = _comments(hint)
        fields = {
            name: _described(_schema_type(each), comments.get(name))
            for name, each in get_type_hints(hint, include_extras=True).items()
        }
        made: Any = TypedDict(hint.__name__, fields)  # type: ignore[misc]  # the name and the fields are computed
        made.__doc__ = inspect.getdoc(hint)
        return made
    if origin in (NotRequired, Required):
        return origin[_schema_type(arguments[0])]
    if origin is Annotated:
        return Annotated[(_schema_type(arguments[0]), *hint.__metadata__)]
    if origin in (Union, types.UnionType):
        texts = [each for each in arguments if isinstance(each, EnumMeta) or get_origin(each) is Literal]
        if len(texts) > 1:
            values = [value for each in texts for value in _values(each)]
            others = tuple(_schema_type(each) for each in arguments if each not in texts)
            return Union[(Literal[tuple(values)], *others)]  # computed
        return Union[tuple(map(_schema_type, arguments))]  # noqa: UP007  # computed
    if origin in (list, dict):
        return origin[tuple(map(_schema_type, arguments))]
    return hint


def _described(hint: Any, text: str | None) -> Any:
    """Add a description to the type of a field."""
    if text is None:
        return hint
    if get_origin(hint) in (NotRequired, Required):
        return get_origin(hint)[_described(get_args(hint)[0], text)]
    return Annotated[hint, msgspec.Meta(description=text)]


@lru_cache(maxsize=1024)
def _comments(declared: type) -> dict[str, str]:
    """Return the comment of each field of a class, which stands beside or above the field. The keys are field names."""
    found: dict[str, str] = {}
    for base in reversed(declared.__mro__ if declared.__mro__[1] is not dict else (declared,)):
        above: list[str] = []
        for line in _classes(base.__module__).get(base.__name__, ()):
            comment = re.fullmatch(r"    # (.*)", line)
            field = re.match(r"    (\w+): .*?(?:  # (.*))?$", line)
            if comment:
                above.append(comment[1])
            elif field and (text := field[2] or " ".join(above)):
                found[field[1]] = text[:1].upper() + text[1:] + "." * (not text.endswith("."))
            if not comment:
                above = []
    return found


@lru_cache(maxsize=128)
def _classes(module: str) -> dict[str, list[str]]:
    """Return the source lines of each class of a module, by class name, or {} for a module without source."""
    try:
        # The module is parsed once here; `inspect` would parse it again for each class.
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        return {}
    lines = source.splitlines()
    declared = [each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)]
    return {each.name: lines[each.lineno - 1 : each.end_lineno] for each in declared}


def _values(hint: Any) -> list[str]:
    members: Iterable[Any] = hint if isinstance(hint, EnumMeta) else get_args(hint)
    return [str(each) for each in members]
