"""Time each view's questions to the REST API: 1,000 pipelines, 100,000 task instances, a run of 2,000 tasks, a log of
20 MB.

    python -m tests.benchmarks.api

The server runs in this process, so a figure contains the client's time too. The first answer of each question is not
counted, because it fills caches; it is printed beside the others. Where other processes compete for the processor, the
processor time of this process, also printed, is the better figure.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from tests.server.conftest import Client, start_server

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


def measured(times: int, only: str = "") -> Iterator[tuple[str, float, Timing, Timing, int]]:
    """Yield (view, seconds of the first answer, timing of further answers, their processor time, bytes of an answer)."""
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name))
        client, end = start_server(Path(name))
        try:
            for view, path in questions(date.today()):
                if only not in view:
                    continue
                begun = time.perf_counter()
                answer = client.get(path)
                first = time.perf_counter() - begun
                if answer.status not in (200, 206):
                    raise RuntimeError(f"{path}: {answer}")
                walls, processors = [], []
                for _ in range(times):
                    begun, busy = time.perf_counter(), time.process_time()
                    client.get(path)
                    walls.append(time.perf_counter() - begun)
                    processors.append(time.process_time() - busy)
                yield view, first, Timing(tuple(walls)), Timing(tuple(processors)), len(answer.body)
        finally:
            end()


def memory(requests: int = 1_000) -> Iterator[tuple[int, int]]:
    """Yield (number of requests, resident bytes of this process) now and then, while the views are asked in turn."""
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name))
        client, end = start_server(Path(name))
        try:
            paths = [path for _, path in questions(date.today()) if "compare" not in path]
            for n in range(requests + 1):
                if n % (requests // 5) == 0:
                    yield n, psutil.Process().memory_info().rss
                client.get(paths[n % len(paths)])
        finally:
            end()


def concurrent(client: Client, path: str, viewers: int, requests: int) -> Timing:
    """Return the times of requests that several viewers send at once."""
    found: list[float] = []
    lock = threading.Lock()

    def ask(_: int) -> None:
        begun = time.perf_counter()
        client.get(path)
        with lock:
            found.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(viewers) as pool:
        list(pool.map(ask, range(requests)))
    return Timing(tuple(found))


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
        late = "" if busy.median <= FIGURE else "  > 100 ms"
        print(f"{view:36} {timing}  processor {busy}  first {first:.3f} s, {size >> 10} kB{late}", flush=True)


if __name__ == "__main__":
    main()
