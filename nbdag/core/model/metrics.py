"""Metrics of a run: every stored value of a task that is one number, and the variables of `--metric`.

A metric is a float: a bool counts as 0 or 1, and NaN and infinities are kept. NumPy scalars and arrays without
dimensions are numbers, too. Values of other classes, such as `decimal.Decimal`, are not: converting them would hide a
loss of precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_EXACT = 2**53  # a float represents every smaller integer exactly
# JSON has no infinite numbers. Python's `float` and JavaScript's `Number` both read these texts.
_NOT_JSON = {math.inf: "Infinity", -math.inf: "-Infinity"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number that an attempt stored."""

    name: str
    value: float
    marked: bool = False  # whether --metric names the metric; if not, it is an output that happens to be one number
    position: int = 0  # position among the metrics of the attempt, from 0; those of --metric come first


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """A metric of one task in one run. A mapped task has one value for each instance."""

    # The mean of the values that are not NaN; NaN if all values are NaN; infinite if a value exceeds 1e140.
    value: float
    lowest: float
    highest: float
    count: int  # number of values


def metrics_of(
    values: Mapping[str, object], wanted: Sequence[str], outputs: Sequence[str]
) -> tuple[tuple[Metric, ...], dict[str, str]]:
    """Return the metrics of an attempt, and for each variable of --metric that is not a metric, the reason.

    `values` are the attempt's variables by name, `wanted` the names of --metric, and `outputs` the stored names.
    """
    found: list[Metric] = []
    refused: dict[str, str] = {}
    for name in dict.fromkeys((*wanted, *outputs)):
        number = number_of(values.get(name))
        if number is not None:
            found.append(Metric(name=name, value=number, marked=name in wanted, position=len(found)))
        elif name in wanted:
            refused[name] = _why_not(values[name]) if name in values else "the cell did not set it"
    return tuple(found), refused


def number_of(value: object) -> float | None:
    """Return a value as a float. Return None if the value is not one real number, or is too large for a float."""
    if not isinstance(value, int | float):
        value = _item(value)
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _item(value: object) -> object:
    """Return the element of an array without dimensions or of a NumPy scalar, or None for any other value.

    Dates and times are no numbers, although `item` returns their nanoseconds. A masked element has no value.
    """
    array: Any = value
    try:
        is_time = getattr(array.dtype, "kind", "") in "mM"
        return array.item() if array.ndim == 0 and not is_time and not getattr(array, "mask", False) else None
    except Exception:  # the attributes of a user's class may raise anything
        return None


def _why_not(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, int):
        return "it is too large for a float"
    return f"its type is {name}, and a metric is a bool, int, float or NumPy scalar (convert it with float())"


def json_number(value: float) -> float | int | str:
    """Return a number as JSON: integers without a decimal point; NaN and infinities as texts, such as "NaN"."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return _NOT_JSON[value]
    return int(value) if value == int(value) and abs(value) < _EXACT else value


def number_text(value: float) -> str:
    """Return a number for people: an integer in full, any other number with up to six significant digits."""
    plain = json_number(value)
    return str(plain) if isinstance(plain, int) else f"{value:.6g}"
