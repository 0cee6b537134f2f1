"""Render templates in Jinja's sandbox, and keep the values apart from the author's text.

`context` has the names that a template may use, such as `ds`, and their values.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, Template, Undefined, pass_eval_context
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from .context import INSTEAD, NAMES
from .macros import FILTERS

_FILE = "<template>"
# Jinja's comments begin with {#. In bash, ${#name} is the length of a variable, so `${#` is replaced by a mark while
# Jinja reads the text.
LENGTH, LENGTH_MARK = "${#", "$\ue0f0#"


@error
class TemplateError(NbdagError):
    """A template cannot be rendered."""

    what: str  # name of the text with the template, such as "the script"
    line: int  # line of the template, from 1
    message: str
    hint: str = ""  # what the user can do
    template = "{what}, line {line}: {message}{advice}"

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""


@dataclass(frozen=True, slots=True)
class Slot:
    """The value that replaces a `{{ … }}` in a rendered text."""

    value: Any

    def __str__(self) -> str:
        return str(self.value)


class Pasted(str):
    """A value that counts as text of the author: the result of the filter `safe`."""


class _Missing(StrictUndefined):
    """An unknown name or attribute in a template. The error message suggests the most similar known name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return str(self._undefined_hint)
        name, owner = str(self._undefined_name), self._undefined_obj
        if owner is missing:
            return unknown_name(name)
        known = list(owner) if isinstance(owner, Mapping) else [each for each in dir(owner) if not each.startswith("_")]
        similar = nearest(name, [str(each) for each in known])
        what = "params" if type(owner).__name__ == "Params" else f"a {type(owner).__name__}"
        what = "this object" if type(owner).__name__ == "SimpleNamespace" else what
        return f"{what} has no {name!r}" + (f"; did you mean {similar}?" if similar else "")


def unknown_name(name: str) -> str:
    """Return the message about a name that templates do not have."""
    if name in INSTEAD:
        return f"unknown name {name!r}; {INSTEAD[name]}"
    similar = nearest(name, NAMES)
    return f"unknown name {name!r}; " + (f"did you mean {similar}?" if similar else f"the names are {', '.join(NAMES)}")


_slots: ContextVar[list[Any] | None] = ContextVar("slots", default=None)
_nonce: ContextVar[str] = ContextVar("nonce", default="")


@pass_eval_context
def _finalize(_: Any, value: Any) -> str:
    """Return a placeholder for a value, and keep the value.

    If the value itself contains placeholders, as the result of a Jinja macro may, they are first replaced by their
    values.
    """
    slots = _slots.get()
    if isinstance(value, Undefined):
        str(value)  # converting an unknown name to text raises the error
    if slots is None:
        return str(value)
    if isinstance(value, Pasted):
        return str(value)
    if isinstance(value, str):
        value = "".join(map(str, _split(str(value), _nonce.get(), slots)))
    slots.append(value)
    return f"\ue000{_nonce.get()}-{len(slots) - 1}\ue001"


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """Return the environment of all templates."""
    env = ImmutableSandboxedEnvironment(
        undefined=_Missing, extensions=["jinja2.ext.do"], finalize=_finalize, keep_trailing_newline=True
    )
    env.filters.update(FILTERS)
    env.filters["safe"] = lambda value: Pasted(value)
    env.filters["tojson"] = _to_json
    return env


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(dict(value) if isinstance(value, Mapping) else value, indent=indent, default=str)


def render(text: str, context: Mapping[str, Any], *, what: str = "the template") -> str:
    """Return the text with rendered templates. Raise `TemplateError`; `what` is the name of the text in its message."""
    return "".join(map(str, render_pieces(text, context, what=what)))


def render_pieces(text: str, context: Mapping[str, Any], *, what: str = "the template") -> list[str | Slot]:
    """Return the rendered text in pieces: texts of the author, and a `Slot` for each value."""
    slots: list[Any] = []
    nonce = str(secrets.randbits(64))
    set_slots, set_nonce = _slots.set(slots), _nonce.set(nonce)
    try:
        compiled = compiled_template(text, what)
        try:
            rendered = compiled.render(context)
        except NbdagError as failure:
            raise TemplateError(what, _line(failure.__traceback__), str(failure)) from failure
        except UndefinedError as failure:
            message, _, hint = str(failure.message).partition("; ")
            raise TemplateError(what, _line(failure.__traceback__), message, hint) from None
        except SecurityError as failure:
            hint = "compute the value in a Python task and pull it with ti.xcom_pull"
            raise TemplateError(what, _line(failure.__traceback__), f"unsafe: {failure}", hint) from None
        except Exception as failure:
            message = f"{type(failure).__name__}: {failure}"
            raise TemplateError(what, _line(failure.__traceback__), message) from failure
        return [
            each.replace(LENGTH_MARK, LENGTH) if isinstance(each, str) else each
            for each in _split(rendered, nonce, slots)
        ]
    finally:
        _slots.reset(set_slots)
        _nonce.reset(set_nonce)


def render_nested(value: Any, context: Mapping[str, Any], *, what: str = "the template") -> Any:
    """Return a value with all templates rendered that are in texts, lists, tuples, sets, and values of mappings."""
    if isinstance(value, str):
        return render(value, context, what=what)
    if isinstance(value, Mapping):
        return {key: render_nested(each, context, what=what) for key, each in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(render_nested(each, context, what=what) for each in value)
    return value


def compiled_template(text: str, what: str) -> Template:
    """Return the compiled template. Raise `TemplateError` for a syntax error."""
    try:
        env = environment()
        code = env.compile(text.replace(LENGTH, LENGTH_MARK), None, _FILE)
        return Template.from_code(env, code, env.globals)
    except TemplateSyntaxError as failure:
        raise syntax_error(failure, text, what) from None
    except JinjaError as failure:
        raise TemplateError(what, 1, str(failure)) from None


def syntax_error(failure: TemplateSyntaxError, text: str, what: str) -> TemplateError:
    """Return the error for a syntax error of Jinja."""
    message = str(failure.message or failure).rstrip(".").replace("'", "")
    found = re.match(r"No (filter|test) named (\w+)", message)
    if found:
        kind, name = found.groups()
        known = environment().filters if kind == "filter" else environment().tests
        similar = nearest(name, list(known))
        hint = f"did you mean {similar}?" if similar else ""
        return TemplateError(what, failure.lineno, f"unknown {kind} {name!r}", hint)
    message = f"{message[:1].lower()}{message[1:]}"
    return TemplateError(what, failure.lineno, message, "write {{ '{{' }} for literal braces, or use {% raw %}")


def _split(text: str, nonce: str, slots: list[Any]) -> Iterable[str | Slot]:
    for n, part in enumerate(re.split(f"\ue000{nonce}-(\\d+)\ue001", text)):
        if n % 2:
            yield Slot(slots[int(part)])
        elif part:
            yield part


def _line(trace: TracebackType | None) -> int:
    """Return the line of the template that raised an error."""
    found = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
