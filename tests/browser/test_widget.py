"""The graph of a notebook in JupyterLab and Notebook 7: everything that a user can see and do."""

from __future__ import annotations

import json
import re
import time

import pytest
from patience import LONG, until

HOSTS = [
    "lab",
    pytest.param("notebook", marks=pytest.mark.slow),
]  # tests/browser/test_access.py always opens Notebook 7
PIPELINE = (
    "%dag churn",
    "%%task extract\nrows = list(range(10))\nrows",
    "%%task prep\nX = [row * 2 for row in rows]",
    "%%task train\nimport time\ntime.sleep(1)\nmodel = sum(X)",
    "%%task validate\nscore = model / 0",
    "%%task deploy --after prep\nprint(score)",
)


def test_a_pipeline_can_be_run_inspected_and_reloaded(notebook, lab):
    """Cells are executed by hand and become stale; a headless run fails; the page is reloaded."""
    nb = notebook(*PIPELINE)
    nb.open_graph()
    assert nb.page.locator(".nbdag-box").count() == 5
    nb.run(3, 4)
    nb.box("extract", "success")
    nb.box("prep", "success")
    nb.edit(3, "%%task extract\nrows = list(range(20))\nrows")
    nb.run(3)
    nb.box("prep", "stale", "extract ran again after this task")

    nb.edit(7, "%%task deploy\nprint(rows or score)")
    nb.run(7)
    nb.box("deploy", "stale", "follows extract, validate")  # the new edge is in the layout

    nb.button("Run all").click()
    nb.box("train", "running")
    nb.box("validate", "failed")
    nb.box("deploy", "upstream_failed")
    nb.box("validate").click()
    nb.page.wait_for_selector(".nbdag-panel .nbdag-error:has-text('ZeroDivisionError: division by zero')")
    assert "list(range(20))" in nb.path.read_text(), "the page was saved before the run"

    nb.button("Close").click()
    nb.page.wait_for_selector(".nbdag-panel", state="detached")
    lab.reload()
    lab.opened(nb.path.name)
    nb.box("prep", "stale")
    nb.page.select_option(".nbdag-runs", index=1)
    nb.box("validate", "failed")
    assert nb.errors == []


@pytest.mark.parametrize("at", HOSTS)
def test_every_view_and_tool_of_the_graph_works(notebook, at):
    nb = notebook(
        "%dag ways",
        "%%task load --doc 'All there is'\nrows = [1, 2, 3]",
        "%%task twice --map row=rows --retries 1 --retry-delay 0s\nfrom pathlib import Path\n"
        f"seen = Path('seen_{at}_' + str(row))\nassert seen.exists() or seen.touch()\ntwo = row * 2",
        "%%task total\nx = sum(two)",
        "%%task tell --after total\nfrom tqdm.auto import tqdm\nimport time\nfor _ in tqdm(range(5)): time.sleep(0.2)",
        "%%task end --after tell\nlast = 1",
        at=at,
    )
    nb.open_graph()
    page, tip = nb.page, nb.page.locator(".nbdag-tip")

    def point_between(a, b):
        one, two = nb.box(a).bounding_box(), nb.box(b).bounding_box()
        height = one["y"] + one["height"] / 2 + two["y"] + two["height"] / 2
        page.mouse.move((one["x"] + one["width"] + two["x"]) / 2, height / 2)
        return tip.inner_text()

    assert re.search(
        r"load → twice\s+inferred; carries rows\s+rows: written in cell 4, line 2", point_between("load", "twice")
    )
    assert "declared" in point_between("total", "tell")
    page.mouse.move(0, 0)
    tip.wait_for(state="detached")

    where = nb.box("end").get_attribute("transform")
    nb.button("Lay out top to bottom").click()
    page.wait_for_function(
        "(was) => document.querySelector('[data-id=end]').getAttribute('transform') !== was", arg=where
    )
    assert nb.box("end").bounding_box()["y"] > nb.box("load").bounding_box()["y"] + 100
    nb.button("Chains").click()
    chain = page.wait_for_selector(".nbdag-box:has-text('5 tasks')")
    chain.click()
    page.locator(".nbdag-members button", has_text="total").click()
    page.wait_for_selector(".nbdag-panel[aria-label='Task total']")
    nb.button("Close").click()
    nb.button("Chains").click()
    nb.button("Lay out left to right").click()
    nb.box("total")

    page.locator(".nbdag-app input[type=search]").fill("t")
    dimmed = page.locator(".nbdag-dimmed")
    until(lambda: dimmed.evaluate_all("(all) => all.map((box) => box.dataset.id)") == ["load", "end"], "the search")
    page.locator(".nbdag-app input[type=search]").fill("")

    nb.button("Run all").click()
    nb.box("end", "success")
    page.wait_for_selector(".nbdag-shown-run:has-text('success')")
    for text in ("3 of 3", "try 2"):
        page.wait_for_selector(f'.nbdag-box[data-id="twice"]:has-text("{text}")')
    nb.box("twice", label="3 instances")
    nb.box("tell").click()
    page.wait_for_selector(".nbdag-panel .nbdag-outputs:has-text('100%')")
    nb.button("Close").click()
    nb.button("Critical path").click()
    page.wait_for_function("() => document.querySelectorAll('.nbdag-highlighted path').length")
    nb.button("Timeline").click()
    page.locator(".nbdag-timeline li", has_text="twice").locator(".nbdag-bar").nth(5).wait_for()  # two attempts each
    assert page.locator(".nbdag-timeline .nbdag-critical").count() >= 3
    nb.button("Grid").click()
    page.locator(".nbdag-grid td[data-task=total]").click()
    page.wait_for_selector(".nbdag-panel[aria-label='Task total'] .nbdag-values:has-text('[2, 4, 6]')")
    page.locator(".nbdag-panel").get_by_role("button", name="cell 5, line 5").first.click()
    flashed = page.wait_for_selector(".nbdag-flash", state="attached")
    assert flashed.inner_text() == "two = row * 2"
    if at == "notebook":  # test_a_pipeline_can_be_run_inspected_and_reloaded does this in JupyterLab
        nb.button("Graph").click()
        page.select_option(".nbdag-runs", "")
        nb.run(3)
        nb.box("load", "success")
        nb.edit(3, "%%task load\nrows = [1, 2]")
        nb.box("load", "stale")
        page.keyboard.press("Control+s")
        page.reload()
        nb.box("load", "stale")
        page.select_option(".nbdag-runs", index=1)
        nb.box("end", "success")
    assert nb.errors == []


def test_the_kernel_is_free_during_a_run_that_is_then_cancelled_and_a_restart_is_reported(notebook):
    nb = notebook("%dag slow", "%%task wait\nimport time\ntime.sleep(600)", "%%skip\nfree = 1", "%%task one\nx = 1")
    nb.open_graph()
    nb.button("Run all").click()
    nb.page.wait_for_selector(".nbdag-progress:has-text('Starting the run')")
    nb.box("wait", "running")
    nb.run(4)
    nb.button("Cancel").click()
    nb.page.wait_for_selector(".nbdag-progress:has-text('Cancelling')")
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('cancelled')")
    nb.page.wait_for_selector(".nbdag-progress", state="detached")
    nb.page.wait_for_selector(".nbdag-danger", state="detached")
    nb.box("wait", "cancelled")

    nb.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.restartKernel()")
    nb.page.wait_for_selector(".nbdag-app [role=alert]:has-text('The kernel was restarted')")
    assert nb.button("Run all").is_disabled()
    nb.box("wait", "cancelled")  # the last state remains
    nb.button("Draw it again").click()
    nb.box("wait", "none")
    assert nb.page.locator(".nbdag-app").count() == 1
    nb.box("one").click()
    nb.button("Run up to here").click()
    nb.box("one", "success")
    nb.page.wait_for_selector(".nbdag-progress", state="detached")
    assert nb.errors == []


def test_a_failed_task_is_retried_with_all_tasks_downstream_or_alone(notebook, tmp_path):
    there = tmp_path / "there"
    nb = notebook(
        "%dag again",
        "%%task one\nx = 1",
        f"%%task two\ny = open({str(there)!r}).read() * x",
        "%%task three\nprint(y)",
    )
    nb.open_graph()
    nb.button("Run all").click()
    nb.box("two", "failed").click()
    nb.box("three", "upstream_failed")
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('failed')")
    tries = nb.page.locator(".nbdag-panel[aria-label='Task two'] .nbdag-tries button")
    nb.button("Retry failed").click()
    tries.nth(1).locator("svg[aria-label*=failed]").wait_for()
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('failed')")
    there.write_text("here now")
    nb.button("Clear and retry").click()
    nb.box("three", "success")
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('success')")
    tries.nth(2).locator("svg[aria-label*=done]").wait_for()
    nb.button("Clear only this").click()
    tries.nth(3).locator("svg[aria-label*=done]").wait_for()
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('success')")
    assert nb.page.locator(".nbdag-runs option").count() == 2, "the retries are in the same run"
    assert nb.errors == []


def test_a_run_from_a_terminal_is_announced_and_can_be_shown(notebook, server):
    nb = notebook("%dag elsewhere", "%%task one\nx = 1", "%%task two\ny = x")
    nb.open_graph()
    with server.nbdag("run", str(nb.path), "--no-progress"):
        nb.button("Show it").click()
        nb.box("two", "success")
        nb.page.wait_for_selector(".nbdag-shown-run:has-text('success')")


def test_partial_runs_use_and_load_earlier_values_and_a_notebook_can_be_deployed(notebook):
    nb = notebook("%dag some", "%%task one\nx = 41", "%%task two\ny = x + 1", "%%task three\nz = y", "%%skip\nprint(y)")
    nb.open_graph()
    ways = (("Run up to here", ["one", "two"]), ("Run this", ["two"]), ("Run from here", ["two", "three"]))
    done = nb.page.locator(".nbdag-box[data-state=success]")
    for runs, (name, ran) in enumerate(ways, start=2):
        nb.box("two").click()
        nb.button(name).click()
        nb.page.wait_for_function("(n) => document.querySelectorAll('.nbdag-runs option').length === n", arg=runs)
        nb.page.wait_for_selector(".nbdag-shown-run:has-text('success')")
        until(lambda: done.evaluate_all("(all) => all.map((box) => box.dataset.id)") == ran, name)  # noqa: B023
    nb.button("Load into kernel").click()
    nb.page.wait_for_selector(".nbdag-notice:has-text('into this kernel')")
    nb.run(6)
    nb.page.wait_for_selector(".jp-OutputArea-output:has-text('42')")
    nb.button("Deploy").click()
    nb.page.wait_for_selector(".nbdag-notice:has-text('some is deployed')")
    assert nb.errors == []


def test_an_edit_makes_a_task_stale_without_executing_or_saving_it(notebook):
    nb = notebook("%dag edits", "%%task one\nx = 1", "%%task two\ny = x")
    nb.open_graph()
    nb.run(3, 4)
    nb.box("two", "success")
    before = nb.path.read_text()
    nb.edit(3, "%%task one\nx = 2")
    nb.box("one", "stale")
    nb.box("two", "stale")
    assert nb.path.read_text() == before
    nb.edit(3, "%%task one\nx = 1")
    nb.box("two", "success")
    nb.edit(3, "%%task one\nx = 2")
    nb.page.keyboard.press("Control+s")
    nb.box("one", "stale", "the cell was edited after it ran")
    nb.box("two", "stale", "one is stale")
    nb.button("Run stale (2)").click()
    nb.box("one", "success")
    nb.box("two", "success")
    assert nb.errors == []


@pytest.mark.parametrize("at", HOSTS)
def test_a_jump_shows_a_cell_far_down_the_page(notebook, at):
    nb = notebook("%dag far", *(f"%%skip\nfiller = {n}" for n in range(90)), "%%task last\nx = 1\ny = 2", at=at)
    nb.open_graph()
    nb.box("last").click()
    nb.page.locator(".nbdag-panel").get_by_role("button", name="cell 94, line 1").click()
    nb.page.wait_for_selector(".nbdag-flash:has-text('%%task last')")
    nb.page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-Notebook .cm-line')].some((line) => { const box = line.getBoundingClientRect();"
        " return line.textContent === '%%task last' && box.top > 0 && box.bottom < innerHeight })"
    )
    assert nb.errors == []


def test_every_task_can_be_opened_by_keyboard_and_a_jump_to_a_deleted_cell_shows_the_reason(notebook):
    nb = notebook("%dag keys", "%%task first\na = 1", "%%task second\nb = a", "%%task third\nc = b")
    nb.open_graph()
    cells = nb.page.locator(".jp-Notebook .jp-CodeCell")
    # Like Tab from the cell: JupyterLab focuses a cell that becomes active.
    cells.nth(1).locator(".jp-InputPrompt").click()
    nb.page.locator(".nbdag-box[tabindex='0']").focus()
    nb.page.keyboard.press("ArrowRight")
    nb.page.keyboard.press("ArrowRight")
    assert nb.page.evaluate("document.activeElement.dataset.id") == "third"
    nb.page.keyboard.press("Enter")
    nb.page.wait_for_selector(".nbdag-panel h3:has-text('third')")
    why = nb.page.wait_for_selector(".nbdag-reasons").inner_text()
    assert re.search(r"second.*b, written in cell 5, line 2, read in cell 6, line 2", why.replace("\n", " "))
    nb.page.keyboard.press("Escape")
    nb.page.wait_for_selector(".nbdag-panel", state="detached")
    assert nb.page.evaluate("document.activeElement.dataset.id") == "third"
    assert cells.count() == 6, "the keys triggered no commands of the notebook"

    nb.page.keyboard.press("Enter")
    link = nb.page.locator(".nbdag-panel").get_by_role("button", name="cell 6, line 1")
    link.wait_for()
    last = cells.nth(5)
    last.locator(".jp-InputPrompt").click()
    nb.page.keyboard.press("d")
    nb.page.keyboard.press("d")
    last.wait_for(state="detached")
    link.click()
    nb.page.wait_for_selector(".nbdag-notice:has-text('Cell 6 is no longer in the notebook: run %dag again.')")
    assert nb.errors == []


def test_no_output_of_a_task_runs_code_in_a_real_notebook(notebook):
    wicked = (
        "<script>top.ran = 1</script><img src=x onerror='top.ran = 2'><a id=a href='javascript:top.ran=3'>x</a>"
        "<svg onload='top.ran = 4'></svg><b>shown</b>"
    )
    nb = notebook(
        "%dag wicked",
        f"%%task html --out x\nfrom IPython.display import HTML, display\nx = 1\nHTML({wicked!r})",
        "%%task svg\nfrom IPython.display import SVG\n"
        'SVG(\'<svg xmlns="http://www.w3.org/2000/svg" onload="top.ran = 5"><script>top.ran = 6</script></svg>\')',
        "%%task js\nfrom IPython.display import Javascript\nJavascript('top.ran = 7')",
        "%%task text\nprint('<img src=x onerror=\"top.ran = 8\">')",
    )
    nb.open_graph()
    nb.button("Run all").click()
    nb.page.wait_for_selector(".nbdag-shown-run:has-text('success')")
    for task, shown in (("html", "iframe"), ("svg", "img"), ("js", "pre.nbdag-text"), ("text", "pre.nbdag-text")):
        nb.box(task).click()
        nb.page.wait_for_selector(f".nbdag-panel[aria-label='Task {task}'] .nbdag-try {shown}")
        if task == "html":
            frame = nb.page.frame_locator(".nbdag-try iframe")
            frame.locator("b:has-text('shown')").wait_for()
            frame.locator("#a").click()
    assert nb.page.evaluate("window.ran") is None


def test_a_saved_notebook_shows_the_last_picture_without_a_kernel(notebook, lab, server, tmp_path):
    nb = notebook("%dag saved", "%%task one\nx = 1", "%%task two\ny = x")
    nb.open_graph()
    nb.run(3)
    nb.box("one", "success")
    nb.page.keyboard.press("Control+s")
    deadline = time.monotonic() + LONG
    while "saved: 2 tasks" not in nb.path.read_text():
        assert time.monotonic() < deadline, "the page has not saved the notebook"
        nb.page.wait_for_timeout(50)
    (output,) = json.loads(nb.path.read_text())["cells"][1]["outputs"]
    assert set(output["data"]) == {"image/svg+xml", "text/plain"}
    assert "".join(output["data"]["image/svg+xml"]).count("#2c9149") >= 2, (
        "the box of one is green: it was saved after %dag ran"
    )
    assert len(nb.path.read_text()) < 20_000, "the file has the picture, not the widget's code"
    nb.box("one", "success")  # the page still shows the widget

    # The HTML from nbconvert works offline.
    from nbconvert import HTMLExporter

    html = tmp_path / "saved.html"
    html.write_text(HTMLExporter().from_filename(str(nb.path))[0])
    offline = nb.page.context.browser.new_page(offline=True)
    offline.goto(html.as_uri(), wait_until="domcontentloaded")
    drawn = offline.wait_for_selector("img[src^='data:image/svg']")
    assert drawn.evaluate("async (img) => (await img.decode(), img.naturalHeight)") > 40
    offline.close()

    lab.clear()
    server.end_kernels()
    lab.opened(nb.path.name)
    nb.page.wait_for_selector(".jp-OutputArea :is(img, svg[aria-label='saved: 2 tasks'])")
    assert nb.page.locator("text=model not found").count() == 0
    assert nb.page.locator(".nbdag-app").count() == 0
