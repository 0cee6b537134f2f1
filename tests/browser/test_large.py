"""A graph that is larger than the view."""

from __future__ import annotations

import pytest

from .bare import broad_cells, drawn

# Whether all elements of a selector are within the frame of the graph.
INSIDE = """((selector) => {
  const frame = document.querySelector('.nbdag-frame').getBoundingClientRect()
  return [...document.querySelectorAll(selector)].every((each) => {
    const box = each.getBoundingClientRect()
    return box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom
  })
})"""


@pytest.fixture
def bare(bare):
    bare.begin(drawn(broad_cells(120)))
    return bare


def test_a_graph_of_many_tasks_opens_with_its_shape_and_names_boxes_under_the_pointer(bare):
    page = bare.page
    page.wait_for_function(f"() => {INSIDE}('.nbdag-box')")
    assert page.locator(".nbdag-graph text").count() == 0, "names have no room"
    page.locator("[data-id=step_70]").hover()
    page.locator(".nbdag-tip", has_text="step_70").get_by_text("not run").wait_for()
    page.mouse.move(0, 0)
    page.locator(".nbdag-tip").wait_for(state="detached")


def test_the_overview_shows_the_whole_graph_and_a_click_moves_the_view(bare):
    page, camera = bare.page, "document.querySelector('.nbdag-graph > g').getAttribute('transform')"
    for _ in range(4):
        page.get_by_role("button", name="Zoom in").click()
    overview = page.locator(".nbdag-overview")
    reds = (
        "() => { const c = document.querySelector('.nbdag-overview');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;"
        " for (let i = 0; i < d.length; i += 4) if (d[i] > 180 && d[i + 1] < 110 && d[i + 3] > 200) n += 1; return n }"
    )
    page.wait_for_function(  # the overview is drawn after the graph
        "() => { const c = document.querySelector('.nbdag-overview');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((each) => each) }"
    )
    assert page.evaluate(reds) == 0
    bare.change({"step_119": {"state": "failed"}})  # far below the visible part
    page.wait_for_function(f"({reds})() > 3")
    before, place = page.evaluate(camera), overview.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] - 6)
    assert page.evaluate(camera) != before
    # The boxes there get their text, and the click on the overview selects no task.
    page.wait_for_function("document.querySelector('[data-id=step_110]').textContent.includes('step_110')")
    assert page.locator(".nbdag-panel").count() == 0
    page.get_by_role("button", name="Fit").click()
    overview.wait_for(state="hidden")


def test_a_found_task_comes_into_view(bare):
    bare.page.get_by_label("Find a task").fill("step_118")
    bare.page.keyboard.press("Enter")
    frame, box = (
        bare.page.locator(".nbdag-frame").bounding_box(),
        bare.page.locator("[data-id=step_118]").bounding_box(),
    )
    assert frame["x"] < box["x"] < frame["x"] + frame["width"]
    assert frame["y"] < box["y"] < frame["y"] + frame["height"]
