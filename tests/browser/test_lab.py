"""The JupyterLab extension: tag, run, watch, break, repair, deploy by pointing, in an ordinary notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import LONG, until

from .conftest import Notebook, wait_for_kernel
from .site import serious_violations

CELLS = (
    "# Orders\nAn ordinary notebook.",
    "import time\nN = 10",
    "rows = list(range(N))",
    "doubled = [2 * row for row in rows]",
    "print(sum(doubled))",
)


TASKS = ("import time", "%%task rows\nrows = [1, 2]", "%%task total --after rows  # by hand\nprint(sum(rows))")


@pytest.fixture
def plain(shown) -> Callable[..., Notebook]:
    """Return a function that opens a notebook without a cell of nbdag's own, such as %load_ext."""
    return lambda *sources, at="lab": shown("orders", sources, at, 1500, 950)


@pytest.fixture(scope="module")
def scheduler(server) -> Iterator[None]:
    process = server.nbdag("scheduler")
    yield
    process.terminate()
    process.wait(LONG)


def code(nb, n):
    return nb.page.locator(".jp-Notebook .jp-CodeCell").nth(n)


def tag(nb, n, role):
    """Give a code cell a role, with the button in the cell's toolbar."""
    code(nb, n).locator(".cm-content").click()
    code(nb, n).locator('[data-command="nbdag:choose-role"]').click()
    nb.page.locator(".lm-Menu-item", has_text=role).click()


def text(nb, n):
    return "\n".join(code(nb, n).locator(".cm-line").all_inner_texts())


def badge(nb, n, state=""):
    selector = f'.nbdag-badge[data-state="{state}"]' if state else ".nbdag-badge"
    found = code(nb, n).locator(selector)
    found.wait_for()
    return found


def field(nb, label):
    return nb.page.locator(".nbdag-side").get_by_label(label, exact=True)


def saved(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


def test_a_notebook_becomes_a_pipeline_by_pointing(plain, server, scheduler, context):
    """Tag three cells, run headlessly, watch, break, repair, deploy, see the next run on the page."""
    nb = plain(*CELLS)
    page = nb.page
    for n in (1, 2, 3):
        tag(nb, n, "Make Cell a Task")
        badge(nb, n, "none")
    assert [text(nb, n).split("\n")[0] for n in range(4)] == [
        "import time",
        "%%task rows",
        "%%task doubled",
        "%%task task_1",
    ]
    name = field(nb, "Name")
    name.fill("total")
    name.press("Enter")
    page.wait_for_selector(".nbdag-box[data-id=total]")
    assert text(nb, 3).startswith("%%task total\n")
    badge(nb, 0).get_by_text("setup", exact=True).wait_for()

    # The cells are ordinary cells in the kernel, which has loaded nbdag by itself.
    nb.run(0, 1, 2, 3)
    for n in (1, 2, 3):
        badge(nb, n, "success")
    code(nb, 3).locator(".jp-OutputArea-output", has_text="90").wait_for()

    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    page.wait_for_selector(".nbdag-side .nbdag-shown-run:has-text('success')")
    for task in ("rows", "doubled", "total"):
        nb.box(task, "success")
    assert saved(nb.path)[2:5] == [
        "%%task rows\n" + CELLS[2],
        "%%task doubled\n" + CELLS[3],
        "%%task total\n" + CELLS[4],
    ]

    # Broken: the problem is at its line, the task is stale before anything is saved, and a run is refused.
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nlost = missing")
    badge(nb, 2, "stale")
    code(nb, 2).locator(".nbdag-cell-problems", has_text="no cell above sets missing").wait_for()
    code(nb, 2).locator(".nbdag-line-error", has_text=re.compile("^lost = missing$")).wait_for()
    # The explanation of the code is shown under the pointer, both at the line and at the list of problems.
    title = code(nb, 2).locator(".nbdag-cell-problems li").get_attribute("title") or ""
    assert title.startswith("NB201 (error): a name that no cell above sets") and "Right:" in title
    code(nb, 2).locator(".nbdag-line-error").hover(position={"x": 30, "y": 8})
    page.locator(".nbdag-hover", has_text="would fail with a NameError").wait_for()
    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    page.wait_for_selector(".nbdag-notice:has-text('cannot run')")

    # Broken at run time: the run fails, and shows where.
    page.keyboard.press("Control+End")
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in "missing":
        page.keyboard.press("Backspace")
    page.keyboard.type("1 / 0")
    code(nb, 2).locator(".nbdag-cell-problems").wait_for(state="detached")
    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    nb.box("doubled", "failed")
    nb.box("total", "upstream_failed").click()
    nb.box("doubled").click()
    page.wait_for_selector(".nbdag-panel .nbdag-error:has-text('ZeroDivisionError')")
    page.locator(".nbdag-side").get_by_role("button", name="Close", exact=True).click()

    # Repaired, with a schedule from the form of the pipeline.
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.locator(".nbdag-dag-section > summary").click()
    schedule = field(nb, "schedule")
    schedule.fill("@once")
    schedule.press("Enter")
    page.wait_for_selector(".jp-CodeCell:has-text('%dag --schedule @once')")
    page.locator(".nbdag-side").get_by_role("button", name="Deploy").click()
    nb.page.locator(".nbdag-notice", has_text="A run has begun elsewhere").get_by_role("button", name="Show it").click()
    page.wait_for_selector(".nbdag-side .nbdag-shown-run:has-text('success')")
    nb.box("total", "success")

    other = context.new_page()
    other.goto(f"{server.url}/nbdag/?token={server.token}")
    other.wait_for_selector(f"tr[data-dag={nb.path.stem}] .pg-bar.nbdag-is-success >> nth=1")
    other.close()
    assert [each for each in nb.errors if "422" not in each] == []  # the browser logs that a run was refused


def test_a_failed_task_is_loaded_repaired_and_run_from_here_and_stale_cells_run_in_order(plain):
    """Give a parameter to a run, load the failed task, repair its cell, go on from there; then edit and run stale."""
    nb = plain("%%params\nn = 2", "%%task rows\nrows = list(range(n))", "%%task total\nt = sum(rows) / (n - 5)", "")
    page = nb.page
    badge(nb, 1).locator(".nbdag-chip").click()
    nb.box("total")
    nb.button("Run with…").click()
    form = page.get_by_role("form", name="Parameters of the run")
    value = form.get_by_label("n", exact=True)
    value.fill("many")
    value.press("Enter")
    form.locator(".nbdag-param-error", has_text="write a number").wait_for()
    value.fill("5")
    value.press("Enter")
    nb.box("total", "failed").click()
    panel = page.locator(".nbdag-panel[aria-label='Task total']")

    panel.get_by_role("button", name="Load into kernel").click()
    page.wait_for_selector(".nbdag-notice:has-text('loaded n, rows of total')")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell:nth-child(3).jp-mod-active")
    badge(nb, 1, "success")  # its value was loaded
    nb.edit(2, "%%task total\nt = sum(rows) / n")
    panel.locator(".nbdag-actions button").first.get_by_text("Run from here").wait_for()
    panel.get_by_role("button", name="Run from here").click()
    page.wait_for_selector(".nbdag-shown-run:has-text('success')")
    nb.box("total", "success")

    nb.edit(3, "%nbdag load total --inputs")
    nb.run(3)
    output = code(nb, 3).locator(".jp-OutputArea-output")
    output.get_by_text("total (success) is in cell 3").wait_for()
    page.wait_for_selector(".jp-Notebook .jp-CodeCell:nth-child(3).jp-mod-active")
    nb.edit(3, "(n, rows, t)")
    nb.run(0, 1, 2, 3)
    output.get_by_text("(2, [0, 1], 0.5)").wait_for()
    nb.edit(0, "%%params\nn = 3")
    nb.edit(1, "%%task rows\nrows = list(range(1, n + 1))")
    badge(nb, 2, "stale")
    page.get_by_label("Shown run").select_option("")
    nb.button("Run stale (2)").click()
    badge(nb, 2, "success")
    page.get_by_role("button", name="Run stale (2)").wait_for(state="detached")
    nb.run(3)
    output.get_by_text("(3, [1, 2, 3], 2.0)").wait_for()
    assert nb.errors == []


def test_a_copy_with_proposed_tasks_opens_with_the_reasons(plain, lab):
    nb = plain(
        "import math\nN = 10",
        "# Rows",
        "rows = list(range(N))",
        "# Even",
        "even = [row for row in rows if row % 2 == 0]",
        "# Odd",
        "odd = [row for row in rows if row % 2]",
        "# Total",
        "print(math.fsum(even) + math.fsum(odd))",
    )
    page = nb.page
    before = saved(nb.path)
    lab.execute("apputils:activate-command-palette")
    page.keyboard.type("propose tasks")
    page.locator(".lm-CommandPalette-item", has_text="Propose Tasks for This Notebook").click()
    proposal = page.get_by_role("region", name="Proposed tasks")
    proposal.get_by_text("can run at the same time").wait_for()
    copy = nb.path.with_name(f"{nb.path.stem}_tasks.ipynb")
    names = proposal.locator("ol > li > .nbdag-link").all_inner_texts()
    assert [f"%%task {name}" for name in names] == [
        each.split("\n")[0] for each in saved(copy) if each.startswith("%%task")
    ]
    assert len(names) == 4
    nb.box(names[-1])
    proposal.get_by_role("button", name=names[-1]).click()
    page.wait_for_selector(f".jp-Notebook:visible .jp-CodeCell.jp-mod-active:has-text('%%task {names[-1]}')")
    proposal.get_by_role("button", name="Close the proposal").click()
    proposal.wait_for(state="detached")
    assert saved(nb.path) == before

    # A copy that has tasks already is refused with the reason.
    lab.execute("nbdag:suggest")
    page.locator(".Toastify__toast", has_text="has tasks already").wait_for()
    assert [each for each in nb.errors if "422" not in each] == []  # the browser logs that the request was refused


@pytest.mark.slow
def test_the_findings_of_a_rehearsal_are_at_their_cells_until_those_are_edited(plain, lab):
    nb = plain("import datetime as dt\ntoday = dt.date.today()", "print(1)")
    lab.execute("nbdag:rehearse")
    nb.page.locator(".Toastify__toast", has_text="Rehearsal: 1 warning; 2 cells ran twice").wait_for()
    found = code(nb, 0).locator(".nbdag-cell-problems")
    found.get_by_text("line 2: datetime.date.today reads the current time; make it a parameter").first.wait_for()
    code(nb, 0).locator(".nbdag-line-warning", has_text=re.compile(r"^today = dt\.date\.today\(\)$")).wait_for()
    assert code(nb, 1).locator(".nbdag-cell-problems").count() == 0
    nb.edit(0, "today = '2026-01-01'")
    found.wait_for(state="detached")
    assert nb.errors == []


def test_the_form_writes_the_header_and_follows_its_text(plain):
    nb = plain(*TASKS)
    badge(nb, 2).locator(".nbdag-chip").click()
    header = code(nb, 2).locator(".cm-line").first
    retries = field(nb, "retries")
    retries.fill("2")
    retries.press("Enter")
    nb.page.wait_for_selector(".cm-line:has-text('--after rows --retries 2'):has-text('# by hand')")
    retries.fill("two")
    retries.press("Enter")
    nb.page.locator(".nbdag-field-problem", has_text="is not a whole number").wait_for()
    assert "--retries 2" in header.inner_text()

    assert nb.page.locator(".nbdag-side").get_by_label("retries", exact=True).get_attribute("aria-invalid") == "true"
    nb.edit(2, "%%task total --timeout 5m --check 'total > 1'\ntotal = sum(rows)")
    nb.page.wait_for_function("() => document.querySelector('.nbdag-side [placeholder=TIME]').value === '5m'")
    assert field(nb, "check").input_value() == "total > 1"
    assert retries.input_value() == ""
    nb.page.locator(".nbdag-tasks").get_by_role("button", name="rows").click()
    nb.page.wait_for_selector(".cm-line:has-text('%%task total --after rows --check')")

    role = nb.page.locator(".nbdag-roles")
    firsts = {"Setup": "%%setup", "Parameters": "%%params", "Skip": "%%skip", "No tag": "total = sum(rows)"}
    for name, first in firsts.items():
        role.get_by_role("radio", name=name).click()
        nb.page.wait_for_function(
            "([n, text]) => document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n].querySelector('.cm-line')"
            ".textContent === text",
            arg=[2, first],
        )
    badge(nb, 2).get_by_text("not in runs", exact=True).wait_for()
    assert nb.errors == []


def test_headers_are_completed_and_explained_while_the_kernel_is_busy(plain):
    nb = plain("x = 1", "%%task wait\nimport time\ntime.sleep(600)", "%%task rows --trig\nrows = 1")
    page = nb.page
    badge(nb, 1, "none")
    code(nb, 1).locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")
    badge(nb, 1, "running")
    code(nb, 2).locator(".cm-line").first.click()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.wait_for_selector(".cm-line:has-text('--trigger'), .jp-Completer-item:has-text('--trigger')")
    page.keyboard.press("Enter")
    page.keyboard.type(" all_do")
    code(nb, 2).locator(".nbdag-cell-problems", has_text="all_do is unknown").wait_for()
    page.mouse.move(0, 0)
    code(nb, 2).locator(".cm-line").first.hover(position={"x": 130, "y": 8})
    page.locator(".nbdag-hover", has_text="outcomes of the upstream tasks").wait_for()


def test_a_cell_that_runs_ignore_is_marked_when_tasks_need_it(plain):
    nb = plain("import time", "%%task rows\nrows = [1]", "rows.append(2)", "%%task total\nprint(rows)", "print(1)")
    badge(nb, 2).get_by_text("not in runs").first.wait_for()  # the badge is there before its text
    code(nb, 2).locator(".nbdag-cell-problems", has_text="NB310").wait_for()
    assert code(nb, 2).locator(".nbdag-badge[data-dropped]").count() == 1
    assert code(nb, 4).locator(".nbdag-badge[data-dropped]").count() == 0


def test_tasks_of_a_dag_cell_are_drawn_once_they_are_built_and_show_their_states(plain, lab, server):
    made = (
        "%%dag made\nfor n in (1, 2): Python(f'fit_{n}', f'm{n} = sum(X) * {n}')\nPython('best', 'best = max(m1, m2)')"
    )
    nb = plain("%%task extract\nX = [1, 2, 3]", made)
    badge(nb, 1).locator(".nbdag-chip", has_text="builds tasks").click()
    nb.box("extract")
    assert nb.page.locator('.nbdag-box[data-id="best"]').count() == 0, "a page executes nothing by itself"
    nb.run(1)
    nb.box("best", "none")
    nb.page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    for task in ("extract", "fit_1", "fit_2", "best"):
        nb.box(task, "success")
    lab.clear()
    lab.opened(nb.path.name)
    wait_for_kernel(nb, server)
    badge(nb, 1).locator(".nbdag-chip").click()
    nb.box("best")  # the kernel still has the built tasks
    assert nb.errors == []


def test_commands_are_in_palette_menus_and_launcher_and_the_status_bar_counts_runs(plain, lab):
    nb = plain(
        "import time", "%%task rows\nrows = [1, 2]", "%%task wait\nprint(rows)\ntime.sleep(600)", "%%task last\nx = 1"
    )
    page = nb.page
    badge(nb, 2)

    # The palette runs a part of the notebook, without the panel.
    code(nb, 2).locator(".jp-InputPrompt").click()
    lab.execute("apputils:activate-command-palette")
    page.keyboard.type("headlessly up to")
    page.locator(".lm-CommandPalette-item", has_text="Run Headlessly Up to This Task").click()
    status = page.locator(".nbdag-status a", has_text="1 run")
    status.wait_for()
    assert nb.path.stem in status.get_attribute("title")
    page.locator(".jp-toast-button", has_text="Show here").click()
    nb.box("wait", "running")
    nb.box("last", "none")
    page.locator(".nbdag-side").get_by_role("button", name="Cancel").click()
    status.wait_for(state="hidden")

    # The context menu of a cell gives it another role.
    code(nb, 3).locator(".cm-content").click(button="right")
    page.locator(".lm-Menu-item", has_text="Pipeline").hover()
    page.locator(".lm-Menu-item", has_text="Skip Cell in Runs").click()
    page.wait_for_selector(".cm-line:has-text('%%skip')")

    # The menu bar deploys it.
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    for name in ("Run Notebook Headlessly", "Run Headlessly Up to This Task"):
        page.locator(".lm-Menu-item", has_text=name).wait_for()
    page.locator(".lm-Menu-item", has_text="Deploy Pipeline").click()
    page.locator(".jp-Notification-Toast, .Toastify__toast", has_text=f"{nb.path.stem} is deployed").wait_for()

    # The launcher opens the page of all pipelines.
    lab.execute("launcher:create")
    with page.expect_popup() as opened:
        page.locator(".jp-LauncherCard:visible", has_text="Pipelines").click()
    opened.value.locator(f"tr[data-dag={nb.path.stem}]").wait_for()
    opened.value.close()
    assert nb.errors == []


def test_settings_hide_badges_at_once(plain, lab):
    nb = plain(*TASKS)
    page = nb.page
    badge(nb, 1)
    lab.execute("settingeditor:open", query="Pipelines")
    shown = page.get_by_label("Badges of cells")
    shown.uncheck()
    page.locator(".nbdag-chip").first.wait_for(state="detached")
    shown.check()
    page.locator(".nbdag-chip").first.wait_for(state="attached")
    assert nb.errors == []


def test_an_ordinary_notebook_is_left_alone(plain):
    nb = plain("import time", "x = 1")
    nb.run(0, 1)
    assert nb.page.locator(".nbdag-badge").count() == 0
    assert nb.page.locator(".nbdag-line-error").count() == 0


def test_notebook_7_has_the_panel_and_a_reload_keeps_the_states(plain, server):
    nb = plain(*TASKS, at="notebook")
    badge(nb, 2, "none")
    nb.run(0, 1, 2)
    badge(nb, 2, "success")
    nb.page.keyboard.press("Control+s")
    nb.page.reload()
    wait_for_kernel(nb, server)
    badge(nb, 2, "success")
    badge(nb, 1).locator(".nbdag-chip").click()
    nb.box("rows", "success")
    until(lambda: field(nb, "Name").input_value() == "rows", "the name in the form")
    assert nb.errors == []


def test_axe_finds_no_serious_violation(plain, lab):
    parts = (".nbdag-side", ".jp-Notebook .nbdag-badge")
    nb = plain(*TASKS, "%%task broken\nmissing")
    badge(nb, 2).locator(".nbdag-chip").click()
    nb.page.locator(".nbdag-dag-section > summary").click()
    nb.page.locator(".nbdag-more > summary").first.click()
    nb.box("total")
    assert [serious_violations(nb.page, part) for part in parts] == [[], []]
    lab.execute("apputils:change-theme", theme="JupyterLab Dark")
    try:
        nb.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
        assert [serious_violations(nb.page, part, "color-contrast") for part in parts] == [[], []]
    finally:
        lab.execute("apputils:change-theme", theme="JupyterLab Light")
