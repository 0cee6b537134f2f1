"""The page's views of runs and tasks, with a real scheduler that runs real notebooks."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import until

from .site import Site, Visit, visited

MODEL = (
    '%dag model --description "Trains the model."',
    "%%params\nsize: int = 3\ndivisor = 1",
    "%%setup\nimport pandas as pd",
    "%%task load --out rows --doc 'Reads the rows.'\nrows = pd.DataFrame({'n': range(size)})\nprint('read', size, 'rows')\nrows",
    "%%task parts\nparts = list(range(size))",
    "%%task work --map part=parts\nprint('part', part)\ndone = part * 2",
    "%%task fit\nfor n in range(6):\n    print('waiting')\nscore = sum(done) / divisor\nprint('\\x1b[32mfitted\\x1b[0m', score)",
    "%%task publish\nprint('published', score)",
)
HOSTILE = """%%task show
from IPython.display import HTML, SVG, display
display(HTML('<p id=shown>a table</p><script>top.document.title = "owned"; window.owned = 1</script>'
             '<img src=x onerror="top.owned = 1">'))
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>top.owned = 1</script></svg>'))
print('<script>window.owned = 1</script>')"""
LIVE = (
    "%dag live",
    "%%task first\nimport pathlib, time\nprint('line 1', flush=True)\nn = 1\n"
    "while not pathlib.Path('go').exists():\n    time.sleep(0.1)\nprint('the end', flush=True)",
    "%%task gate --after first --approve 'Is it good enough?'\nm = n",
    "%%task last --after gate\nprint(m)",
    "%%task forever --after last\nimport time\nwhile True:\n    time.sleep(0.1)",
)


@pytest.fixture(scope="module")
def models(site: Site) -> Site:
    """Two runs of `model`, of which the second failed, a run of `hostile`, and a scheduler."""
    site.write("model", *MODEL)
    site.write("hostile", "%dag hostile", HOSTILE)
    site.write("live", *LIVE)
    for notebook in ("model", "live"):
        site.nbdag("deploy", f"{notebook}.ipynb")
    site.nbdag("run", "model.ipynb", "--no-progress")
    site.nbdag("run", "hostile.ipynb", "--no-progress")
    site.start_scheduler()
    site.nbdag("trigger", "model", "-p", "divisor", "0", "-p", "size", "4")
    until(lambda: site.ask("runs?dag=model")["items"][0]["state"] == "failed", "the second run has failed")
    return site


@pytest.fixture
def visit(browser, models: Site) -> Iterator[Visit]:
    """A page, whose console must stay empty."""
    with visited(browser, models) as found:
        yield found
        assert found.errors == []


def runs_of(site: Site, dag: str) -> list[str]:
    """Return the runs of a pipeline, newest first."""
    return [each["id"] for each in site.ask(f"runs?dag={dag}")["items"]]


def box(visit: Visit, task: str, state: str | None = None):
    """Return a task's box once it has this state."""
    which = f"[data-state={state}]" if state else ""
    return visit.page.wait_for_selector(f'.nbdag-box[data-id="{task}"]{which}')


def states(site: Site, dag: str, run: str) -> dict[str, str]:
    found = site.ask(f"dags/{dag}/runs/{run}/tasks")["tasks"]
    return {task: status["state"] for task, status in found.items()}


def test_a_failed_run_leads_to_the_line_that_failed(visit: Visit) -> None:
    page = visit.page
    visit.open(f"/dags/model/runs/{runs_of(visit.site, 'model')[0]}")
    page.get_by_role("status").get_by_text("failed", exact=True).wait_for()
    page.get_by_role("list", name="Failed tasks").get_by_text("ZeroDivisionError").wait_for()
    box(visit, "load", "success")
    box(visit, "fit", "failed").click()
    panel = page.get_by_role("region", name="Task fit")
    panel.get_by_text("ZeroDivisionError").first.wait_for()
    page.wait_for_url("**task=fit")
    page.reload()
    panel.get_by_role("link", name="Open").click()
    page.get_by_role("heading", name="fit").wait_for()
    log = page.get_by_role("region", name=re.compile("^Log of fit"))
    log.get_by_text("ZeroDivisionError: division by zero").last.wait_for()
    waiting = log.locator(".nbdag-log-row", has_text=re.compile(r"^\d+waiting"))
    assert waiting.count() == 1, "repeated lines are folded"
    log.get_by_role("button", name="6 times").click()
    until(lambda: waiting.count() == 6, "the fold is open")
    page.get_by_text("failed (try 1): ZeroDivisionError").wait_for()
    page.keyboard.press("u")
    panel.wait_for()
    page.go_back()
    page.get_by_role("heading", name="fit").wait_for()


def test_a_run_is_watched_answered_and_cancelled(visit: Visit) -> None:
    page, site = visit.page, visit.site
    site.nbdag("trigger", "live")
    run = runs_of(site, "live")[0]
    visit.open(f"/dags/live/runs/{run}/tasks/first")
    log = page.get_by_role("region", name=re.compile("^Log of first"))
    log.get_by_text("line 1").wait_for()
    page.get_by_role("button", name="Follow").wait_for()
    (site.folder / "go").touch()
    log.get_by_text("the end").wait_for()
    page.get_by_role("button", name="Follow").wait_for(state="detached")
    page.get_by_role("link", name=re.compile("^run")).click()
    box(visit, "gate", "up_for_reschedule")
    question = page.get_by_role("region", name="Question of gate")
    question.get_by_text("Is it good enough?").wait_for()
    assert visit.serious_violations() == []
    question.get_by_label("Why, for gate").fill("looks fine")
    question.get_by_role("button", name="Approve").click()
    box(visit, "last", "success")
    box(visit, "forever", "running")
    page.get_by_role("button", name="Cancel").click()
    page.locator(".run-state").get_by_text("cancelled").wait_for()
    page.get_by_role("link", name="Events").click()
    page.get_by_text("looks fine").wait_for()
    page.get_by_role("cell", name="cancel requested").wait_for()


def test_tasks_run_again_after_a_look_at_what_that_affects(visit: Visit) -> None:
    page, site = visit.page, visit.site
    run = runs_of(site, "model")[-1]
    visit.open(f"/dags/model/runs/{run}/tasks/fit")
    page.get_by_role("button", name="Run again…").click()
    dialog = page.get_by_role("dialog", name="Run fit again")
    affected = dialog.get_by_role("list", name="Affected tasks")
    affected.get_by_text("publish").wait_for()
    dialog.get_by_role("button", name="Run 2 tasks again").wait_for()
    dialog.get_by_label("all tasks downstream").uncheck()
    dialog.get_by_role("button", name="Run 1 task again").wait_for()
    affected.get_by_text("publish").wait_for(state="detached")
    dialog.get_by_label("only tasks that failed or could not run").check()
    dialog.get_by_role("alert").get_by_text("nothing to clear").wait_for()
    assert dialog.get_by_role("button", name=re.compile("^Run")).is_disabled()
    dialog.get_by_label("only tasks that failed or could not run").uncheck()
    assert set(states(site, "model", run).values()) == {"success"}, "a look changes nothing"
    dialog.get_by_role("button", name="Run 1 task again").click()
    page.get_by_role("navigation", name="Attempts").get_by_role("link", name="Try 2").wait_for()
    until(lambda: set(states(site, "model", run).values()) == {"success"}, "the task has run again")

    page.get_by_role("button", name="Set state…").click()
    dialog = page.get_by_role("dialog", name="Set the state of fit")
    dialog.get_by_role("radio", name="skipped").check()
    dialog.get_by_role("button", name="Set 1 task to skipped").click()
    page.locator(".run-state").get_by_text("skipped").wait_for()
    # The browser itself reports the refused look.
    visit.errors[:] = [each for each in visit.errors if "409" not in each]


def test_the_instances_of_a_mapped_task_are_filtered_and_opened(visit: Visit) -> None:
    page = visit.page
    visit.open(f"/dags/model/runs/{runs_of(visit.site, 'model')[0]}/tasks/work")
    instances = page.get_by_role("region", name="List of instances")
    instances.get_by_role("link", name=re.compile(r"\[3\]")).click()
    page.wait_for_url("**index=3&try=1")
    page.get_by_role("region", name=re.compile(r"^Log of work\[3\]")).get_by_text("part 3").wait_for()
    page.get_by_role("group", name="Show instances in state").get_by_role("button", name="4 done").click()
    until(lambda: instances.get_by_role("link").count() == 4, "the list shows those in the chosen state")


def test_values_are_listed_filtered_and_previewed(visit: Visit) -> None:
    page = visit.page
    visit.open(f"/dags/model/runs/{runs_of(visit.site, 'model')[0]}/values")
    rows = page.get_by_role("region", name="Values").get_by_role("row")
    rows.filter(has_text="pandas.DataFrame").wait_for()
    page.get_by_label("Filter the values").fill("work")
    until(lambda: rows.count() == 5, "the header and four instances")
    page.get_by_label("Filter the values").fill("rows")
    page.get_by_role("button", name="Preview rows").click()
    dialog = page.get_by_role("dialog", name="rows of load")
    frame = dialog.frame_locator("iframe")
    frame.get_by_role("columnheader", name="n").wait_for()


def test_two_runs_are_compared(visit: Visit) -> None:
    page = visit.page
    newest, oldest = runs_of(visit.site, "model")
    visit.open(f"/dags/model/runs/{newest}/compare/{oldest}")
    page.get_by_role("region", name="Parameters").get_by_role("row", name=re.compile("divisor.*default.*0")).wait_for()
    page.get_by_role("region", name="Code").get_by_text("All cells are equal").wait_for()
    tasks = page.get_by_role("region", name="Tasks", exact=True)
    fit = tasks.get_by_role("row").filter(has=page.get_by_role("cell", name="fit", exact=True))
    fit.get_by_text("failed").wait_for()
    fit.get_by_role("button", name="Side by side fit").click()
    dialog = page.get_by_role("dialog", name="fit in both runs")
    dialog.get_by_role("region", name="This run: fit").get_by_text("ZeroDivisionError").first.wait_for()
    dialog.get_by_role("region", name="Other run: fit").get_by_text("fitted").wait_for()
    dialog.get_by_role("button", name="Close").click()
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url(f"**/runs/{oldest}/compare/{newest}")


def test_outputs_and_reports_execute_nothing(visit: Visit) -> None:
    page = visit.page
    run = runs_of(visit.site, "hostile")[0]
    visit.open(f"/dags/hostile/runs/{run}/tasks/show")
    page.get_by_role("button", name="Output").click()
    frame = page.frame_locator(".nbdag-outputs iframe").first
    frame.get_by_text("a table").wait_for()
    page.get_by_role("region", name="show, try 1").get_by_text(f"on {socket.gethostname()}").wait_for()
    page.get_by_role("region", name="show, try 1").get_by_text("<script>window.owned = 1</script>").wait_for()
    visit.open(f"/dags/hostile/runs/{run}/report")
    page.frame_locator(".run-report iframe").get_by_text("a table", exact=True).wait_for()
    assert page.evaluate("() => [window.owned, document.title]") == [None, f"{run} of hostile · nbdag"]
    # The browser reports what it has refused to execute.
    visit.errors[:] = [
        each for each in visit.errors if "sandboxed" not in each and "Content Security Policy" not in each
    ]


def test_a_report_that_cannot_be_read_is_asked_for_again(visit: Visit) -> None:
    page = visit.page
    page.route(
        "**/report*", lambda route: route.abort() if route.request.resource_type == "fetch" else route.continue_()
    )
    visit.open(f"/dags/model/runs/{runs_of(visit.site, 'model')[0]}/report")
    again = page.locator(".run-report").get_by_role("button", name="Try again")
    again.wait_for()
    assert page.get_by_role("link", name="Download HTML").count() == 0
    page.unroute_all(behavior="ignoreErrors")
    again.click()
    page.locator(".run-report iframe").wait_for()
    page.get_by_role("link", name="Download HTML").wait_for()
    visit.errors[:] = [each for each in visit.errors if "ERR_FAILED" not in each]


def test_a_log_of_20_megabytes_is_read_at_its_end_at_once_and_searched(visit: Visit) -> None:
    page, site = visit.page, visit.site
    run = runs_of(site, "model")[-1]
    path = Path(site.environment["NBDAG_HOME"]) / "runs" / "model" / run / "tasks" / "parts" / "1.log"
    lines = 200_000
    path.write_text(
        "".join(f"{n:09d} {'a line of a long log':<90}\n" for n in range(lines)) + "needle 1\nthe last line\n"
    )
    assert path.stat().st_size > 20_000_000
    visit.open(f"/dags/model/runs/{run}/tasks/parts")
    log = page.get_by_role("region", name=re.compile("^Log of parts"))
    log.get_by_text("the last line").wait_for()
    page.get_by_text(f"{lines + 2:,} lines").wait_for()
    rows = page.locator(".nbdag-log-row")
    assert rows.count() < 150
    page.get_by_label("Search the log").fill("000100000")
    page.get_by_text("1 of 1", exact=True).wait_for()
    log.get_by_text("000100000").wait_for()
    log.get_by_text("100001", exact=True).wait_for()  # the number of the line
    assert rows.count() < 150
    page.get_by_label("Search the log").fill("needle")
    log.locator("mark").get_by_text("needle").wait_for()
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").click()
    assert Path(started.value.path()).stat().st_size == path.stat().st_size


PLACES = ("graph", "graph?task=fit", "gantt", "report", "events", "values", "compare", "tasks/fit", "tasks/work")


def test_every_view_is_accessible_narrow_and_wide(visit: Visit) -> None:
    newest = runs_of(visit.site, "model")[0]
    for place in PLACES:
        visit.page.set_viewport_size({"width": 1400, "height": 900})
        visit.open(f"/dags/model/runs/{newest}/{place}")
        loaded(visit, place)
        assert visit.serious_violations() == [], place
        assert visit.unreadable_in_the_dark() == [], place
        for width in (400, 2400):
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.wait_for_function("(width) => innerWidth === width", arg=width)
            loaded(visit, place)
            wide = visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (place, width)


def loaded(visit: Visit, place: str) -> None:
    """Wait until a view shows its data."""
    sign = {
        "graph": ".nbdag-box",
        "graph?task=fit": ".nbdag-panel .nbdag-source",
        "gantt": ".nbdag-bar",
        "report": ".run-report iframe",
        "events": ".run-list tbody tr",
        "values": ".run-list tbody tr",
        "compare": ".run-list tbody tr",
        "tasks/fit": ".nbdag-log-row",
        "tasks/work": ".nbdag-log-row",
    }
    visit.page.wait_for_selector(sign[place])
    visit.page.wait_for_function("() => !document.querySelector('.pg-loading.pg-shown')")
