"""Render the templates in a body, in the task's kernel, before the operator uses the text.

An operator calls `rendered_pieces` or `rendered` for each text of the user: the body, and options that are texts. Each
value of a template is a `Slot`, separate from the text. Values of the notebook are never rendered, even if they contain
`{{ }}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...task_api.context import current

if TYPE_CHECKING:
    from ...templates import Slot  # imported here because it imports Jinja, and most texts have no template


def rendered_pieces(text: str, what: str, marks: Mapping[str, str] | None = None) -> list[str | Slot]:
    """Return a text of the user in pieces, with a `Slot` for each value of a template; `what` names the text.

    In the text that is recorded for display, each key of `marks` is replaced by its value.
    """
    return current().pieces(text, what=what, marks=marks)


def rendered(text: str, what: str) -> str:
    """Return a text of the user with its templates replaced, for uses in which values need no quoting."""
    return "".join(map(str, rendered_pieces(text, what)))
