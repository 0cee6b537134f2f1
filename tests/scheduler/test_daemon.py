"""The scheduler in this process: what it bears, and what it says of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from sqlalchemy import event

import nbdag.store
from nbdag import runs
from nbdag.core.states import RUN_FINISHED, RunState
from nbdag.home import Home
from nbdag.runs.daemon import Daemon, Line

PATIENCE = 60.0  # seconds for what takes one


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_full_disk_is_said_and_survived(tmp_path: Path, bench: Any) -> None:
    """The database may not grow while the run goes on; then it may again."""
    home = Home(tmp_path / "home")
    path = tmp_path / "full.ipynb"
    cells = ["%dag full", *(f"%%task t{n}\nx{n} = 1" for n in range(3))]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    runs.deploy(path, home=home)
    store = nbdag.store.open(home)
    full = threading.Event()

    @event.listens_for(store._database.engine, "begin")
    def limit(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={1 if full.is_set() else 1 << 30}")

    lines: list[Line] = []
    executor = bench.executor
    executor.script = lambda job: {"error": "x" * 50_000, "outputs": ()}  # what is on record of it needs pages
    executor.now = time.time
    daemon = Daemon(store, home, executor, on_line=lines.append)
    thread = threading.Thread(target=daemon.serve)
    thread.start()
    _until(lambda: any("begins" in line.message for line in lines))
    full.set()
    made = runs.trigger("full", home=home)
    _until(lambda: any("the disk is full" in line.message for line in lines))
    full.clear()
    _until(lambda: _ended(home, made))
    daemon.ask_to_end()
    thread.join(PATIENCE)
    store.close()
    assert runs.find_run(made.id, home=home).state is RunState.SUCCESS
    assert "the database answers again" in [line.message for line in lines]


def _ended(home: Home, run: runs.Run) -> bool:
    return runs.find_run(run.id, run.dag, home=home).state in RUN_FINISHED
