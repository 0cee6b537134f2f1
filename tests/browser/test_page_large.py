"""The page with 1,000 pipelines and with runs of 2,000 tasks: only what is in view is in the document.

The API's answers are made up here; tests/benchmarks measures the API itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import Server
from .site import Site, Visit, visited

PIPELINES = [f"pipeline_{n:04}" for n in range(1000)]
TASKS = [f"task_{n:04}" for n in range(2000)]
NOW = 1_790_000_000.0


def pipeline(name: str) -> dict[str, Any]:
    recent = [
        {"id": f"run_{n}", "state": "failed" if n == 7 else "success", "created": NOW + n, "started": NOW + n, "ended": NOW + 2 * n + 1}
        for n in range(20)
    ]  # fmt: skip
    return {
        "id": name, "notebook": f"/srv/{name}.ipynb", "changed": "", "version": 1, "digest": "ab" * 32, "deployed": NOW,
        "schedule": "0 6 * * 1-5", "tz": "UTC", "paused": False, "next_run": NOW * 2, "owner": "team", "tags": ["nightly"],
        "description": None, "recent": recent,
    }  # fmt: skip


def dags(query: dict[str, list[str]]) -> dict[str, Any]:
    limit, cursor = int(query.get("limit", ["50"])[0]), query.get("cursor", [""])[0]
    later = [name for name in PIPELINES if name > cursor]
    page = later[:limit]
    return {
        "items": [pipeline(name) for name in page],
        "total": len(PIPELINES),
        "next": page[-1] if len(later) > limit else None,
    }


def grid(_: dict[str, list[str]]) -> dict[str, Any]:
    summary = {"state": "success", "created": NOW, "started": NOW, "ended": NOW + 60, "partial": False, "error": ""}
    return {
        "kind": "grid",
        "runs": [{"summary": {"id": f"run_{n}", **summary}, "states": dict.fromkeys(TASKS, "success")} for n in range(2)],
    }  # fmt: skip


def graph(_: dict[str, list[str]]) -> dict[str, Any]:
    nodes = [
        {"id": task, "label": task, "x": 0, "y": n * 50, "width": 100, "height": 40, "members": [task], "mapped": False,
         "group": False, "note": "", "doc": ""}
        for n, task in enumerate(TASKS)
    ]  # fmt: skip
    return {
        "dag": "pipeline_0000", "notebook": "", "direction": "TB", "collapsed": False, "chains": 0, "groups": [], "folded": [],
        "width": 100, "height": 100_000, "nodes": nodes, "lines": [], "order": TASKS, "parameters": [], "problems": [], "dropped": [],
    }  # fmt: skip


def notebook(_: dict[str, list[str]]) -> dict[str, Any]:
    cells = [
        {"kind": "task", "tasks": [task], "untagged": False, "source": [[["", f"%%task {task}"]], [["", "x = 1"]]]}
        for task in TASKS
    ]
    return {"kind": "notebook", "cells": cells, "problems": []}


ANSWERS: dict[str, Callable[[dict[str, list[str]]], Any]] = {
    "dags": dags,
    "dags/pipeline_0000": lambda _: pipeline("pipeline_0000"),
    "dags/pipeline_0000/grid": grid,
    "dags/pipeline_0000/graph": graph,
    "dags/pipeline_0000/notebook": notebook,
}


def answered(route: Any) -> None:
    """Answer a request of the API."""
    url = urlsplit(route.request.url)
    made = ANSWERS.get(url.path.partition("/nbdag/api/")[2])
    if made is None:
        route.abort()
    else:
        route.fulfill(status=200, content_type="application/json", body=json.dumps(made(parse_qs(url.query))))


@pytest.fixture(scope="module")
def lab_site(server: Server) -> Iterator[Site]:
    """The page on JupyterLab's server, because its API is not used."""
    port = urlsplit(server.url).port
    assert port is not None
    site = Site(server.folder, port, server.token, server.environment, base_url="/")
    yield site
    site.close()


@pytest.fixture
def visit(browser: Any, lab_site: Site) -> Iterator[Visit]:
    """A page whose API answers with many pipelines."""
    with visited(browser, lab_site) as found:
        found.page.route("**/nbdag/api/**", answered)
        yield found


def test_a_list_of_a_thousand_pipelines_is_loaded_and_drawn_as_far_as_it_is_scrolled(visit: Visit) -> None:
    visit.open("/")
    visit.page.wait_for_selector('tr[data-dag="pipeline_0000"]')
    assert visit.page.locator(".pg-head").get_by_text("1,000").count() == 1
    assert visit.page.locator("tr[data-dag]").count() < 60
    # Each scroll to the end loads the next pages, until the last pipeline is there.
    visit.page.wait_for_function(
        "() => { scrollTo(0, document.body.scrollHeight); return document.querySelector('tr[data-dag=pipeline_0999]') }",
        polling=100,  # milliseconds; by default it would scroll in each frame
    )
    assert visit.page.locator("tr[data-dag]").count() < 60, "rows out of view are not in the document"
    visit.page.evaluate("() => scrollTo(0, 0)")
    visit.page.wait_for_selector('tr[data-dag="pipeline_0000"]')


def test_a_grid_of_two_thousand_tasks_draws_the_rows_in_view(visit: Visit) -> None:
    visit.open("/dags/pipeline_0000/grid")
    visit.page.wait_for_selector('.pg-grid a[href$="/runs/run_1/tasks/task_0000"]')
    assert visit.page.get_by_text("2000 tasks").count() == 1
    assert visit.page.locator(".pg-grid tbody th").count() < 100
    visit.page.locator(".pg-grid").evaluate("e => { e.scrollTop = e.scrollHeight }")
    last = visit.page.locator('.pg-grid a[href$="/runs/run_1/tasks/task_1999"]')
    last.wait_for()
    assert visit.page.locator(".pg-grid tbody th").count() < 100
    last.focus()
    visit.page.keyboard.press("ArrowUp")
    visit.page.wait_for_function("() => document.activeElement.getAttribute('href').endsWith('task_1998')")


def test_a_notebook_of_two_thousand_cells_lays_out_the_cells_in_view(visit: Visit) -> None:
    visit.open("/dags/pipeline_0000/notebook")
    visit.page.get_by_role("region", name="Cell 1, task").get_by_text("x = 1").wait_for()
    visit.page.wait_for_function("() => document.querySelectorAll('.pg-cell').length === 2000")
    skipped = "() => [...document.querySelectorAll('.pg-cell pre')].filter((e) => !e.checkVisibility({contentVisibilityAuto: true})).length"
    assert visit.page.evaluate(skipped) > 1900, "the browser lays out only cells in view"
    last = visit.page.get_by_role("region", name="Cell 2000, task")
    last.scroll_into_view_if_needed()
    last.get_by_text("%%task task_1999").wait_for()
