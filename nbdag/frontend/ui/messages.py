"""Writes `nbdag.frontend.messages`, and how states look, as TypeScript.

    python nbdag/frontend/ui/messages.py        writes nbdag/frontend/ui/src/messages.ts

A test writes it again and compares, so neither side can say what the other does not know.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from nbdag.core.model.states import STATE_PRECEDENCE
from nbdag.frontend import messages
from nbdag.graphs.marks import STATE_STYLES

TARGET = Path(__file__).parent / "src" / "messages.ts"
_PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null", Any: "unknown"}


def typescript() -> str:
    """The whole file."""
    named = {name: each for name, each in vars(messages).items() if is_typeddict(each)}
    parts = [
        "// Written by ui/messages.py from frontend/messages.py, graphs/marks.py, core/model/states.py: change those.",
        "",
    ]
    for name in ("Direction", "Arrangement"):
        parts += [f"export type {name} = {_type(getattr(messages, name))}", ""]
    for name, each in named.items():
        if each.__doc__:
            parts.append(f"/** {inspect.cleandoc(each.__doc__)} */")
        parts.append(f"export interface {name} {{")
        for field, hint in get_type_hints(each, include_extras=True).items():
            optional = "?" if get_origin(hint) is NotRequired else ""
            parts.append(f"  {field}{optional}: {_type(hint)}")
        parts += ["}", ""]
    for name in ("Request", "Told"):
        members = [each.__name__ for each in get_args(getattr(messages, name))]
        parts += [f"export type {name} =", *(f"  | {member}" for member in members), ""]
    looks = {
        state: {"word": look.word, "colour": look.colour, "path": look.path, "filled": look.filled}
        for state, look in STATE_STYLES.items()
    }
    told = re.sub(r'^(\s+)"(\w+)":', r"\1\2:", json.dumps(looks, indent=2, ensure_ascii=False), flags=re.M)
    parts += [
        "/** How a state is told: in a word, a colour, and a sign drawn in a box of 12 by 12. */",
        "export interface Look {",
        "  word: string",
        "  colour: string",
        "  path: string",
        "  filled: string",
        "}",
        "",
        f"export const LOOKS: Record<string, Look> = {told}",
        "",
        "/** Of several that are shown as one, the state that is told: the first that any of them is in. */",
        f"export const STATE_PRECEDENCE = {json.dumps([state.value for state in STATE_PRECEDENCE], indent=2)}",
        "",
    ]
    return "\n".join(parts)


def _type(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (NotRequired, Required):
        return _type(arguments[0])
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, arguments))
    if origin is list:
        inner = _type(arguments[0])
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<{_type(arguments[0])}, {_type(arguments[1])}>"
    if is_typeddict(hint):
        return str(hint.__name__)
    return _PLAIN[hint]


if __name__ == "__main__":
    TARGET.write_text(typescript(), encoding="utf-8")
