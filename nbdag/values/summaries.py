"""One-line descriptions of values for people.

A description gives the type, the shape and a short text. A faulty or slow `__repr__` of a value does no harm:
describing a value never raises an exception and never takes long. Secrets are masked before a text is shortened,
because half of a secret could not be recognised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import reprlib
import sys
import threading
from typing import Any

from ..secrets import mask
from .types import rule_of

MAX_LENGTH = 120  # maximum number of characters of a description
_MAX_MASKED = 1_000_000  # maximum number of characters of a text in which secrets are searched
REPR_TIMEOUT = 1.0  # time limit in seconds for the `__repr__` of a class that is not a builtin


def type_name(obj: object) -> str:
    """Return a type's name, such as `pandas.DataFrame`, `int` or, for a class of the notebook, `Model`."""
    cls = type(obj)
    module = cls.__module__
    if module in ("builtins", "__main__"):
        return cls.__qualname__
    top = module.partition(".")[0]  # prefer the public name: pandas.DataFrame, not pandas.core.frame.DataFrame
    known = getattr(_module(top), cls.__name__, None) is cls
    return f"{top if known else module}.{cls.__qualname__}"


def summarise(obj: object) -> str:
    """Return a description of at most 120 characters."""
    try:
        text = _summary(obj)
    except Exception:
        text = f"<{type_name(obj)}>"
    return _cut(" ".join(mask(text).split()))


def _summary(obj: Any) -> str:
    summary = rule_of(obj).summary
    if summary is not None:
        return summary(obj)
    shape = _shape(obj)
    columns = getattr(obj, "columns", None) if shape is not None and len(shape) == 2 else None
    if columns is not None and shape is not None:
        names = ", ".join(str(name) for name in list(columns[:12]))
        return f"{_count(shape[0])} × {_count(shape[1])}: {names}{', …' if shape[1] > 12 else ''}"
    if shape is not None and hasattr(obj, "dtype"):
        few = f": {_repr(obj.tolist())}" if 0 < getattr(obj, "size", 0) <= 12 and hasattr(obj, "tolist") else ""
        return f"{' × '.join(map(_count, shape)) or 'scalar'} {obj.dtype}{few}"
    if isinstance(obj, list | tuple | set | frozenset | dict) and len(obj) > 6:
        return f"{_count(len(obj))} items: {_repr(obj)}"
    return _repr(obj)


def _shape(obj: Any) -> tuple[int, ...] | None:
    shape = getattr(obj, "shape", None)
    return shape if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape) else None


def _count(number: int) -> str:
    return f"{number:,}"


class _Bounded(reprlib.Repr):
    """A repr that shows only the beginning of a value, and reads no more than it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 6
        self.maxstring = self.maxother = MAX_LENGTH
        self.maxlong = 60
        self.maxlevel = 4

    def repr_str(self, x: str, level: int) -> str:
        kept = x if len(x) <= _MAX_MASKED else x[: _MAX_MASKED // 2] + x[-_MAX_MASKED // 2 :]
        return super().repr_str(mask(kept), level)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        # The method of `reprlib` is not used, because it sorts all keys first.
        if level <= 0:
            return "{…}"
        shown = [
            f"{self.repr1(k, level - 1)}: {self.repr1(x[k], level - 1)}" for k in itertools.islice(x, self.maxdict)
        ]
        return f"{{{', '.join(shown)}{', …' if len(x) > self.maxdict else ''}}}"

    def repr_set(self, x: set[Any], level: int) -> str:
        if not x:
            return "set()"
        shown = [self.repr1(item, level - 1) for item in itertools.islice(x, self.maxset)]
        return f"{{{', '.join(shown)}{', …' if len(x) > self.maxset else ''}}}"

    def repr_instance(self, x: Any, level: int) -> str:
        cls = type(x)
        if dataclasses.is_dataclass(x) and level > 0:
            fields = ((field.name, getattr(x, field.name, None)) for field in dataclasses.fields(x) if field.repr)
            return (
                f"{cls.__qualname__}({', '.join(f'{name}={self.repr1(value, level - 1)}' for name, value in fields)})"
            )
        # The repr of a container's subclass could show all items.
        if isinstance(x, tuple | list | dict | set) and level > 0:
            return f"{cls.__qualname__} of {_count(len(x))}"
        if cls.__repr__ is object.__repr__:  # type: ignore[comparison-overlap]  # mypy takes the method for bound
            return f"<{type_name(x)}>"
        return _repr_with_timeout(x)


def _repr_with_timeout(obj: object) -> str:
    """Return the object's own repr, or its type if the repr takes too long."""
    answer: list[str] = []

    def ask() -> None:
        with contextlib.suppress(Exception):
            answer.append(mask(repr(obj)[:_MAX_MASKED])[: 4 * MAX_LENGTH])

    thread = threading.Thread(target=ask, name="nbdag-repr", daemon=True)
    thread.start()
    thread.join(REPR_TIMEOUT)
    return answer[0] if answer else f"<{type_name(obj)}>"


_bounded = _Bounded()


def _repr(obj: object) -> str:
    return _bounded.repr(obj)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def _module(name: str) -> Any:
    return sys.modules.get(name)
