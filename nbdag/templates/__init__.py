"""Airflow's templates in the text and options of operators: `{{ ds }}`, `{{ params.x }}`, `{{ ti.xcom_pull('a') }}`.

    render("load_{{ ds_nodash }}", context_of(dag_run))            # 'load_20260131'
    render_pieces("echo {{ params.name }}", context_of(dag_run))   # ['echo ', Slot('Zoë')]

Templates are Jinja templates, rendered in Jinja's sandbox. An unknown name raises a `TemplateError` with the template's
line and the most similar name. The notebook's author writes a template, but the values in it are data from anywhere.
`render` returns one text. For a language such as bash, an operator calls `render_pieces` instead, and passes each
value, a `Slot`, to the language as data. `quoting` does this for bash, SQL and URLs. With `{{ value | safe }}`, the
value is inserted like text of the author.

`names.read_template` finds the names that a template uses, without rendering it. This package accesses no files,
network or clock, and imports Jinja only when a text has a template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .detection import is_template, templates_in

if TYPE_CHECKING:
    from .context import context_of
    from .names import TemplateNames, read_template
    from .rendering import Slot, TemplateError, render, render_nested, render_pieces

__all__ = [
    "Slot",
    "TemplateError",
    "TemplateNames",
    "context_of",
    "is_template",
    "read_template",
    "render",
    "render_nested",
    "render_pieces",
    "templates_in",
]

_MODULES = {
    "context_of": "context",
    "TemplateNames": "names",
    "read_template": "names",
    "Slot": "rendering",
    "TemplateError": "rendering",
    "render": "rendering",
    "render_nested": "rendering",
    "render_pieces": "rendering",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
