"""Random SIGKILLs of schedulers, servers, workers and kernels, of one or of all at once.

The tasks are bash scripts and subprocesses that are hard to find: in a session of their own, without an environment.
Each holds a lock as long as any process of it lives. By default few kills meet six tasks. `NBDAG_FAULT_KILLS=150 pytest
tests/scheduler/test_kill_everything.py` makes 300 kills among twelve tasks, half of them on PostgreSQL with two schedulers.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import until

import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RUN_FINISHED, RunState, TaskState

KILLS = int(os.environ.get("NBDAG_FAULT_KILLS", "4"))  # on each database
TASKS = 6 if KILLS < 15 else 12
KINDS = ("everything", "forked", "scheduler", "one")  # each of them once in every four kills
OPTIONS = "--retries 1000 --retry-delay 0s"
# The lock is inherited by every process of the script.
SCRIPT = (
    "exec 9>>lock.{n}; flock -n 9 || echo CLASH {n} >>marks; echo begin {n} >>marks; sleep {s}; echo end {n} >>marks"
)
BASH = "%%task t{n} --operator bash {options}\n{script}"
PYTHON = """%%task t{n} {options}
import os, subprocess
script = {script!r}
if {n} % 3 == 1:
    subprocess.run(["bash", "-c", script], check=True)
else:
    subprocess.run(["setsid", "-w", "env", "-i", "PATH=" + os.environ["PATH"], "bash", "-c", script], check=True)
"""


@pytest.fixture
def runtime_folder(site: Any) -> Iterator[str]:
    """A folder for the fork servers of this test alone, so that it kills no other."""
    folder = tempfile.mkdtemp(prefix="nbdag-k")
    site.environ["NBDAG_RUNTIME_DIR"] = folder
    yield folder
    site.close()
    for process in _forked(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _forked(folder: str) -> list[psutil.Process]:
    """Return the servers that meet in this folder, and what they have forked: their arguments name it."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(folder in word for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return


def _is_free(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _notebook(site: Any, dice: random.Random) -> Path:
    cells = [f"%dag killed --max-active-tasks 100 {OPTIONS}"]
    for n in range(TASKS):
        after = f"--after t{n - 4}" if n >= 4 else ""
        script = SCRIPT.format(n=n, s=round(dice.uniform(0.2, 1.5), 2))
        template = BASH if n % 3 == 0 else PYTHON
        cells.append(template.format(n=n, options=after, script=script))
    return site.cells("killed", *cells)


def _check(site: Any, run: runs.Run) -> None:
    """Every attempt has one outcome, and every task has succeeded once."""
    store = nbdag.store.open(site.home)
    try:
        row = store.named(run.id, run.dag)[0]
        attempts = store.attempts([row.id])[row.id]
    finally:
        store.close()
    assert all(each.state is not TaskState.RUNNING and each.ended is not None for each in attempts)
    assert len({(each.instance, each.try_number) for each in attempts}) == len(attempts)
    assert sorted(each.task for each in attempts if each.state is TaskState.SUCCESS) == sorted(
        f"t{n}" for n in range(TASKS)
    )


@pytest.mark.slow
def test_after_kills_of_everything_no_task_runs_twice_or_is_lost_or_leaves_a_process(
    site: Any, runtime_folder: str
) -> None:
    dice = random.Random(int(os.environ.get("NBDAG_FAULT_SEED", "11")))
    runs.deploy(_notebook(site, dice), home=site.home)
    marks = site.folder / "marks"
    schedulers = [site.begin("--jobs", "3") for _ in range(1 if site.home.url is None else 2)]
    run = site.trigger("killed")
    site.until(marks.exists, "a task begins")
    kills, together, kinds = 0, 0, list[str]()
    while kills < KILLS:
        if dice.random() < 0.7:  # most kills meet a task that has just begun, the others a scheduler that starts
            begun = marks.stat().st_size
            deadline = time.monotonic() + 20.0
            while marks.stat().st_size == begun and time.monotonic() < deadline:
                time.sleep(0.02)
        time.sleep(dice.uniform(0.0, 0.7))  # a kill at any moment is what is tested
        if site.look(run).state in RUN_FINISHED:
            assert site.look(run).state is RunState.SUCCESS
            _check(site, run)
            run = site.trigger("killed")
        forked = _forked(runtime_folder)
        kinds = kinds or dice.sample(KINDS, len(KINDS))
        kind = kinds.pop()
        if kind == "one" and forked:
            victims = [dice.choice(forked)]
        elif kind == "scheduler" or not forked:
            victims = [psutil.Process(dice.choice(schedulers).pid)]
        else:
            victims = forked + [psutil.Process(each.pid) for each in schedulers if kind == "everything"]
            dice.shuffle(victims)
        for victim in victims:
            _kill(victim)
        kills, together = kills + 1, together + (kind == "everything")
        for n, scheduler in enumerate(schedulers):
            if scheduler.poll() is not None or scheduler.pid in {victim.pid for victim in victims}:
                scheduler.wait()
                schedulers[n] = site.begin("--jobs", "3")
    assert site.ended(run).state is RunState.SUCCESS, site.said()[-3000:]
    _check(site, run)
    for scheduler in schedulers:
        scheduler.send_signal(signal.SIGTERM)
        scheduler.wait()
    said = marks.read_text().split("\n")
    assert [line for line in said if "CLASH" in line] == []
    assert {line for line in said if line.startswith("end")} == {f"end {n}" for n in range(TASKS)}
    for n in range(TASKS):
        until(lambda n=n: _is_free(site.folder / f"lock.{n}"), "no process of the task is left")
    print(f"{kills} kills, {together} of everything at once; {sum(line.startswith('begin') for line in said)} begins")
