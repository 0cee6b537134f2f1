"""The description of the API itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..openapi import document
from .base import ROUTES, Call


@ROUTES.get("openapi.json")
def get_openapi(call: Call) -> dict[str, Any]:
    """Return the OpenAPI document of this API."""
    return _document(call.base_url)


@lru_cache(maxsize=1)
def _document(base_url: str) -> dict[str, Any]:
    return document(ROUTES.operations, base_url)
