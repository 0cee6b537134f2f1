"""Time each view's questions to the REST API: 1,000 pipelines, 100,000 task instances, a run of 2,000 tasks, a log of
20 MB.

    python -m tests.benchmarks.api

`nbdag ui` answers in a process of its own. The first answer of each question is not counted, because it fills caches; it
is printed beside the others. Where other processes compete for the processor, the processor time of the server, also
printed, is the better figure; it is the mean of all answers, in steps of 0.01 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psutil
from sqlalchemy import text

import nbdag.store
from nbdag import runs
from nbdag.core.model.job import Key
from nbdag.frontend.pinned_views import prepare
from nbdag.home import Home
from nbdag.store.store import Store
from tests.browser.conftest import free_port
from tests.browser.site import PAGE, Site, served

from .full_store import _fill
from .measure import Timing

TASKS = 2_000  # tasks of the large run
LOG = 20 << 20  # bytes
FIGURE = 0.1  # seconds


def questions(day: date) -> list[tuple[str, str]]:
    """Return (view, path of the API) for every question that a view of the page asks."""
    run = "dags/wide/runs/large"
    task = f"{run}/tasks/t1000"
    return [
        ("pipelines, first page", "dags"),
        ("pipelines, 200 at once", "dags?limit=200"),
        ("pipelines, search", "dags?search=dag99"),
        ("runs, first page", "runs"),
        ("runs, failed", "runs?state=failed"),
        ("pipeline", "dags/dag500"),
        ("pipeline, grid", "dags/dag500/grid"),
        ("pipeline, grid of 2,000 tasks", "dags/wide/grid"),
        ("pipeline, graph", "dags/dag500/graph"),
        ("pipeline, graph of 2,000 tasks", "dags/wide/graph"),
        ("pipeline, calendar", f"dags/dag500/calendar?first={day - timedelta(365)}&last={day + timedelta(30)}"),
        ("pipeline, versions", "dags/dag500/versions"),
        ("pipeline, parameters", "dags/dag500/parameters"),
        ("pipeline, notebook", "dags/dag500/notebook"),
        ("run of 2,000 tasks", run),
        ("run of 2,000 tasks, states", f"{run}/tasks"),
        ("run of 2,000 tasks, graph", f"{run}/graph"),
        ("run of 2,000 tasks, Gantt", f"{run}/timeline"),
        ("run of 2,000 tasks, events", f"{run}/events"),
        ("run of 2,000 tasks, values", f"{run}/values"),
        ("run of 2,000 tasks, comparison", f"{run}/compare/small"),
        ("task of 2,000", task),
        ("task of 2,000, attempt", f"{task}/attempts/-1/1"),
        ("task of 2,000, why", f"{run}/why/t1000"),
        ("log of 20 MB, its end", f"{task}/attempts/-1/1/log?offset=-262144"),
        ("log of 20 MB, 1 MB of it", f"{task}/attempts/-1/1/log?offset=9000000"),
        ("scheduler", "scheduler"),
        ("pools", "pools"),
        ("questions", "questions"),
        ("assets", "assets"),
        ("lineage", "lineage"),
        ("OpenAPI document", "openapi.json"),
    ]


def fill(folder: Path) -> Home:
    """Fill a home, and return it."""
    home = Home(folder / ".nbdag")
    store = nbdag.store.open(home)
    notebook = folder / "deployed.ipynb"
    _fill(store, notebook)
    small = _notebook([f"%%task t{n}\nx{n} = {n}" for n in range(10)])
    notebook.write_bytes(small)
    home.write(home.notebook("d"), small)
    _large(store, home, folder)
    store.close()
    return home


def _large(store: Store, home: Home, folder: Path) -> None:
    """Deploy a pipeline of 2,000 tasks in chains of ten, and record two runs of it and a large log."""
    cells = [
        f"%%task t{n}\nx{n} = {f'x{n - 1} + 1' if n % 10 else n}" for n in range(TASKS)
    ]  # a hundred lines of ten would be easier to lay out; two hundred chains of ten are closer to real ones
    path = folder / "wide.ipynb"
    path.write_bytes(_notebook(cells))
    runs.deploy(path, home=home)
    prepare("wide", home=home)  # as `nbdag deploy` and the page do
    for name in ("small", "large"):
        runs.trigger("wide", name=name, home=home)
    now = time.time()
    with store._database.writing() as connection:
        connection.execute(
            text(
                "UPDATE instances SET state = 'success', tries = 1 WHERE run_id IN (SELECT id FROM runs WHERE dag_id = 'wide')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO attempts (instance_id, try_number, state, started, ended, scheduler_id) SELECT id, 1, 'success', "
                ":now, :now + 1, 's' FROM instances WHERE run_id IN (SELECT id FROM runs WHERE dag_id = 'wide')"
            ),
            {"now": now},
        )
        connection.execute(
            text(
                "INSERT INTO outputs (instance_id, try_number, name, digest, type, bytes, summary) SELECT id, 1, "
                "'x' || substr(task, 2), 'd' || id, 'int', 30, '1' FROM instances WHERE run_id IN "
                "(SELECT id FROM runs WHERE dag_id = 'wide')"
            )
        )
        connection.execute(
            text("UPDATE runs SET state = 'success', started = :now, ended = :now + 9 WHERE dag_id = 'wide'"),
            {"now": now},
        )
    log = home.attempt(Key(dag="wide", run="large", task="t1000")).with_suffix(".log")
    home.make_folder(log.parent)
    line = b"2026-01-01 00:00:00 a line of a log, as long as a line of a log often is: abcdefghijklmnopqrstuvwxyz\n"
    log.write_bytes(line * (LOG // len(line)))


def _notebook(cells: list[str]) -> bytes:
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{n}",
                    "metadata": {},
                    "source": each,
                    "outputs": [],
                    "execution_count": None,
                }
                for n, each in enumerate(cells)
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    ).encode()


def measured(times: int, only: str = "") -> Iterator[tuple[str, float, Timing, float, int]]:
    """Yield (view, seconds of the first answer, timing of further answers, their mean processor time, bytes)."""
    with _filled_site() as site:
        for view, path in questions(date.today()):
            if only not in view:
                continue
            first = timed(site, path)[0]
            busy = _busy(site)
            found = [timed(site, path) for _ in range(times)]
            yield view, first, Timing(tuple(wall for wall, _ in found)), (_busy(site) - busy) / times, found[0][1]


def memory(requests: int = 1_000) -> Iterator[tuple[int, int]]:
    """Yield (number of requests, resident bytes of the server) now and then, while the views are asked in turn."""
    with _filled_site() as site:
        paths = [path for _, path in questions(date.today()) if "compare" not in path]
        for n in range(requests + 1):
            if n % (requests // 5) == 0:
                yield n, psutil.Process(site.processes[0].pid).memory_info().rss
            timed(site, paths[n % len(paths)])


def timed(site: Site, path: str) -> tuple[float, int]:
    """Return the seconds and the bytes of an answer."""
    request = urllib.request.Request(f"{site.url}/api/{path}", headers={"Authorization": f"token {site.token}"})
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        size = len(answer.read())
    return time.perf_counter() - begun, size


@contextlib.contextmanager
def _filled_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as runtime, served(Path(runtime), free_port(), PAGE) as site:
        fill(site.folder)
        yield site


def _busy(site: Site) -> float:
    """Return the seconds of processor time that the server has used."""
    spent = psutil.Process(site.processes[0].pid).cpu_times()
    return float(spent.user + spent.system)


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="measure only views whose name contains this text")
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--memory", action="store_true", help="measure the server's memory over 1,000 requests instead")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if asked.memory:
        for number, size in memory():
            print(f"after {number:5} requests: {size >> 20} MB")
        return
    for view, first, timing, busy, size in measured(asked.times, asked.only):
        late = "" if timing.median <= FIGURE else "  > 100 ms"
        print(f"{view:36} {timing}  processor {busy:.3f} s  first {first:.3f} s, {size >> 10} kB{late}", flush=True)


if __name__ == "__main__":
    main()
