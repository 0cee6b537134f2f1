"""The page's views of pipelines, the scheduler and assets, with a real scheduler that runs real notebooks."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from patience import until

from .site import Site, Visit, visited

PARAMETERS = (
    "%%params\nalpha: float = 0.5  # in (0, 1): the learning rate\nregion: Literal['EU', 'US'] = 'EU'\n"
    "day: date = date(2026, 1, 31)\nlimit: int | None = None\nbroken = False"
)
IMPORTS = "from datetime import date\nfrom typing import Literal\n"
CHURN = (
    '%dag churn --schedule "0 6 * * mon-fri" --tz Europe/Paris --owner growth --tags ml,nightly '
    '--description "Scores the customers."',
    PARAMETERS.replace("%%params\n", f"%%params\n{IMPORTS}"),
    "%%task extract --produces lake/orders\nrows = [1, 2, 3]",
    "%%task validate --metric loss\nassert not broken, 'the model is worse'\nloss = 1 - alpha",
    "%%task score --after validate\nscored = [row * alpha for row in rows]",
)


@pytest.fixture(scope="module")
def pipelines(site: Site) -> Site:
    """A scheduler and three pipelines: churn has parameters, report waits for an asset, slow does not end by itself."""
    site.write("churn", *CHURN)
    site.write("report", '%dag report --schedule "on lake/orders"', "%%task draw\nprint('drawn')")
    site.nbdag("deploy", "churn.ipynb")
    site.nbdag("deploy", "report.ipynb")
    site.start_scheduler()
    return site


@pytest.fixture
def visit(browser, pipelines: Site) -> Iterator[Visit]:
    """A page, whose console must stay empty."""
    with visited(browser, pipelines) as found:
        yield found
        assert found.errors == []


def row(visit: Visit, dag: str):
    return visit.page.locator(f'tr[data-dag="{dag}"]')


def run_with_form(visit: Visit, dag: str, **values: str) -> str:
    """Trigger a run of the open pipeline with the form, and return the id of the run."""
    visit.page.get_by_role("button", name="Run", exact=True).click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("Run$")).wait_for()
    for name, value in values.items():
        field = dialog.get_by_label(name, exact=True)
        if field.get_attribute("type") == "checkbox":
            field.check()
        elif field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(label=value)
        else:
            field.fill(value)
    with visit.page.expect_response(lambda each: each.url.endswith("/trigger")) as answer:
        dialog.get_by_role("button", name=re.compile("Run$")).click()
    run = str(answer.value.json()["id"])
    visit.page.locator(".pg-toast").get_by_role("link", name=run).wait_for()
    return run


def ended(site: Site, dag: str, run: str, state: str) -> None:
    until(
        lambda: any(
            each["id"] == run and each["state"] == state for each in site.ask(f"runs?dag={dag}&limit=50")["items"]
        ),
        f"{run} is {state}",
    )


def test_an_empty_server_shows_how_to_make_the_first_pipeline_and_deploys_it(browser, site: Site) -> None:
    with visited(browser, site) as visit:
        visit.page.get_by_role("heading", name="No pipelines yet").wait_for()
        assert visit.serious_violations() == []
        site.write("first", "%dag first", "%%task only\nx = 1")
        visit.page.get_by_role("button", name="Deploy a notebook…").click()
        dialog = visit.page.get_by_role("dialog", name="Deploy a notebook")
        dialog.get_by_label("Notebook", exact=True).fill("missing.ipynb")
        dialog.get_by_role("button", name="Deploy").click()
        dialog.get_by_role("alert").wait_for()
        dialog.get_by_label("Notebook", exact=True).fill("first.ipynb")
        dialog.get_by_role("button", name="Deploy").click()
        row(visit, "first").wait_for()
        row(visit, "first").get_by_role("link", name="first").click()
        visit.page.get_by_role("button", name="Remove…").click()
        visit.page.get_by_role("dialog", name="Remove first?").get_by_role("button", name="Remove").click()
        visit.page.get_by_role("heading", name="No pipelines yet").wait_for()
        # The browser itself reports refusals, and a request that crosses the removal.
        assert [each for each in visit.errors if "422" not in each and "/dags/first" not in each] == []


def test_the_list_shows_schedules_and_can_be_searched(visit: Visit) -> None:
    churn = row(visit, "churn")
    churn.get_by_text("weekdays at 06:00, Paris").wait_for()
    assert "growth" in churn.inner_text()
    row(visit, "report").get_by_text("on lake/orders").wait_for()
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("growth")
    row(visit, "report").wait_for(state="detached")
    assert "search=growth" in visit.page.url
    visit.page.reload()
    row(visit, "churn").wait_for()
    assert row(visit, "report").count() == 0, "the address contains the search"
    visit.page.get_by_role("searchbox").fill("no such pipeline")
    visit.page.get_by_role("heading", name="No pipeline matches").wait_for()
    visit.page.get_by_role("link", name="Show all pipelines").click()
    row(visit, "report").wait_for()
    churn.get_by_role("button", name="nightly").click()
    row(visit, "report").wait_for(state="detached")


def test_a_schedule_is_paused_and_resumed(visit: Visit) -> None:
    switch = row(visit, "churn").get_by_role("switch")
    switch.click()
    row(visit, "churn").get_by_text("paused", exact=True).wait_for()
    until(lambda: visit.site.ask("dags/churn")["paused"], "churn is paused")
    visit.page.get_by_role("button", name="Paused", exact=True).click()
    row(visit, "report").wait_for(state="detached")
    row(visit, "churn").get_by_role("switch").click()
    until(lambda: not visit.site.ask("dags/churn")["paused"], "churn is resumed")


def test_a_run_is_started_with_the_form_and_its_columns_fill_the_grid(visit: Visit) -> None:
    visit.open("/dags/churn/grid")
    visit.page.get_by_role("heading", name="No runs yet").wait_for()
    visit.page.get_by_role("button", name="Run", exact=True).click()
    dialog = visit.page.get_by_role("dialog", name="Run churn")
    dialog.get_by_label("alpha", exact=True).fill("2")
    dialog.get_by_role("button", name=re.compile("Run$")).click()
    dialog.get_by_text("must be less than 1").wait_for()
    assert visit.serious_violations() == []
    dialog.get_by_role("button", name="Reset alpha").click()
    dialog.get_by_role("button", name="Cancel").click()

    run = run_with_form(visit, "churn", alpha="0.25", region="US")
    square = visit.page.locator(f'.pg-grid a[href$="/runs/{run}/tasks/score"]')
    visit.page.locator(f'.pg-grid a.nbdag-is-success[href$="/runs/{run}/tasks/score"]').wait_for()
    assert visit.site.ask(f"dags/churn/runs/{run}")["parameters"] == {"alpha": 0.25, "region": "US"}

    failed = run_with_form(visit, "churn", broken="true")
    visit.page.locator(f'.pg-grid a.nbdag-is-failed[href$="/runs/{failed}/tasks/validate"]').wait_for()
    visit.page.locator(f'.pg-grid a.nbdag-is-upstream_failed[href$="/runs/{failed}/tasks/score"]').wait_for()
    assert visit.serious_violations() == []
    square.focus()
    visit.page.keyboard.press("ArrowUp")
    above = f"/runs/{run}/tasks/validate"
    visit.page.wait_for_function("end => document.activeElement.getAttribute('href')?.endsWith(end)", arg=above)
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(f"**/runs/{run}/tasks/validate")
    visit.page.go_back()
    visit.page.locator(".pg-grid").wait_for()


def finished_run(site: Site) -> str:
    """Return a run of churn that succeeded; trigger one if there is none."""
    for each in site.ask("runs?dag=churn&state=success&limit=1")["items"]:
        return each["id"]
    site.nbdag("trigger", "churn")
    run = site.ask("runs?dag=churn&limit=1")["items"][0]["id"]
    ended(site, "churn", run, "success")
    return run


def test_each_tab_of_a_pipeline_shows_it_in_another_way(visit: Visit) -> None:
    run = finished_run(visit.site)
    visit.open(f"/dags/churn/graph?run={run}")
    visit.page.wait_for_selector('.nbdag-box[data-id="score"][data-state="success"]')
    visit.page.locator('.nbdag-box[data-id="extract"]').click()
    visit.page.wait_for_selector(".nbdag-panel[aria-label='Task extract']")
    assert "task=extract" in visit.page.url
    tabs = visit.page.get_by_role("navigation", name="Views of the pipeline")
    tabs.get_by_role("link", name="Gantt").click()
    visit.page.wait_for_selector(".nbdag-bar")
    tabs.get_by_role("link", name="Calendar").click()
    visit.page.locator(".pg-ran").last.click()
    visit.page.get_by_role("link", name=run).wait_for()
    assert visit.page.locator(".pg-planned[data-day]").count() > 20, "weekdays of the next weeks"
    tabs.get_by_role("link", name="Metrics").click()
    chart = visit.page.get_by_role("figure", name="validate.loss")
    point = chart.locator(f'a[href*="{run}"]')
    assert re.fullmatch(r"[\d.−-]+, run of .*, done", point.get_attribute("aria-label"))
    point.click()
    visit.page.wait_for_url(f"**/dags/churn/runs/{run}**")
    visit.page.go_back()
    chart.wait_for()
    tabs.get_by_role("link", name="Notebook").click()
    cell = visit.page.get_by_role("region", name="Cell 3, task")
    cell.get_by_text("rows = [1, 2, 3]").wait_for()
    cell.get_by_text("done").wait_for()
    tabs.get_by_role("link", name="Parameters").click()
    visit.page.get_by_role(
        "row", name=re.compile("alpha.*float.*0.5.*more than 0, less than 1.*the learning rate")
    ).wait_for()
    tabs.get_by_role("link", name="Details").click()
    visit.page.get_by_text("0 6 * * mon-fri").wait_for()
    visit.page.locator(".pg-ticks li").nth(4).wait_for()


def test_two_versions_are_compared_cell_by_cell(visit: Visit) -> None:
    finished_run(visit.site)
    visit.site.write("churn", *CHURN[:-1], "%%task score --after validate\nscored = [row + alpha for row in rows]")
    visit.open("/dags/churn")
    visit.page.get_by_text("edited", exact=True).wait_for()
    visit.page.get_by_role("button", name="Deploy again…").click()
    visit.page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    visit.page.get_by_text("version 2").wait_for()
    visit.page.get_by_text("edited", exact=True).wait_for(state="detached")
    visit.page.get_by_role("link", name="Versions").click()
    visit.page.locator("ins", has_text="row + alpha").wait_for()
    assert visit.page.locator("del").all_text_contents() == ["removed: scored = [row * alpha for row in rows]"]
    assert "score code" in visit.page.locator(".pg-task-changes").inner_text()
    visit.page.get_by_role("button", name="4 unchanged cells").click()
    visit.page.get_by_text("rows = [1, 2, 3]").wait_for()
    assert visit.serious_violations() == []


def test_a_backfill_is_previewed_before_its_runs_are_created(visit: Visit) -> None:
    visit.open("/dags/churn/grid")
    visit.page.get_by_role("button", name="Backfill…").click()
    dialog = visit.page.get_by_role("dialog", name="Backfill churn")
    dialog.get_by_label("From").fill("2026-01-09")
    dialog.get_by_label("to, included").fill("2026-01-13")
    dialog.get_by_role("button", name="Preview").click()
    dialog.get_by_text("3 runs for 3 scheduled times").wait_for()
    assert visit.serious_violations() == []
    dialog.get_by_role("button", name="Create 3 runs").click()
    visit.page.get_by_text(re.compile("3 runs of")).wait_for()
    backfilled = [each for each in visit.site.ask("runs?dag=churn&limit=50")["items"] if each["kind"] == "backfill"]
    assert len(backfilled) == 3
    ended(visit.site, "churn", backfilled[0]["id"], "success")


def test_the_scheduler_and_the_pools_are_shown_and_changed(visit: Visit) -> None:
    row(visit, "churn").wait_for()  # the page listens to the keyboard
    visit.page.keyboard.press("g")
    visit.page.keyboard.press("s")
    visit.page.get_by_text("A scheduler is alive on").wait_for()
    visit.page.get_by_role("row", name=re.compile(rf"{socket.gethostname()} local \d of \d+ .* on \d+ core")).wait_for()
    visit.page.get_by_role("button", name="Add…").click()
    dialog = visit.page.get_by_role("dialog", name="Add a pool")
    dialog.get_by_label("Name").fill("gpu")
    dialog.get_by_label(re.compile("Slots")).fill("2")
    dialog.get_by_role("button", name="Save").click()
    visit.page.get_by_role("row", name=re.compile("gpu.*0 of 2")).wait_for()
    visit.page.get_by_role("button", name="Change gpu").click()
    visit.page.get_by_role("dialog", name="Pool gpu").get_by_role("button", name="Delete").click()
    visit.page.get_by_role("button", name="Change gpu").wait_for(state="detached")
    visit.page.get_by_role("button", name="Check", exact=True).click()
    visit.page.locator(".pg-findings li").first.wait_for()
    assert visit.serious_violations() == []


def test_an_asset_shows_who_makes_it_and_starts_what_waits_for_it(visit: Visit) -> None:
    finished_run(visit.site)
    visit.open("/assets")
    visit.page.get_by_role("link", name="Asset lake/orders").click()
    side = visit.page.get_by_role("region", name="Versions of lake/orders")
    side.get_by_role("link", name="churn").first.wait_for()
    side.get_by_role("button", name="Record a version…").click()
    dialog = visit.page.get_by_role("dialog", name="Record a version of lake/orders")
    dialog.get_by_label("Facts about the version, as JSON").fill('{"rows": 3}')
    dialog.get_by_role("button", name="Record", exact=True).click()
    side.get_by_text('{"rows":3}').wait_for()
    until(lambda: visit.site.ask("runs?dag=report&state=success&limit=1")["items"], "report has run")
    assert visit.serious_violations() == []


def test_keys_open_a_help_that_lists_them(visit: Visit) -> None:
    visit.open("/dags/churn/grid")
    visit.page.locator(".pg-tabs").wait_for()
    visit.page.keyboard.press("?")
    help = visit.page.get_by_role("dialog", name="Keyboard shortcuts")
    for text in ("Go to Scheduler", "Start a run", "Calendar"):
        help.get_by_text(text).wait_for()
    visit.page.keyboard.press("Escape")
    help.wait_for(state="detached")
    visit.page.keyboard.press("4")
    visit.page.wait_for_url("**/dags/churn/calendar")
    visit.page.keyboard.press("g")
    visit.page.keyboard.press("p")
    row(visit, "churn").wait_for()


def test_times_are_local_and_in_utc_on_hover(visit: Visit) -> None:
    time = row(visit, "churn").locator("time").first
    title = time.get_attribute("title")
    assert re.search(r"GMT\+[12]|CES?T", title), title
    assert re.search(r"\d\d:\d\d:\d\d UTC$", title), title


def test_unknown_places_and_pipelines_say_so(visit: Visit) -> None:
    visit.open("/nowhere/at/all")
    visit.page.get_by_role("heading", name="There is nothing here").wait_for()
    visit.open("/dags/no_such_pipeline/grid")
    visit.page.get_by_role("heading", name="Not found").wait_for()
    visit.errors[:] = [each for each in visit.errors if "404" not in each]  # the browser itself reports the answer


def test_slow_and_failed_answers_are_shown_and_asked_again(visit: Visit) -> None:
    problem = {"type": "about:blank", "title": "Busy", "status": 500, "code": "busy", "next": "wait a little"}
    body = json.dumps({**problem, "detail": "the store is busy; wait a little"})
    held: list[Any] = []
    busy = False

    def fail(route: Any) -> None:
        route.fulfill(status=500, content_type="application/problem+json", body=body)

    # A change of a run makes the page ask again, so that the first request may not be the one that it waits for.
    visit.page.route("**/nbdag/api/dags?*", lambda route: fail(route) if busy else held.append(route))
    visit.page.reload(wait_until="commit")
    visit.page.locator(".pg-loading.pg-shown", has_text="Loading the pipelines").wait_for()
    busy = True
    for each in held:
        fail(each)
    alert = visit.page.get_by_role("alert")
    alert.get_by_text("the store is busy; wait a little").wait_for()
    visit.page.unroute_all(behavior="ignoreErrors")
    alert.get_by_role("button", name="Try again").click()
    row(visit, "churn").wait_for()
    visit.errors[:] = [each for each in visit.errors if "500" not in each]  # the browser itself reports the answer


def test_the_address_keeps_what_a_viewer_has_chosen(visit: Visit) -> None:
    finished_run(visit.site)
    visit.open("/dags/churn/calendar")
    visit.page.locator(".pg-ran").last.click()
    visit.page.wait_for_url("**/calendar?day=*")
    run = visit.page.locator("main a[href*='/dags/churn/runs/']").first.inner_text()
    visit.page.reload()
    visit.page.get_by_role("link", name=run).wait_for()
    visit.page.get_by_role("navigation", name="Views of the pipeline").get_by_role("link", name="Graph").click()
    visit.page.get_by_label("States of").select_option(label="no run, the deployed version")
    visit.page.wait_for_url("**/graph?run=none")
    visit.page.wait_for_selector('.nbdag-box[data-id="score"][data-state="none"]')
    visit.page.go_back()
    visit.page.get_by_role("link", name=run).wait_for()


def test_a_lost_connection_is_shown_and_data_stays(visit: Visit) -> None:
    row(visit, "churn").wait_for()
    visit.page.context.set_offline(True)
    visit.page.get_by_role("alert").get_by_text("No connection to the server since").wait_for()
    assert row(visit, "churn").count() == 1
    assert visit.serious_violations() == []
    visit.page.context.set_offline(False)
    visit.page.get_by_role("alert").wait_for(state="detached")
    visit.errors[:] = [each for each in visit.errors if "ERR_INTERNET_DISCONNECTED" not in each]


PLACES = ("/", "/dags/churn/grid", "/dags/churn/graph", "/dags/churn/gantt", "/dags/churn/calendar", "/dags/churn/notebook", "/dags/churn/metrics",
          "/dags/churn/versions", "/dags/churn/parameters", "/dags/churn/details", "/scheduler", "/assets")  # fmt: skip
READY = {
    "/": "tr[data-dag]", "/dags/churn/grid": ".pg-grid", "/dags/churn/graph": ".nbdag-box",
    "/dags/churn/gantt": ".nbdag-bar", "/dags/churn/calendar": ".pg-day", "/dags/churn/notebook": ".pg-cell",
    "/dags/churn/versions": ".pg-versions", "/dags/churn/parameters": ".pg-table", "/dags/churn/details": ".pg-details",
    "/scheduler": ".pg-meter", "/assets": ".pg-lineage", "/dags/churn/metrics": ".nbdag-metric circle",
}  # fmt: skip


def test_every_view_is_accessible_narrow_and_wide(visit: Visit) -> None:
    finished_run(visit.site)
    for place in PLACES:
        visit.page.set_viewport_size({"width": 1400, "height": 900})
        visit.open(place)
        visit.page.wait_for_selector(READY[place])
        assert visit.serious_violations() == [], place
        assert visit.unreadable_in_the_dark() == [], place
        for width in (400, 2400):
            visit.page.set_viewport_size({"width": width, "height": 900})
            visit.page.wait_for_function("(width) => innerWidth === width", arg=width)
            visit.page.wait_for_selector(READY[place])
            assert visit.overflows() == [], (place, width)
            wide = visit.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (place, width)


def test_the_viewer_chooses_the_colours(visit: Visit) -> None:
    row(visit, "churn").wait_for()
    paper = "() => getComputedStyle(document.querySelector('.pg')).backgroundColor"
    assert visit.page.evaluate(paper) == "rgb(255, 255, 255)"
    button = visit.page.get_by_role("button", name=re.compile("^Colours"))
    button.click()
    button.click()
    assert visit.page.evaluate(paper) == "rgb(21, 24, 29)"
    visit.page.reload()
    row(visit, "churn").wait_for()
    assert visit.page.evaluate(paper) == "rgb(21, 24, 29)", "the choice is kept"
