"""The load that one scheduler and one PostgreSQL carry: tasks whose attempts end at once, without kernels.

    python -m tests.benchmarks.capacity            SQLite and PostgreSQL, 100 runs of 20 tasks

The attempts cost nothing, so the scheduler and the database alone limit the number of tasks per second.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from queue import SimpleQueue

import nbformat
import psutil
from sqlalchemy import create_engine, text

from nbdag import executors, runs
from nbdag import store as stores
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.home import Home
from nbdag.runs.execution.daemon import Daemon
from tests.conftest import _postgres

TASKS = 20  # tasks of a run
JOBS = 32  # tasks at once


class Instant(executors.Executor):
    """An executor whose attempts succeed at once."""

    slots: int = 64

    def __init__(self, slots: int | None = None) -> None:
        self.slots = slots or 64
        self._on_result: Callable[[Result], None] = lambda result: None

    def start(self, on_result: Callable[[Result], None]) -> None:
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        now = time.time()
        self._on_result(Result(key=job.key, state=TaskState.SUCCESS, started=now, ended=now, host="h"))

    def cancel(self, key: Key) -> None:
        pass

    def stop(self) -> None:
        pass

    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        pass


def notebook(folder: Path, tasks: int, name: str) -> Path:
    """Return a notebook of independent tasks."""
    cells = [f"%dag {name}", *(f"%%task t{n}\nx{n} = 1" for n in range(tasks))]
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in cells]), path)
    return path


def measure(
    folder: Path, url: str | None, count: int, jobs: int, watch: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """Return the seconds, and the processor seconds of this process, in which a scheduler executes `count` runs of
    `TASKS` tasks. `watch` is called twice a second.
    """
    executors._BUILT_IN["instant"] = EntryPoint("instant", f"{Instant.__module__}:Instant", executors.GROUP)
    home = Home(folder / "home", url)
    runs.deploy(notebook(folder, TASKS, "many"), home=home)
    made = [runs.trigger("many", home=home) for _ in range(count)]
    daemons: SimpleQueue[Daemon] = SimpleQueue()
    serve = Daemon.serve

    def served(daemon: Daemon) -> None:
        daemons.put(daemon)
        serve(daemon)

    Daemon.serve = served  # type: ignore[method-assign]
    began, used = time.perf_counter(), time.process_time()
    thread = threading.Thread(target=lambda: runs.schedule(jobs=jobs, executor="instant", home=home))
    thread.start()
    try:
        daemon = daemons.get()
        with contextlib.closing(stores.open(home)) as store:
            while store.listings.unfinished_runs():
                time.sleep(0.5)
                watch()
        took = time.perf_counter() - began, time.process_time() - used
    finally:
        Daemon.serve = serve  # type: ignore[method-assign]
    daemon.ask_to_end()
    thread.join()
    assert all(each.state == "success" for each in runs.list_runs(home=home, limit=len(made)))
    return took


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    tasks = count * TASKS
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {count} runs of {TASKS} tasks, {JOBS} tasks at once")
    with tempfile.TemporaryDirectory() as folder:
        took, used = measure(Path(folder), None, count, JOBS)
        print(f"SQLite: {tasks / took:.0f} tasks/s; processor ms per task: {1000 * used / tasks:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder, _postgres() as server:
        place = server.url.rpartition("=")[2]
        pid = int(Path(place, "data", "postmaster.pid").read_text().split()[0])
        main_process = psutil.Process(pid)
        counts = []

        def watch() -> (
            None
        ):  # a process of PostgreSQL for each connection, such as "postgres: nbdag postgres [local] idle"
            counts.append(sum("[local]" in " ".join(each.cmdline()) for each in main_process.children()))

        took, used = measure(Path(folder), server.url, count, JOBS, watch)
        times = [each.cpu_times() for each in (main_process, *main_process.children())]
        database = sum(each.user + each.system + each.children_user + each.children_system for each in times)
        engine = create_engine(server.url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.connect() as connection:
            connection.execute(text("ANALYZE"))
            commits = connection.execute(
                text("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
            ).scalar_one()
            sizes = connection.execute(
                text(
                    "SELECT sum(reltuples), sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n "
                    "ON n.oid = relnamespace WHERE relkind = 'r' AND nspname = 'public' AND reltuples > 0"
                )
            ).one()
        engine.dispose()
    print(
        f"PostgreSQL: {tasks / took:.0f} tasks/s; processor ms per task: {1000 * used / tasks:.1f}, of the database "
        f"{1000 * database / tasks:.1f} (its start included); transactions per task {commits / tasks:.1f}, rows per task "
        f"{float(sizes[0]) / tasks:.1f}, bytes per task {float(sizes[1]) / tasks:.0f}; connections at most {max(counts)}, two of them of this program"
    )


if __name__ == "__main__":
    main()
