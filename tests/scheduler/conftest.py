"""A scripted executor, DAGs without code, and schedulers as processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from patience import LONG, until
from sqlalchemy import event
from warm import WarmCommands, WarmProcess

import nbdag.store
from nbdag import runs
from nbdag.core.model.dag import Dag, Edge, Input, Task
from nbdag.core.model.events import Event
from nbdag.core.model.job import Job, Key, Result, StoredOutput
from nbdag.core.model.states import RUN_FINISHED, RunState, TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.errors import NbdagError
from nbdag.executors import Executor
from nbdag.home import Home
from nbdag.scheduler import DueRuns, OwnedRun, Scheduler, instances_of, new_instance, new_run, next_date, timetable_of
from nbdag.store.rows import DagRow, NewRun, RunRow
from nbdag.store.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)


def dag_of(
    edges: Mapping[str, Sequence[str]], options: Mapping[str, dict[str, Any]] | None = None, **dag_options: Any
) -> Dag:
    """Task → the tasks before it; each reads from each of those a name that is called like the task."""
    said = options or {}
    return Dag(
        id="churn",
        options=DagOptions(**dag_options),
        cells=(),
        tasks={
            task: Task(
                id=task,
                cell=n,
                options=TaskOptions(**said.get(task, {})),
                code=f"{task} = 1",
                inputs=tuple(Input(name=other, sources=(other,)) for other in before),
                exports=((task,),),
            )
            for n, (task, before) in enumerate(edges.items())
        },
        edges=tuple(Edge(source=other, target=task) for task, before in edges.items() for other in before),
        order=tuple(edges),
    )


@dataclass
class Scripted(Executor):
    """Attempts end when the test says so, or at once where `script` has an answer."""

    slots: int = 2
    script: Callable[[Job], dict[str, Any] | None] = lambda job: {}
    submitted: list[Job] = field(default_factory=list)
    cancelled: list[Key] = field(default_factory=list)
    open: dict[Key, Job] = field(default_factory=dict)
    now: Callable[[], float] = START.timestamp
    most: int = 0  # that were open at once
    located: dict[Key, str] = field(default_factory=dict)  # hosts of attempts
    terminated: list[Path] = field(default_factory=list)  # notebooks of attempts whose leftovers were terminated

    def start(self, on_result: Callable[[Result], None]) -> None:
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        self.submitted.append(job)
        self.open[job.key] = job
        self.most = max(self.most, len(self.open))
        answer = self.script(job)
        if answer is not None:
            self._end(job.key, **{"state": TaskState.SUCCESS, **answer})

    def finish(self, task: str, state: TaskState = TaskState.SUCCESS, *, map_index: int = -1, **more: Any) -> None:
        """End the attempt at this task that was submitted first."""
        self._end(next(key for key in self.open if (key.task, key.map_index) == (task, map_index)), state, **more)

    def _end(self, key: Key, state: TaskState, **more: Any) -> None:
        job, task, map_index = self.open.pop(key), key.task, key.map_index
        if state is TaskState.SUCCESS and "outputs" not in more and not job.expand:
            given = "+".join(",".join(each.digests) for each in job.inputs)
            more["outputs"] = (
                StoredOutput(
                    name=task, digest=f"{task}{max(map_index, 0) or ''}({given})", type="int", bytes=1, summary="1"
                ),
            )
        at = self.now()
        self._on_result(Result(key=key, state=state, started=at, ended=at, **more))

    def cancel(self, key: Key) -> None:
        self.cancelled.append(key)
        if key in self.open:
            self._end(key, TaskState.FAILED, error="cancelled")

    def stop(self) -> None:
        for key in list(self.open):
            self.cancel(key)

    def running_on(self) -> dict[Key, str]:
        return self.located

    def terminate_leftovers(self, notebook: Path, mark: str) -> None:
        self.terminated.append(notebook)

    @property
    def names(self) -> list[str]:
        """Return the submitted jobs, in order."""
        return [
            job.key.task if job.key.map_index < 0 else f"{job.key.task}[{job.key.map_index}]" for job in self.submitted
        ]


@dataclass
class Bench:
    """A store, a scheduler, a clock that only the test moves."""

    home: Home
    store: Store
    executor: Scripted
    now: datetime = START
    events: list[Event] = field(default_factory=list)
    saved: list[OwnedRun] = field(default_factory=list)

    def begin(self, dag: Dag, **more: Any) -> tuple[Scheduler, RunRow]:
        self.executor.now = lambda: self.now.timestamp()
        scheduler = Scheduler(
            self.store, self.executor, home=self.home, read=lambda row: dag,
            on_event=self.events.append, on_saved=self.saved.append, clock=lambda: self.now,
        )  # fmt: skip
        scheduler.register()
        at = self.now.timestamp()
        chosen = more.get("tasks") or tuple(dag.tasks)
        new = NewRun(
            dag=dag.id, name=f"r{len(self.store.runs())}", digest="d", path="/churn.ipynb", cwd="/", created=at,
            logical_date=at, interval_start=at, interval_end=at, scheduler=scheduler.id,
            fail_fast=dag.options.fail_fast,
        )  # fmt: skip
        row = self.store.create_run(replace(new, **more), [new_instance(dag, task) for task in chosen])
        scheduler.own(row)
        return scheduler, row

    def run(self, dag: Dag, **more: Any) -> RunRow:
        """To the end, where the script answers everything; the clock jumps to what is next."""
        scheduler, row = self.begin(dag, **more)
        for _ in range(10_000):
            wake = scheduler.tick(self.now)
            if scheduler.done:
                return self.store.run(row.id)
            if wake is not None and wake > self.now and not self.executor.open:
                self.now = wake
        raise AssertionError("the run does not end")

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def states(self, row: RunRow) -> dict[str, str]:
        return {
            each.task if each.map_index < 0 else f"{each.task}[{each.map_index}]": each.state.value
            for each in self.store.instances([row.id])[row.id]
        }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    home = Home(tmp_path / ".nbdag")
    store = nbdag.store.open(home)
    yield Bench(home=home, store=store, executor=Scripted())
    store.close()


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def shape() -> Callable[..., Dag]:
    """`dag_of`, for tests: files of tests do not import one another."""
    return dag_of


@dataclass
class Office:
    """A store with deployed notebooks, and a scheduler whose clock the test moves."""

    home: Home
    store: Store
    executor: Any
    now: datetime = START
    dags: dict[str, Dag] = field(default_factory=dict)
    most_active: int = 0  # runs that were unfinished at the start of an attempt
    said: list[str] = field(default_factory=list)
    missed: list[tuple[str, str | None]] = field(default_factory=list)  # deadlines of queued runs
    trouble: list[str] = field(default_factory=list)

    def deploy(self, dag: Dag, schedule: str | None, **more: Any) -> DagRow:
        self.dags[dag.id] = dag
        row = DagRow(
            id=dag.id, digest=dag.id, path=f"/{dag.id}.ipynb", cwd="/", deployed=self.now.timestamp(),
            schedule=schedule, max_active_runs=dag.options.max_active_runs, **more,
        )  # fmt: skip
        condition = timetable_of(row).condition
        since = None if condition is None else self.now.timestamp()
        row = replace(row, next_date=next_date(row, self.now), events_since=since)
        needs = () if condition is None else condition.assets
        produces = {task.id: task.options.produces for task in dag.tasks.values()}
        self.store.deployments.put(row, self.now.timestamp(), needs=needs, produces=produces)
        return row

    def scheduler(self) -> Scheduler:
        self.executor.now = lambda: self.now.timestamp()

        def read(row: DagRow | RunRow) -> Dag:
            found = self.dags.get(row.id if isinstance(row, DagRow) else row.dag)
            if found is None:
                raise NbdagError("its notebook is gone")
            return found

        made = Scheduler(
            self.store, self.executor, home=self.home, read=read, clock=lambda: self.now,
            due_runs=DueRuns(
                self.store, read=read, report=lambda message, dag, run: self.said.append(message),
                on_missed=lambda run, dag, missed: self.missed.extend((run.name, each.task) for each in missed),
            ),
            on_error=lambda row, error: self.trouble.append(row.name),
        )  # fmt: skip
        made.register()
        return made

    def until(self, scheduler: Scheduler, end: datetime) -> None:
        """Jump from one moment at which something is due to the next."""
        while True:
            wake = scheduler.tick(self.now)
            while scheduler.busy > len(self.executor.open):
                wake = scheduler.tick(self.now)
            if wake is None or wake > end:
                self.now = end
                scheduler.tick(self.now)
                return
            self.now = max(wake, self.now + timedelta(microseconds=1))

    def trigger(self, row: DagRow, name: str, **more: Any) -> RunRow:
        new = new_run(row, name=name, kind="manual", at=self.now, date=self.now, start=self.now)
        return self.store.create_run(new, instances_of(self.dags[row.id]))

    def dates(self, state: RunState | None = None) -> list[str]:
        rows = [row for row in self.store.runs() if state in (None, row.state)]
        return sorted(datetime.fromtimestamp(row.logical_date, UTC).strftime("%m-%d %H:%M") for row in rows)


@pytest.fixture
def office(tmp_path: Path, scripted: Callable[..., Any]) -> Iterator[Office]:
    home = Home(tmp_path / ".nbdag")
    store = nbdag.store.open(home)

    @event.listens_for(store._database.engine, "checkout")
    def skip_syncs(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")  # no test here cuts the power, and each commit would wait

    yield Office(home=home, store=store, executor=scripted(slots=8))
    store.close()


TASK = """%%task {name} --retries 50 --retry-delay 0s
import os, time
with open("marks", "a", buffering=1) as marks:
    marks.write("{name} start %d %f\\n" % (os.getpid(), time.monotonic()))
    {waits}
    marks.write("{name} end %d %f\\n" % (os.getpid(), time.monotonic()))
"""


@dataclass
class Site:
    """A home, and the schedulers that work in it."""

    folder: Path
    home: Home
    environ: dict[str, str]
    warm: WarmCommands
    processes: list[WarmProcess | subprocess.Popen[bytes]] = field(default_factory=list)

    def notebook(
        self, name: str, tasks: int, sleep: float = 0.05, chain: int = 3, options: str = "", gate: bool = False
    ) -> Path:
        """Write a notebook whose tasks sleep so long or, with `gate`, wait until the test calls `let_go`."""
        cells = [f"%dag {name} --max-active-tasks 100 {options}"]
        for n in range(tasks):
            after = f" --after t{n - chain}" if n >= chain else ""
            waits = "while not os.path.exists('go'): time.sleep(0.02)" if gate else f"time.sleep({sleep})"
            source = TASK.format(name=f"t{n}", waits=waits)
            cells.append(source.replace("--retry-delay 0s", f"--retry-delay 0s{after}", 1))
        return self.cells(name, *cells)

    def begin(self, *more: str, code: str | None = None) -> WarmProcess | subprocess.Popen[bytes]:
        """Start a scheduler or, if given, the code that starts one."""
        process: WarmProcess | subprocess.Popen[bytes]
        with (self.folder / f"log{len(self.processes)}").open("w") as log:
            place: dict[str, Any] = {
                "cwd": self.folder,
                "env": self.environ,
                "stdout": log.fileno(),
                "stderr": log.fileno(),
            }
            if code is None:
                process = self.warm.start(["scheduler", "--log-json", *more], **place)
            else:
                process = subprocess.Popen([sys.executable, "-c", code], **place)
        self.processes.append(process)
        return process

    def call(self, *words: str) -> str:
        """Return what a command prints that succeeds."""
        done = self.warm(words, cwd=self.folder, env=self.environ, timeout=LONG)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def said(self, n: int = -1) -> str:
        path = self.folder / f"log{n % len(self.processes)}"
        return path.read_text() if path.exists() else ""

    def cells(self, name: str, *cells: str) -> Path:
        path = self.folder / f"{name}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
        return path

    def trigger(self, dag: str) -> runs.Run:
        return runs.trigger(dag, home=self.home)

    def let_go(self) -> None:
        (self.folder / "go").touch()

    def until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()[-3000:]}") from None

    def ended(self, run: runs.Run) -> runs.Run:
        self.until(lambda: self.look(run).state in RUN_FINISHED, "the run ends")
        return self.look(run)

    def look(self, run: runs.Run) -> runs.Run:
        return runs.find_run(run.id, run.dag, home=self.home)

    def marks(self) -> list[tuple[str, str, int, float]]:
        path = self.folder / "marks"
        if not path.exists():
            return []
        lines = [line.split() for line in path.read_text().splitlines()]
        return [(line[0], line[1], int(line[2]), float(line[3])) for line in lines if len(line) == 4]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def new_site(tmp_path: Path, warm_commands: WarmCommands) -> Iterator[Callable[[str | None], Site]]:
    """Makes a site whose store is at this URL, or a file."""
    made: list[Site] = []

    def new(url: str | None) -> Site:
        environ = {**os.environ, "NBDAG_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
        if url is not None:
            environ["NBDAG_DB_URL"] = url
        made.append(Site(tmp_path, Home(tmp_path / "home", url), environ, warm_commands))
        return made[-1]

    yield new
    for each in made:
        each.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_site: Callable[[str | None], Site]) -> Site:
    return new_site(None if request.param == "sqlite" else request.getfixturevalue("postgres_database")())


@pytest.fixture
def file_site(new_site: Callable[[str | None], Site]) -> Site:
    """Return a site whose store is a file."""
    return new_site(None)
