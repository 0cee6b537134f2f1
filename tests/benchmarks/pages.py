"""Time the page's views in a browser, with 1,000 pipelines, 100,000 task instances, a run of 2,000 tasks and a log of 20 MB.

    python -m tests.benchmarks.pages
    python -m tests.benchmarks.pages --only graph

Prints for each view the time from the navigation until its content is drawn, and the processor time of the page's main
thread, which other load on the machine hardly changes. A real server answers, from the store of tests/benchmarks/api.py.
Each view is opened twice; the first opening fills the caches of the server and of the browser.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser.conftest import chromium, free_port, launched
from tests.browser.site import Visit, served, visited

from .api import fill

TIMES = {
    "ScriptDuration": "scripts",
    "RecalcStyleDuration": "styles",
    "LayoutDuration": "layout",
    "TaskDuration": "all",
}
RUN = "/dags/wide/runs/large"
PLACES = {  # key: view; value: address, and a selector of an element that exists once the view is drawn
    "list of 1,000 pipelines": ("/", "tr[data-dag]"),
    "grid of 2,000 tasks": ("/dags/wide/grid", '.pg-grid a[href$="/runs/large/tasks/t0"]'),
    "notebook of 2,000 cells, a window of it": ("/dags/wide/notebook", ".pg-cell:nth-child(20)"),
    "notebook of 2,000 cells, its last cell": ("/dags/wide/notebook", ".pg-cell:nth-child(2000)"),
    "graph of a pipeline of 2,000 tasks": ("/dags/wide/graph", ".nbdag-box"),
    "graph of a run of 2,000 tasks": (f"{RUN}/graph", ".nbdag-box"),
    "Gantt chart of a run of 2,000 tasks": (f"{RUN}/gantt", ".nbdag-timeline .nbdag-bar"),
    "log of 20 MB": (f"{RUN}/tasks/t1000", ".nbdag-log-row"),
}


def main() -> None:
    """Print the times of each view."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="measure only views whose name contains this text")
    asked = parser.parse_args()
    program = chromium()
    if program is None:
        raise SystemExit("no Chromium found; install it, or set NBDAG_CHROMIUM")
    with (
        tempfile.TemporaryDirectory() as runtime,
        launched(program) as browser,
        served(Path(runtime), free_port()) as site,
    ):
        fill(site.folder)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        with visited(browser, site) as visit:
            for view, (place, shown) in PLACES.items():
                if asked.only in view:
                    for opening in ("first", "again"):
                        print(f"{view:40} {opening}  {measured(visit, place, shown)}", flush=True)


def measured(visit: Visit, place: str, shown: str) -> str:
    """Open a view, and describe how long it took."""
    visit.page.goto("about:blank")
    session = visit.page.context.new_cdp_session(visit.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before, begun = _times(session), time.perf_counter()
    visit.page.goto(visit.site.url + place, wait_until="commit")
    visit.page.wait_for_selector(shown, state="attached")
    visit.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    drawn, now = time.perf_counter() - begun, _times(session)
    session.detach()
    return f"{drawn:.2f} s, main thread " + ", ".join(
        f"{word} {now[name] - before[name]:.2f} s" for name, word in TIMES.items()
    )


def _times(session: Any) -> dict[str, float]:
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}


if __name__ == "__main__":
    main()
