"""Graphs open as a whole if that is legible, no text is smaller than 11 pixels, and the panel covers no box."""

from __future__ import annotations

import pytest

from .bare import broad_cells, drawn

SIXTEEN = (
    "%dag churn_features",
    "%%task load_orders\nimport math\norders = [1, 2, 3]",
    "%%task load_customers\ncustomers = [math.pi]",
    "%%task load_events\nevents = [math.e]",
    "%%task clean_orders\norders_clean = orders[:]",
    "%%task clean_customers\ncustomers_clean = customers[:]",
    "%%task clean_events\nevents_clean = events[:]",
    "%%task join_everything\njoined = orders_clean + customers_clean + events_clean",
    "%%task features_recency\nrecency = max(joined)",
    "%%task features_frequency\nfrequency = len(joined)",
    "%%task features_monetary\nmonetary = sum(joined)",
    "%%task assemble_features\nX = [recency, frequency, monetary]",
    "%%task split_train_test\nX_train, X_test = X[:2], X[2:]",
    "%%task train_model\nmodel = sum(X_train)",
    "%%task evaluate_model\nscore = model - sum(X_test)",
    "%%task write_report\nprint(score, orders)",
    "%%task publish_model --after write_report\nprint(model)",
)
# The smallest text in view, in pixels of the page. A text that is not drawn has no height.
SMALLEST = """() => Math.min(...[...document.querySelectorAll('.nbdag-graph text')]
  .filter((text) => text.getClientRects().length && text.getBoundingClientRect().height)
  .map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
# How far the boxes reach beyond each side of the frame, and the difference between the margins on both sides.
PLACE = """() => {
  const frame = document.querySelector('.nbdag-frame').getBoundingClientRect()
  const boxes = [...document.querySelectorAll('.nbdag-box')].map((box) => box.getBoundingClientRect())
  const [left, right] = [Math.min(...boxes.map((box) => box.left)), Math.max(...boxes.map((box) => box.right))]
  const [top, bottom] = [Math.min(...boxes.map((box) => box.top)), Math.max(...boxes.map((box) => box.bottom))]
  return { beyond: Math.max(frame.left - left, right - frame.right, frame.top - top, bottom - frame.bottom),
           apart: Math.abs(left - frame.left - (frame.right - right)) }
}"""


def test_a_graph_of_sixteen_tasks_opens_whole_and_the_panel_covers_no_box(notebook):
    nb = notebook(*SIXTEEN)
    nb.open_graph()
    page = nb.page
    page.wait_for_function(f"() => ({PLACE})().beyond <= 0")  # the layout for this width has arrived
    place = page.evaluate(PLACE)
    frame = page.locator(".nbdag-frame").bounding_box()
    assert place["apart"] < frame["width"] / 4
    assert page.evaluate(SMALLEST) >= 10.99
    nb.box("join_everything").click()
    page.wait_for_selector(".nbdag-panel .nbdag-source")
    page.wait_for_function(f"() => ({PLACE})().beyond <= 0 && ({SMALLEST})() >= 10.99")
    # The page, and the panel beside the graph: nothing within the panel has a scroll bar for its height.
    nested = page.locator(".nbdag-panel *").evaluate_all(
        "(all) => all.filter((each) => /auto|scroll/.test(getComputedStyle(each).overflowY)"
        " && each.scrollHeight > each.clientHeight + 1).map((each) => each.className)"
    )
    assert nested == []
    nb.button("Close").click()
    labels = page.locator(".nbdag-edge-label").all_text_contents()
    assert "orders" in labels
    assert not any("math" in label for label in labels), "an import is no data"
    assert nb.errors == []


@pytest.mark.parametrize("tasks", [16, 60, 200])
def test_no_text_is_smaller_than_11_pixels_at_any_zoom(bare, tasks):
    graph = drawn(broad_cells(tasks, min(20, tasks // 2)))
    for width in (400, 1200):
        bare.load(width=width)
        bare.begin(graph)
        smallest = [bare.page.evaluate(SMALLEST)]
        bare.page.get_by_role("button", name="Fit").click()
        for _ in range(6):
            bare.page.evaluate("async () => { await bare.painted(); await bare.painted() }")
            smallest.append(bare.page.evaluate(SMALLEST))
            bare.page.get_by_role("button", name="Zoom in").click()
        assert all(each is None or each >= 10.99 for each in smallest), (width, smallest)
        assert any(each is not None for each in smallest), width
