"""A widget's text is that of its last state."""

from __future__ import annotations

import pytest

from nbdag.kernels.jupyter.widget_texts import VIEW, widget_text, write_widget_texts


def progress(value, **more):
    return {"_model_name": "FloatProgressModel", "value": value, "min": 0.0, "max": 30.0, **more}


TQDM = {
    "box": {"_model_name": "HBoxModel", "children": ["IPY_MODEL_left", "IPY_MODEL_bar", "IPY_MODEL_right"]},
    "left": {"_model_name": "HTMLModel", "value": "rows: 100%"},
    "bar": progress(30.0),
    "right": {"_model_name": "HTMLModel", "value": "\u200730/30\u2007[00:00&lt;00:00]"},
}


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (progress(0.0), "|          |"),
        (progress(15.0, description="half"), "half |█████     |"),
        (progress(99.0), "|██████████|"),
        (progress(None, max=None), "|          |"),
        (progress(0.0, max=0.0), "|██████████|"),
        ({"_model_name": "LabelModel", "value": "done"}, "done"),
        ({"_model_name": "HTMLModel", "value": "<b>a &amp; b</b><br>"}, "a & b"),
        ({"_model_name": "VBoxModel", "children": ["IPY_MODEL_box", "IPY_MODEL_bar"]}, None),
        ({"_model_name": "HBoxModel", "children": ["IPY_MODEL_one"]}, None),
        ({"_model_name": "IntSliderModel", "value": 3}, None),
        ({}, None),
    ],
)
def test_only_widgets_with_text_or_progress_have_a_text(state, text):
    assert widget_text("one", {"one": state}) == text


def test_the_bar_of_tqdm_has_its_last_state():
    text = "rows: 100%|██████████| 30/30 [00:00<00:00]"
    assert widget_text("box", TQDM) == text
    outputs = [{"data": {VIEW: {"model_id": model}, "text/plain": "rows: 0%"}} for model in ("box", "unknown")]
    notebook = {"cells": [{"outputs": [*outputs, {"output_type": "stream", "text": "x"}]}, {"cell_type": "markdown"}]}
    write_widget_texts(notebook, TQDM)
    assert [each["data"]["text/plain"] for each in outputs] == [text, "rows: 0%"]
