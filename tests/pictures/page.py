"""The pipelines of a server on nbdag's page, as PNG.

The notebooks of this repository are deployed, and a real scheduler runs each several times. Once, the gate of `biopsies`
demands an accuracy that no model reaches.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from patience import until

from tests.browser.conftest import chromium, free_port, launched
from tests.browser.site import Site, served, visited

WIDTH = 1100  # of the page, in CSS pixels
SCALE = 1.5  # pixels of the picture for each of them
RUNS = 5  # of each pipeline
FAILING = {("biopsies", 3): ("-p", "min_accuracy", "1")}  # key: pipeline, run


def page(notebooks: Sequence[Path], runtime: Path) -> bytes:
    """Return a PNG of the list of these notebooks' pipelines, after runs of all of them."""
    program = chromium()
    if program is None:
        raise RuntimeError("no Chromium found; install it (apt-get install chromium), or set NBDAG_CHROMIUM")
    with launched(program) as browser, served(runtime, free_port()) as site:
        for each in notebooks:
            shutil.copy(each, site.folder)
            site.nbdag("deploy", each.name)
        site.start_scheduler()
        for n in range(RUNS):
            for dag in [each["id"] for each in site.ask("dags")["items"]]:
                site.nbdag("trigger", dag, *FAILING.get((dag, n), ()))
                until(lambda: _all_ended(site), "the run has ended")
        with visited(browser, site, width=WIDTH, height=800, scale=SCALE) as visit:
            visit.page.wait_for_selector(".pg-bars")
            visit.page.get_by_text("weekdays at").first.wait_for()  # the schedules are in words
            bottom = visit.page.locator("tr[data-dag]").last.bounding_box()
            height = bottom["y"] + bottom["height"] + 12
            return bytes(visit.page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": height}))


def _all_ended(site: Site) -> bool:
    return all(each["ended"] is not None for each in site.ask("runs?limit=500")["items"])
