"""Time the scheduler's ticks while nobody, and while 50 pages, watch its run.

    python -m tests.benchmarks.viewers

The scheduler is a process of its own, which executes a chain of tasks. Each viewer reads the stream of changes and, like
the page, asks for the states of the tasks after a change, at most once per second. Prints the processor time of the
thread that ticks, and how long the ticks took. The latter contains the competition for the processor where the machine
has fewer cores than busy processes.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.server.conftest import Client, start_server, write_notebook

from .measure import Timing

TASKS = 100
LENGTH = 0.1  # seconds that each task sleeps
PAUSE = 1.0  # seconds between two questions of one viewer


def execute(notebook: Path) -> tuple[Timing, Timing]:
    """Execute a notebook in this process. Return the processor times and the durations of the ticks that did something."""
    import nbdag.executors.local
    from nbdag import runs
    from nbdag.home import Home
    from nbdag.scheduler import Scheduler
    from nbdag.testing import InProcessExecutor

    tick = Scheduler.tick
    busy, walls = [], []

    def timed(self: Scheduler, now: object) -> object:
        begun, worked = time.perf_counter(), time.thread_time()
        found = tick(self, now)  # type: ignore[arg-type]
        busy.append(time.thread_time() - worked)
        walls.append(time.perf_counter() - begun)
        return found

    nbdag.executors.local.LocalExecutor = InProcessExecutor  # type: ignore[assignment,misc]
    Scheduler.tick = timed  # type: ignore[assignment,method-assign]
    runs.run(notebook, home=Home(notebook.parent / ".nbdag"))
    return Timing(tuple(sorted(busy)[-TASKS:])), Timing(tuple(sorted(walls)[-TASKS:]))


@contextlib.contextmanager
def watched(client: Client, number: int) -> Iterator[list[int]]:
    """Let viewers watch the server until it ends. Yield a list that receives an entry for each answer."""
    answers: list[int] = []

    def view(response: http.client.HTTPResponse) -> None:
        asked = 0.0
        with response, contextlib.suppress(OSError, http.client.HTTPException):  # the server ends the stream
            for line in response:
                if line.startswith(b"event: run") and time.monotonic() - asked > PAUSE:
                    asked = time.monotonic()
                    answers.append(client.get("dags/churn/runs/latest/tasks").status)

    for _ in range(number):
        request = urllib.request.Request(f"{client.url}nbdag/api/events", headers=dict(client.headers))
        response = urllib.request.urlopen(request, timeout=600)
        threading.Thread(target=view, args=(response,), daemon=True).start()
    yield answers


def measured(viewers: int) -> tuple[Timing, Timing, int]:
    """Return the processor times and the durations of ticks, and the number of answers to viewers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = [
            f"%%task t{n}\nimport time; time.sleep({LENGTH}); x{n} = {f'x{n - 1}' if n else 0}" for n in range(TASKS)
        ]
        notebook = write_notebook(folder, *cells)
        client, end = start_server(folder)
        try:
            with watched(client, viewers) as answers:
                command = [sys.executable, "-m", __spec__.name, "--execute", str(notebook)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                busy, walls = json.loads(done.stdout)
                return Timing(tuple(busy)), Timing(tuple(walls)), len(answers)
        finally:
            end()


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--execute", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--viewers", type=int, nargs="*", default=[0, 50, 0, 50])
    asked = parser.parse_args()
    if asked.execute is not None:
        print(json.dumps([timing.seconds for timing in execute(asked.execute)]))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for viewers in asked.viewers:
        busy, walls, answers = measured(viewers)
        print(f"{viewers:3} viewers: processor {busy}, duration {walls}; {answers} answers", flush=True)


if __name__ == "__main__":
    main()
