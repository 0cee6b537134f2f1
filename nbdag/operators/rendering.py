"""The one place where the text of a body is rendered, in the task's kernel, just before the operator uses it.

An operator passes each text that the user wrote through `rendered`: the body, and options that are texts. Values of the
notebook are never rendered, so a value that contains `{{ }}` arrives as it is.
"""

from __future__ import annotations

from collections.abc import Callable

_render: Callable[[str], str] | None = None


def rendered(text: str) -> str:
    """Return a text of the user with its templates replaced; without a renderer, the text itself."""
    return text if _render is None else _render(text)


def use_renderer(render: Callable[[str], str] | None) -> Callable[[str], str] | None:
    """Set the function that renders texts in this process, and return the previous one."""
    global _render
    before, _render = _render, render
    return before
