"""The OpenAPI document, and that the answers are as it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from nbdag.server.handlers import ROUTES
from nbdag.server.openapi import document

from .conftest import Client

DOCUMENT = document(ROUTES.operations, "/")
OPERATIONS = [(path, method, each) for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()]


def test_the_document_is_served(serve: Callable[..., Client], tmp_path: Path) -> None:
    found = serve(tmp_path).get("openapi.json").json
    assert found["openapi"] == "3.1.0"
    assert found["servers"] == [{"url": "/of/tests/nbdag/api"}]
    assert found["paths"] == DOCUMENT["paths"]


def test_every_schema_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_a_name_of_its_own_and_a_summary() -> None:
    names = [each["operationId"] for _, _, each in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(each["summary"] for _, _, each in OPERATIONS)


def test_every_reference_has_a_schema() -> None:
    wanted = set(re.findall(r"#/components/schemas/([\w]+)", repr(DOCUMENT)))
    assert wanted <= set(DOCUMENT["components"]["schemas"])


def test_a_field_is_described_by_its_comment() -> None:
    fields = DOCUMENT["components"]["schemas"]["ListedRun"]["properties"]
    assert fields["kind"]["description"] == "How the run was created: manual, scheduled, backfill or asset."


@pytest.mark.parametrize("operation", ROUTES.operations, ids=lambda each: f"{each.method} {each.path}")
def test_an_operation_calls_functions_and_decides_nothing(operation) -> None:
    """A handler has no loop, and at most a few branches: rules belong into `nbdag.runs` and the views."""
    module = ast.parse(Path(operation.function.__code__.co_filename).read_text())
    body = next(
        each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == operation.function.__name__
    )
    assert not [each for each in ast.walk(body) if isinstance(each, ast.For | ast.While | ast.Try)]
