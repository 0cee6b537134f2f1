"""Time one tick of an idle scheduler, and listings, with 1,000 DAGs and 100,000 task instances in the store.

    python -m tests.benchmarks.full_store [URL]

Prints milliseconds, and the database's query plans for frequent queries. The database is SQLite, or the empty PostgreSQL
database of the URL.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

import nbdag.store
from nbdag import executors, runs
from nbdag.core.model.job import Job, Key, Result
from nbdag.home import Home
from nbdag.scheduler import DueRuns, Scheduler
from nbdag.store.store import Store

from .measure import Timing, timings

DAGS, RUNS, TASKS = 1000, 10, 10

FILL = (
    "WITH RECURSIVE n(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM n WHERE d < :dags - 1) "
    "INSERT INTO dags (id, digest, path, cwd, deployed, schedule, tz, max_active_runs, next_date) "
    "SELECT 'dag' || d, 'd', :path, '/', 0, (d % 60) || ' ' || (d % 24) || ' * * *', 'UTC', 16, :now + 9999 FROM n",
    "INSERT INTO versions (dag_id, digest, created) SELECT id, 'd', 0 FROM dags",
    "WITH RECURSIVE n(r) AS (SELECT 0 UNION ALL SELECT r + 1 FROM n WHERE r < :runs - 1) "
    "INSERT INTO runs (dag_id, name, digest, kind, state, created, started, ended, logical_date, interval_start, "
    "interval_end, path, cwd, parameters, fail_fast, revision) SELECT id, 'r' || r, 'd', 'scheduled', 'success', "
    ":now - r, :now - r, :now, :now - r, :now - r, :now - r, :path, '/', '{}', :no, 1 FROM dags, n",
    "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < :tasks - 1) "
    "INSERT INTO instances (run_id, task, map_index, position, state, tries, pool, slots, short_circuit) "
    "SELECT id, 't' || k, -1, k, 'success', 1, 'default_pool', 1, :no FROM runs, n",
    "INSERT INTO schedulers (id, host, pid, birth, started, heartbeat, kind, ended) "
    "VALUES ('s', 'h', 1, 'b', 0, 0, 'scheduler', :now)",
    "INSERT INTO attempts (instance_id, try_number, state, started, ended, scheduler_id) "
    "SELECT id, 1, 'success', 0, 1, 's' FROM instances",
)
QUERIES = (
    "SELECT * FROM runs WHERE state IN ('queued', 'running') AND (scheduler_id IS NULL OR scheduler_id = 's')",
    "SELECT * FROM instances WHERE state IN ('queued', 'running', 'restarting')",
    "SELECT min(next_date) FROM dags WHERE next_date > 1 AND digest IS NOT NULL AND NOT paused",
    "SELECT * FROM runs ORDER BY created DESC, id DESC LIMIT 20",
    "SELECT * FROM runs WHERE dag_id = 'x' AND kind = 'scheduled' AND logical_date < 5 ORDER BY logical_date DESC",
    "SELECT * FROM attempts WHERE state = 'running' AND scheduler_id = 's'",
)


class Idle(executors.Executor):
    """An executor that runs no jobs."""

    slots = 2

    def start(self, on_result: Callable[[Result], None]) -> None: ...
    def submit(self, job: Job) -> None: ...
    def cancel(self, key: Key) -> None: ...
    def stop(self) -> None: ...
    def terminate_leftovers(self, notebook: Path, mark: str) -> None: ...


def measured(folder: Path, times: int, url: str | None = None) -> Iterator[tuple[str, Timing]]:
    """Fill a store, and yield the timing of each operation on it."""
    home = Home(folder / "full", url)
    store = nbdag.store.open(home)
    _fill(store, folder / "deployed.ipynb")
    due_runs = DueRuns(store, read=_none, report=lambda message, dag, run: None)
    scheduler = Scheduler(store, Idle(), home=home, read=_none, due_runs=due_runs)
    scheduler.register()
    actions: dict[str, Callable[[], object]] = {
        "one tick of an idle scheduler": lambda: scheduler.tick(datetime.now(UTC)),
        "`nbdag runs`": lambda: runs.list_runs(home=home),
        "`nbdag runs --dag dag5`": lambda: runs.list_runs("dag5", home=home),
        "`nbdag list`": lambda: runs.list_dags(home=home),
    }
    try:
        for what, do in actions.items():
            do()
            yield what, timings(times, lambda do=do: do() and None)  # type: ignore[misc]
    finally:
        store.close()


def main() -> None:
    """Print it all."""
    url = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, timing in measured(folder, 9, url):
            print(f"{what}: {timing}")
        store = nbdag.store.open(Home(folder / "full", url))
        with store._database.reading() as connection:
            for question in QUERIES:
                how = "EXPLAIN QUERY PLAN" if store.is_sqlite else "EXPLAIN"
                plan = [str(row[-1]) for row in connection.execute(text(f"{how} {question}"))]
                print(f"  {question}\n    " + "\n    ".join(plan))
        store.close()


def _fill(store: Store, path: Path) -> None:
    path.write_bytes(b" " * 20_000)  # `list` reads this file to detect changes
    known = {"dags": DAGS, "runs": RUNS, "tasks": TASKS, "now": time.time(), "no": False, "path": str(path)}
    with store._database.writing() as connection:
        for statement in FILL:
            wanted = {name: value for name, value in known.items() if f":{name}" in statement}
            connection.execute(text(statement), wanted)
        if not store.is_sqlite:
            connection.execute(text("ANALYZE"))  # PostgreSQL's autovacuum would do this later


def _none(row: object) -> None:
    raise AssertionError("no notebook is needed")


if __name__ == "__main__":
    main()
