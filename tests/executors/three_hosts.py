"""Runs on three hosts: cut off and killed hosts, and restarts of the Dask scheduler, of S3 and of PostgreSQL.

The hosts share S3 and nothing else. Each attempt records its host and its times in a folder that only this test reads,
so a cut-off host is observed too.

`test_three_hosts` executes these tests in a network namespace.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask
import nbformat
import pytest
from hosts import NAMES, TIMEOUTS, Site, site
from patience import LONG, until
from s3 import Gateway, s3_server

from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.executors import Choice
from nbdag.home import Home
from nbdag.storage import files_at

# s3fs and Dask leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

# Number of tasks that share out: few, because the tests of CI must be short.
TASKS = int(os.environ.get("NBDAG_TEST_TASKS", "12"))
WATCH = '''
import socket, time, uuid
from pathlib import Path

SEEN = Path({seen!r})

def work(name, gate=""):
    """Record the host and the times of an attempt; wait until the gate is open."""
    file, begun = SEEN / f"{{name}} {{uuid.uuid4().hex}}", time.monotonic()
    while True:
        file.with_suffix(".part").write_text(f"{{socket.gethostname()}} {{begun}} {{time.monotonic()}}")
        file.with_suffix(".part").rename(file)
        if not gate or (SEEN / gate).exists():
            return
        time.sleep(0.02)
'''
CELLS = (
    "%%task items\nparts = list(range({tasks}))",
    "%%task work --map part=parts --retries 5 --retry-delay 0s\n"
    "import nbdag\nfrom watch import work\nnbdag.state['try'] = dag_run.try_number\n"
    "work(f'{{part}} {{dag_run.try_number}}', {gate!r})\nnumber = part + 0.5",
    "%%task total --out result --retries 5 --retry-delay 0s\nresult = sum(number)",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The record of an attempt of the task `work`."""

    part: int
    try_number: int
    host: str
    begun: float
    ended: float


class Scene:
    """The three hosts, their storage, a home, and a notebook."""

    def __init__(self, at: Site, s3: Gateway, home: Home, folder: Path) -> None:
        self.site, self.s3, self.home = at, s3, home
        self._folder = folder
        self._seen = at.folder / f"seen-{folder.name}"
        self._seen.mkdir()
        self._pool = ThreadPoolExecutor(1)
        self.events: list[Any] = []

    def run(self, tasks: int, gate: str = "") -> Future[runs.Run]:
        folder = self._folder / "book"
        folder.mkdir()
        (folder / "watch.py").write_text(WATCH.format(seen=str(self._seen)))
        cells = [nbformat.v4.new_code_cell(each.format(tasks=tasks, gate=gate)) for each in CELLS]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "book.ipynb")
        return self._pool.submit(
            runs.run,
            folder / "book.ipynb",
            executor=Choice("dask", {"address": self.site.dask}),
            home=self.home,
            on_event=self.events.append,
        )

    def open(self, gate: str) -> None:
        (self._seen / gate).touch()

    @property
    def seen(self) -> list[Seen]:
        found = []
        for path in self._seen.glob("* * *"):
            if path.suffix != ".part":
                host, begun, ended = path.read_text().split()
                part, number, _ = path.name.split()
                found.append(Seen(int(part), int(number), host, float(begun), float(ended)))
        return found

    def states(self, run: runs.Run) -> Counter[int]:
        """Return the numbers of the attempts that have written the stored `nbdag.state` of each instance of `work`."""
        stored = files_at(str(self.home.remote))
        names = [each.name for each in stored.files("runs") if each.name.endswith("/state.json")]
        return Counter(json.loads(stored.read(name))["try"] for name in names if f"/{run.id}/" in name)

    def check(self, run: runs.Run, tasks: int, cut_off: tuple[str, ...] = ()) -> None:
        """Check what holds for every run, whatever has happened to the hosts."""
        attempts = runs.list_attempts(run.id, run.dag, home=self.home)
        errors = {(each.task, each.host, each.error) for each in attempts if each.error}
        assert run.state is RunState.SUCCESS, (run.error, errors)
        assert runs.load(run.dag, run=run.id, task="total", home=self.home)["result"] == tasks**2 / 2
        times = defaultdict(list)
        for each in self.seen:
            if each.host not in cut_off:
                times[each.part].append((each.begun, each.ended))
        assert len(times) == tasks
        for spans in times.values():  # no two attempts of a task at once
            spans.sort()
            assert all(end < begin for (_, end), (begin, _) in pairwise(spans))
        assert set(Counter((each.part, each.try_number) for each in self.seen).values()) == {1}
        states = defaultdict(list)
        for each in attempts:  # the expansion of a mapped task is an attempt with index -1
            states[each.task, each.map_index].append((each.try_number, each.state))
        for key, found in states.items():
            last = len(found)
            assert sorted(found) == [*((n, TaskState.FAILED) for n in range(1, last)), (last, TaskState.SUCCESS)], key


@pytest.fixture(scope="module")
def hosts(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Gateway]]:
    with (
        site(tmp_path_factory.getbasetemp()) as at,
        s3_server(tmp_path_factory.mktemp("s3"), at.address) as s3,
        dask.config.set(TIMEOUTS),
    ):
        for name in NAMES:
            at.start(name)
        at.wait_for(*NAMES)
        yield at, s3


@pytest.fixture
def scene(hosts: tuple[Site, Gateway], postgres_of_the_module: Any, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(*hosts, Home(tmp_path / "home", postgres_of_the_module.url, f"s3://data/{tmp_path.name}"), tmp_path)
    yield made
    made.open("open")  # so that the run of a failed test ends


def test_tasks_share_out_over_three_hosts_while_s3_is_busy(scene: Scene) -> None:
    run = scene.run(TASKS)
    until(lambda: len(scene.seen) > 6 or run.done())
    scene.s3.busy_until = time.monotonic() + 10
    ended = run.result(LONG)
    scene.check(ended, TASKS)
    # The shares differ, because a host that S3 has refused waits longer and longer before it tries again.
    assert {each.host for each in scene.seen} == set(NAMES)
    assert {each.try_number for each in scene.seen} == {1}


def test_attempts_of_a_host_that_is_cut_off_or_killed_run_again_elsewhere(scene: Scene) -> None:
    run = scene.run(6, "open")
    until(lambda: len(scene.seen) == 6 or run.done(), "six attempts, two on each host")
    scene.site.cut_off("bob")
    scene.site.kill("cyd")
    scene.site.start("cyd")
    until(lambda: len(scene.seen) == 8 or run.done(), "the attempts of cyd, on cyd")
    scene.open("open")  # for the attempts on bob too, which end there and cannot store their results
    ended = run.result(LONG)
    scene.site.connect("bob")
    scene.site.wait_for(*NAMES)  # the earlier Dask worker of bob has ended
    scene.check(ended, 6, ("bob",))
    assert {each.host for each in scene.seen if each.try_number == 2} <= {"ada", "cyd"}
    assert scene.states(ended) == Counter({1: 2, 2: 4})


def test_a_run_goes_on_after_restarts_of_the_dask_scheduler_and_of_postgresql(
    scene: Scene, postgres_of_the_module: Any
) -> None:
    run = scene.run(6, "open")
    until(lambda: len(scene.seen) == 6 or run.done())
    scene.site.restart_scheduler()
    postgres_of_the_module.stop()
    postgres_of_the_module.start()
    scene.open("open")
    ended = run.result(LONG)
    scene.check(ended, 6)
