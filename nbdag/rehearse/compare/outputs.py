"""Compare the outputs of a cell in two executions.

Outputs are nbformat's dicts. All texts that a cell prints to a stream are joined before they are compared. If an output
has several forms, the form that Jupyter shows is compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .data import data_differences
from .images import image_difference, svg_difference
from .tables import html_difference
from .texts import TOLERANCE, shown, text_difference

_WIDGET = "application/vnd.jupyter.widget-view+json"
_ESTIMATOR = "sk-text-repr-fallback"  # scikit-learn's diagram of an estimator, which shows how long the fit took
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_RANDOM_ID = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,64}\b"
)


def output_difference(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], tolerance: float = TOLERANCE
) -> str | None:
    """Return the first difference between the outputs of two executions of a cell; None if they are equal."""
    for stream in ("stdout", "stderr"):
        before, after = _stream(first, stream), _stream(second, stream)
        if (found := text_difference(before, after, tolerance)) is not None:
            if not after.strip():
                return f"{shown(_first_line(before))} is no longer printed"
            return f"{shown(_first_line(after))} was printed" if not before.strip() else found
    old, new = _displays(first), _displays(second)
    for a, b in zip(old, new, strict=False):
        if (found := _display_difference(a, b, tolerance)) is not None:
            return found
    if len(old) > len(new):
        return f"{_kind(old[len(new)])} is no longer displayed"
    return f"{_kind(new[len(old)])} is displayed" if len(new) > len(old) else None


def has_outputs(outputs: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether outputs show anything that `output_difference` compares."""
    outputs = list(outputs)
    return bool(_displays(outputs)) or any(_stream(outputs, stream).strip() for stream in ("stdout", "stderr"))


def _stream(outputs: Iterable[Mapping[str, Any]], name: str) -> str:
    return "".join(
        _text(each.get("text", ""))
        for each in outputs
        if each.get("output_type") == "stream" and each.get("name") == name
    )


def _displays(outputs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in outputs if each.get("output_type") != "stream" and _WIDGET not in (each.get("data") or {})]


def _display_difference(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float) -> str | None:
    if "error" in (old.get("output_type"), new.get("output_type")):
        before, after = _error(old), _error(new)
        if before and after:
            return text_difference(before, after, tolerance)
        return f"{shown(after)} was raised" if after else f"{shown(before)} is no longer raised"
    data, other = old.get("data") or {}, new.get("data") or {}
    for form in _IMAGES:
        if form in data and form in other:
            return image_difference(_text(data[form]), _text(other[form]))
    if "image/svg+xml" in data and "image/svg+xml" in other:
        return svg_difference(_text(data["image/svg+xml"]), _text(other["image/svg+xml"]))
    for form in sorted(data.keys() & other.keys()):
        if form.endswith("json"):
            return next(data_differences(data[form], other[form], tolerance, same_text=_same_text), None)
    for form in ("text/html", "text/markdown", "text/latex", "text/plain"):
        if form in data and form in other:
            if form == "text/html" and _ESTIMATOR in _text(data[form]) and "text/plain" in data:
                continue
            before, after = (_RANDOM_ID.sub("<id>", _text(each[form])) for each in (data, other))
            if form == "text/html":
                return html_difference(before, after, tolerance)
            return text_difference(before, after, tolerance)
    return f"{_kind(old)} became {_kind(new)}" if data.keys() != other.keys() else None


def _same_text(old: str, new: str) -> bool:
    return _RANDOM_ID.sub("<id>", old) == _RANDOM_ID.sub("<id>", new)


def _error(output: Mapping[str, Any]) -> str:
    if output.get("output_type") != "error":
        return ""
    return _first_line(f"{output.get('ename', '')}: {output.get('evalue', '')}")


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


def _kind(output: Mapping[str, Any]) -> str:
    data = output.get("data") or {}
    if output.get("output_type") == "error":
        return f"the error {output.get('ename', '')}"
    if any(form.startswith("image/") for form in data):
        return "an image"
    if "<table" in _text(data.get("text/html", "")):
        return "a table"
    return shown(_first_line(_text(data.get("text/plain", "")))) if "text/plain" in data else "an output"


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
