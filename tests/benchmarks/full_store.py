"""One tick of an idle scheduler, and the listings, with 1,000 DAGs and 100,000 task instances in the store.

    python -m tests.benchmarks.full_store

Prints milliseconds, and how SQLite goes about what a scheduler asks again and again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from sqlalchemy import text

import nbdag.store
from nbdag import runs
from nbdag.core.job import Job, Key, Result
from nbdag.home import Home
from nbdag.scheduler import Agenda, Scheduler
from nbdag.store.store import Store

DAGS, RUNS, TASKS = 1000, 10, 10

FILL = (
    "WITH RECURSIVE n(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM n WHERE d < :dags - 1) "
    "INSERT INTO dags (id, digest, path, cwd, deployed, schedule, tz, max_active_runs, next_date) "
    "SELECT 'dag' || d, 'd', '/x', '/', 0, '@daily', 'UTC', 16, :now + 9999 FROM n",
    "INSERT INTO versions (dag_id, digest, created) SELECT id, 'd', 0 FROM dags WHERE :now",
    "WITH RECURSIVE n(r) AS (SELECT 0 UNION ALL SELECT r + 1 FROM n WHERE r < :runs - 1) "
    "INSERT INTO runs (dag_id, name, digest, kind, state, created, started, ended, logical_date, interval_start, "
    "interval_end, path, cwd, parameters, fail_fast, revision) SELECT id, 'r' || r, 'd', 'scheduled', 'success', "
    ":now - r, :now - r, :now, :now - r, :now - r, :now - r, '/x', '/', '{}', 0, 1 FROM dags, n",
    "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < :tasks - 1) "
    "INSERT INTO instances (run_id, task, map_index, position, state, tries, pool, slots, short_circuit) "
    "SELECT id, 't' || k, -1, k, 'success', 1, 'default_pool', 1, 0 FROM runs, n",
    "INSERT INTO schedulers (id, host, pid, birth, started, heartbeat, kind, ended) "
    "VALUES ('s', 'h', 1, 'b', 0, 0, 'scheduler', :now)",
    "INSERT INTO attempts (instance_id, try_number, state, started, ended, scheduler_id) "
    "SELECT id, 1, 'success', 0, 1, 's' FROM instances WHERE :now",
)
QUESTIONS = (
    "SELECT * FROM runs WHERE state IN ('queued', 'running') AND (scheduler_id IS NULL OR scheduler_id = 's')",
    "SELECT * FROM instances WHERE state IN ('queued', 'running', 'restarting')",
    "SELECT min(next_date) FROM dags WHERE next_date > 1 AND digest IS NOT NULL AND NOT paused",
    "SELECT * FROM runs ORDER BY created DESC, id DESC LIMIT 20",
    "SELECT * FROM runs WHERE dag_id = 'x' AND kind = 'scheduled' AND logical_date < 5 ORDER BY logical_date DESC",
    "SELECT * FROM attempts WHERE state = 'running' AND scheduler_id = 's'",
)


class Idle:
    """Makes nothing."""

    slots = 2

    def start(self, on_result: Callable[[Result], None]) -> None: ...
    def submit(self, job: Job) -> None: ...
    def cancel(self, key: Key) -> None: ...
    def stop(self) -> None: ...


def main() -> None:
    """Fill a store, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        store = nbdag.store.open(home)
        _fill(store)
        agenda = Agenda(store, read=_none, say=lambda message, dag, run: None)
        scheduler = Scheduler(store, Idle(), home=home, read=_none, agenda=agenda)
        scheduler.begin()
        _print("one tick, idle", lambda: scheduler.tick(datetime.now(UTC)))
        _print("nbdag runs", lambda: runs.list_runs(home=home))
        _print("nbdag runs --dag dag5", lambda: runs.list_runs("dag5", home=home))
        _print("nbdag list", lambda: runs.deployed(home=home))
        with store._database.reading() as connection:
            for question in QUESTIONS:
                plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {question}"))]
                print(f"  {question[:100]}\n    {'; '.join(plan)}")
        store.close()


def _fill(store: Store) -> None:
    known = {"dags": DAGS, "runs": RUNS, "tasks": TASKS, "now": time.time()}
    with store._database.writing() as connection:
        for statement in FILL:
            wanted = {name: value for name, value in known.items() if f":{name}" in statement}
            connection.execute(text(statement), wanted)


def _none(row: object) -> None:
    raise AssertionError("no notebook is needed")


def _print(what: str, do: Callable[[], object]) -> None:
    took = []
    for _ in range(9):
        began = time.perf_counter()
        do()
        took.append((time.perf_counter() - began) * 1000)
    print(f"{what}: {median(took):.1f} ms")


if __name__ == "__main__":
    main()
