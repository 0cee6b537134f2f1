"""The text of Jupyter widgets at the end of a task, such as the progress bar of `tqdm.auto`.

A widget's output contains the text that the widget had when it was displayed, such as 0 %. Pages that do not draw
widgets, such as nbdag's report and GitHub, show this text. So nbdag replaces the text by one from the widget's last
state. This is done only for widgets that display text or progress, and for boxes of these. The output of any other
widget keeps the text that its library wrote.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"
_MODEL = "IPY_MODEL_"
_TAG = re.compile(r"<[^>]*>")
_WIDTH = 10  # characters of a progress bar
_MAX_DEPTH = 8


def write_widget_texts(notebook: Mapping[str, Any], widgets: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace the text of each widget in the outputs by the text of its state. `widgets` has the states by model id."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if VIEW not in data:
                continue
            text = widget_text(str(data[VIEW].get("model_id")), widgets)
            if text is not None:
                data["text/plain"] = text


def widget_text(model: str, widgets: Mapping[str, Mapping[str, Any]], depth: int = 0) -> str | None:
    """Return the text of a widget, or None if it displays no text."""
    state = widgets.get(model, {})
    kind = str(state.get("_model_name", "")).removesuffix("Model")
    if kind in ("HBox", "VBox", "Box") and depth < _MAX_DEPTH:
        children = (str(each).removeprefix(_MODEL) for each in state.get("children", ()))
        texts = [text for child in children if (text := widget_text(child, widgets, depth + 1)) is not None]
        return ("" if kind == "HBox" else "\n").join(texts) if texts else None
    if kind in ("HTML", "HTMLMath", "Label"):
        return _described(state, html.unescape(_TAG.sub("", str(state.get("value", "")))).replace("\u2007", " "))
    if kind in ("FloatProgress", "IntProgress"):
        return _described(state, f"|{_bar(state)}|")
    return None


def _described(state: Mapping[str, Any], text: str) -> str:
    description = str(state.get("description") or "")
    return f"{description} {text}" if description else text


def _bar(state: Mapping[str, Any]) -> str:
    low, high, value = (
        _number(state.get(name), default) for name, default in (("min", 0.0), ("max", 100.0), ("value", 0.0))
    )
    done = (value - low) / (high - low) if high > low else 1.0
    full = round(_WIDTH * min(max(done, 0.0), 1.0))
    return "█" * full + " " * (_WIDTH - full)


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
