"""The one place where the text of a body is rendered, in the task's kernel, just before the operator uses it.

An operator passes each text that the user wrote through `rendered_pieces` or `rendered`: the body, and options that are
texts. A value of a template stays apart from the text (a `Slot`), and values of the notebook are never rendered, so a
value that contains `{{ }}` arrives as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..context import current

if TYPE_CHECKING:
    from ..templates import Slot  # its module imports Jinja, and most texts have no template


def rendered_pieces(text: str, what: str, marks: Mapping[str, str] | None = None) -> list[str | Slot]:
    """Return a text of the user in pieces, with a `Slot` for each value of a template; `what` names the text.

    The rendered text that is shown has the values of `marks` in place of its keys.
    """
    return current().pieces(text, what=what, marks=marks)


def rendered(text: str, what: str) -> str:
    """Return a text of the user with its templates replaced, for places where values need no quoting."""
    return "".join(map(str, rendered_pieces(text, what)))
