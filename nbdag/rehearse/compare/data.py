"""Compare two values of JSON, and name the place of each difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from .texts import TOLERANCE, change, equal_numbers, shown

_WIDTH = 80  # maximum length of a value in a message


def data_differences(
    old: Any,
    new: Any,
    tolerance: float = TOLERANCE,
    *,
    place: str = "",
    same_text: Callable[[str, str], bool] = str.__eq__,
) -> Iterator[str]:
    """Yield each difference, such as "outputs.accuracy: 0.91 became 0.87".

    Numbers count as equal if they differ by no more than the relative tolerance. Texts count as equal if `same_text`
    returns true.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            inner = f"{place}.{key}" if place else str(key)
            if key not in new:
                yield f"{inner} is missing"
            elif key not in old:
                yield f"{inner} was added: {_shown(new[key])}"
            else:
                yield from data_differences(old[key], new[key], tolerance, place=inner, same_text=same_text)
        return
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place or 'the list'} has {len(new)} elements instead of {len(old)}"
        for n, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from data_differences(one, other, tolerance, place=f"{place}[{n}]", same_text=same_text)
        return
    if _is_number(old) and _is_number(new):
        same = _equal_numbers(old, new, tolerance)
    elif isinstance(old, str) and isinstance(new, str):
        same = same_text(old, new)
    else:
        same = type(old) is type(new) and bool(old == new)
    if not same:
        texts = isinstance(old, str) and isinstance(new, str)
        what = change(old, new, _WIDTH) if texts else f"{_shown(old)} became {_shown(new)}"
        yield f"{place or 'the value'}: {what}"


def _equal_numbers(old: float, new: float, tolerance: float) -> bool:
    try:
        return old == new or equal_numbers(float(old), float(new), tolerance)
    except OverflowError:  # an integer that no float can represent
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return shown(value, _WIDTH)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
