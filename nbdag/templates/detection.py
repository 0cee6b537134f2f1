"""Find the templates in texts and nested values, without importing Jinja."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# `{%` alone does not make a text a template, because scripts contain it, for example printf '{%s}'.
_TEMPLATE = re.compile(
    r"\{\{|\{%[-+]?\s*(?:end)?(?:if|for|set|raw|do|with|macro|call|filter|block|include|import|from|extends|autoescape)\b"
)


def is_template(text: object) -> bool:
    """Return whether a value is text with a template in it."""
    return isinstance(text, str) and _TEMPLATE.search(text) is not None


def templates_in(value: Any) -> Iterator[str]:
    """Yield the texts with templates in a value, which may be a collection.

    Keys of mappings are left out, because they are not rendered, as in Airflow.
    """
    if isinstance(value, Mapping):
        for each in value.values():
            yield from templates_in(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from templates_in(each)
    elif is_template(value):
        yield value
