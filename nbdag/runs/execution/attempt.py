"""Execute one attempt of a task for another program, such as Airflow, that plans the run.

The other program decides which task starts when. No database is needed: an attempt reads the values and outcomes of
upstream tasks from the storage (a folder, or an fsspec URL), and writes its own values and outcome there.

    runs/DAG/RUN/tasks/TASK[.INDEX]/TRY.ipynb     the attempt's notebook
    runs/DAG/RUN/tasks/TASK[.INDEX]/outcome.json  the outcome of the task's latest attempt

An outcome is written before the attempt starts (state `running`) and after it has ended. So no task reads old values of
a task that is running again, and an abandoned attempt cannot overwrite the outcome of a later one.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePath
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from ... import building, environments, notebooks
from ...core.cells.code_version import code_version
from ...core.model.attempt_command import INDEX_VARIABLE
from ...core.model.dag import Dag
from ...core.model.job import TIMED_OUT, Job, Key, Outcome, Result
from ...core.model.states import TaskState
from ...core.planning.assemble import StoredOutputs, assemble
from ...core.planning.recorded_outcomes import skipped_tasks
from ...core.planning.retries import judged
from ...core.schedule.timetable import Timetable
from ...errors import NbdagError, error
from ...executors import Executor
from ...home import Home, absolute, storage_place, the_home
from ...storage import files_at
from ...storage.owners import ATTEMPTS
from ..creation.prepare import (
    FolderMissingError,
    NotebookProblemsError,
    UnknownTaskError,
    kernel_installed,
    plain_parameters,
    record_parameters,
)
from .exported_pins import place_of, stored_packages
from .foreground import executor_ready

_POLL = 0.2  # seconds between two reads of the log
_SAFE = re.compile(r"[^A-Za-z0-9_.-]")
_SCHEDULED = ("scheduled__", "backfill__")  # prefixes of the ids of runs that belong to a tick of the schedule


@error
class NotebookVersionError(NbdagError):
    """The notebook differs from the notebook that was exported."""

    path: Path
    expected: str
    found: str
    template = (
        "{path} has version {found}, but version {expected} was exported: its code has changed, or its %%dag cell "
        "built other tasks from these parameters; export it again"
    )


@error
class MapIndexError(NbdagError):
    """The index of an instance does not fit the task."""

    exit_code = 2

    task: str
    why: str
    template = "{task} {why}"


@error
class MissingElementError(NbdagError):
    """The instance of a mapped task has no element."""

    task: str
    index: int
    template = "{task} has no element {index} in this run; execute `nbdag attempt … {task} --elements` first"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedAttempt:
    """The outcome of one attempt, for the program that plans the run."""

    state: TaskState  # success, failed, skipped or, for a sensor that polled once, up_for_reschedule
    error: str | None = None  # why the attempt failed or was skipped
    # Result for the program, as JSON. With `elements`: for each instance, the environment variable that selects it.
    # For a branch task: the tasks that follow. For a short-circuit task: whether the condition is true. Otherwise None.
    answer: Any = None
    notebook: Path | None = None  # None if no notebook was executed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """The content of `outcome.json`."""

    outcome: Outcome
    try_number: int
    max_tries: int


def attempt(
    notebook: str | PurePath,
    task: str,
    *,
    run: str,
    map_index: int = -1,
    elements: bool = False,
    try_number: int = 1,
    max_tries: int | None = None,
    logical_date: datetime | None = None,
    parameters: Mapping[str, Any] | None = None,
    version: str | None = None,
    with_files: str | None = None,
    environment: str | None = None,
    poll_once: bool = False,
    cwd: str | PurePath | None = None,
    kernel_name: str | None = None,
    kernels: str = "warm",
    on_output: Callable[[str], None] = lambda text: None,
    storage: str | None = None,
    home: Home | None = None,
) -> FinishedAttempt:
    """Execute one attempt of a task, wait until it has ended, and return its outcome.

    `run` identifies the run; all attempts of a run need the same home, or the same `storage` on all hosts. For a mapped
    task, a call with `elements=True` evaluates --map; later calls select an instance with `map_index`. A retry may
    follow each try up to number `max_tries` (default: the task's --retries). After a failure that must not be retried
    (--check, --retry-on), later tries with the same `max_tries` fail without running the cell. `logical_date` is the
    date of the run (default: now). If the run's id begins with `scheduled__` or `backfill__`, its data interval begins
    at the previous tick. `version` is the required version of the notebook's code (default: any version). `with_files`
    is the digest of the pinned files (%dag --with), and `environment` is the digest of exact package versions (%dag
    --requires). Without these digests, the attempt uses the files beside the notebook, and package versions that are
    resolved on this host. `nbdag export airflow` writes the digests and the version into the DAG file, and copies the
    files and the package list into the storage.

    With `poll_once`, a sensor with --reschedule polls once and may end with `up_for_reschedule`; otherwise the function
    waits between polls. `on_output` receives the output of the cell while it runs. `kernels` is "warm" or "fresh".

    A failed attempt raises no exception. Ctrl-C and SIGTERM kill the attempt's processes. If the attempt cannot start,
    an `NbdagError` is raised.
    """
    path = absolute(notebook)
    folder = path.parent if cwd is None else absolute(cwd)
    if not folder.is_dir():
        raise FolderMissingError(Path(folder))
    here = the_home(home)
    chosen = storage_place(storage, absolute(".")) if storage else here.storage
    place = here if chosen is None else place_of(chosen)
    pins = {"files": with_files} if with_files else {}
    if environment:
        pins["packages"] = stored_packages(place, environment)
    # A downloaded notebook may contain a record of what another version has pinned. This record is replaced.
    source = notebooks.with_pins(notebooks.read_file(notebook), pins, name=path.name)
    dag = building.build(
        source,
        name=os.fspath(notebook),
        parameters=plain_parameters(parameters or {}),
        cwd=folder,
        kernel_name=kernel_name,
    ).dag
    if dag.errors:
        raise NotebookProblemsError(Path(notebook), tuple(dag.errors))
    found = code_version(dag)
    if version is not None and version != found:
        raise NotebookVersionError(Path(notebook), version, found)
    if task not in dag.tasks:
        raise UnknownTaskError(task, tuple(dag.tasks))
    _check_index(dag, task, map_index, elements)
    recorded, _ = record_parameters(dag, parameters or {}, stays_here=True)
    kernel_installed(kernel_name or dag.kernel_name)
    place.make()
    if dag.options.requires and not dag.packages:
        dag = replace(dag, packages=environments.locked(dag.options.requires, folder))
    key = Key(dag=dag.id, run=_safe_name(run), task=task, map_index=map_index, try_number=try_number)
    return _Execution(
        dag=dag,
        home=place,
        env_home=str(here.root),
        key=key,
        max_tries=dag.tasks[task].options.retries if max_tries is None else max_tries,
        parameters=recorded,
        context=_context(dag, run, key, logical_date or datetime.now(UTC)),
        cwd=folder,
        kernel_name=kernel_name or dag.kernel_name or "python3",
        kernels=kernels,
        elements=elements,
        poll_once=poll_once,
        on_output=on_output,
    ).execute()


@dataclass(frozen=True, kw_only=True)
class _Execution:
    """One attempt, checked and ready to be executed."""

    dag: Dag
    home: Home  # the home with the run's files
    env_home: str  # path of the home that has the file .env beside it
    key: Key
    max_tries: int
    parameters: Mapping[str, Any]
    context: Mapping[str, Any]
    cwd: Path
    kernel_name: str
    kernels: str
    elements: bool
    poll_once: bool
    on_output: Callable[[str], None]
    # Outcomes that were read from the storage; key: task and map index.
    records: dict[tuple[str, int], _Record | None] = field(default_factory=dict)

    @cached_property
    def _skipped(self) -> frozenset[str]:
        """The skipped upstream tasks, and also the task itself if an upstream branch or short-circuit task skips it."""
        return skipped_tasks(self.dag, self.key.task, self._outcomes)

    def execute(self) -> FinishedAttempt:
        """Execute the attempt, unless an earlier outcome shows that the task must not run."""
        if self.key.task in self._skipped:
            skipped = Outcome(state=TaskState.SKIPPED, error="a branch or short circuit above skips the task")
            self._write(skipped)
            return self._finished(skipped)
        before = self._read(self.key.task, self.key.map_index)
        if before is not None and self._is_final(before):
            error = before.outcome.error or ""
            error = error if "(not retried: " in error else f"{error} (not retried)"
            return FinishedAttempt(state=TaskState.FAILED, error=error)
        job = self._job()
        with executor_ready("local", 1, self.home, owner=ATTEMPTS) as executor:
            if before is not None and before.outcome.state is TaskState.RUNNING:
                # The other program has abandoned the earlier attempt, but the attempt's processes may be alive.
                earlier = replace(self.key, try_number=before.try_number)
                executor.terminate_leftovers(self.home.attempt(earlier), self.home.mark(earlier))
            self._write(Outcome(state=TaskState.RUNNING))
            result = self._result(executor, job)
        outcome: Outcome = judged(self.dag.tasks[self.key.task].options, result)
        after = self._stored(self.key.task, self.key.map_index)
        if after is not None and after.try_number > self.key.try_number:
            return FinishedAttempt(
                state=TaskState.FAILED, error=f"try {after.try_number} has started meanwhile", notebook=Path(job.path)
            )
        self._write(outcome)
        return replace(self._finished(outcome), notebook=Path(job.path))

    def _is_final(self, before: _Record) -> bool:
        """Return whether an earlier try with the same `max_tries` failed and must not be retried."""
        return (
            before.outcome.state is TaskState.FAILED
            and before.outcome.final
            and before.max_tries == self.max_tries
            and before.try_number < self.key.try_number
        )

    def _job(self) -> Job:
        task = self.dag.tasks[self.key.task]

        def outputs_of(source: str) -> list[StoredOutputs]:
            if source in self._skipped:
                return []
            return [
                StoredOutputs(index, {output.name: output.digest for output in outcome.outputs})
                for index, outcome in self._instances(source)
                if outcome.state is TaskState.SUCCESS
            ]

        element: Mapping[str, str] = {}
        if task.options.map and not self.elements:
            expansion = self._read(task.id, -1)
            found = () if expansion is None else expansion.outcome.elements
            if self.key.map_index >= len(found):
                raise MissingElementError(task.id, self.key.map_index)
            element = found[self.key.map_index]
        return assemble(
            self.dag,
            self.key,
            outputs_of=outputs_of,
            path=str(self.home.attempt(self.key)),
            mark=self.home.mark(self.key),
            values=str(self.home.values),
            storage=self.home.remote or "",
            home=self.env_home,
            cwd=str(self.cwd),
            kernel_name=self.kernel_name,
            kernels=self.kernels,
            parameters=self.parameters,
            element=element,
            expand=self.elements,
            to_come=0,
            context={
                **self.context,
                "max_tries": self.max_tries,
                "params": dict(self.parameters),
                "state_files": [str(path) for path in self.home.state_files(self.key)],
            },
        )

    def _result(self, executor: Executor, job: Job) -> Result:
        """Return the result of the attempt. Without `poll_once`, a sensor polls repeatedly until it has a result."""
        results: SimpleQueue[Result] = SimpleQueue()
        executor.start(results.put)
        log = _Log(Path(job.path).with_suffix(".log"), self.on_output)
        started = time.time()
        timeout = self.dag.tasks[self.key.task].options.timeout
        with _interrupted_by_sigterm():
            while True:
                executor.submit(job)
                result = _waited_for(results, log)
                if result.state is not TaskState.UP_FOR_RESCHEDULE or self.poll_once:
                    return result
                if result.question is not None:
                    return _failed(result, "the task asks a person (--approve), which needs the scheduler of nbdag")
                wake = result.ended + self.dag.tasks[self.key.task].options.poke if result.wake is None else result.wake
                if timeout is not None and wake >= started + timeout:
                    late = replace(result, kinds=TIMED_OUT)
                    return _failed(late, f"timed out after {timeout:g} s of waiting")
                time.sleep(max(0.0, wake - time.time()))

    def _finished(self, outcome: Outcome) -> FinishedAttempt:
        return FinishedAttempt(state=outcome.state, error=outcome.error, answer=self._answer(outcome))

    def _answer(self, outcome: Outcome) -> Any:
        if outcome.state is not TaskState.SUCCESS:
            return None
        options = self.dag.tasks[self.key.task].options
        if self.elements:
            return [{INDEX_VARIABLE: str(index)} for index in range(outcome.length or 0)]
        if outcome.chosen is not None:
            followed = self.dag.followed(self.key.task, outcome.chosen)
            return [task for task in self.dag.tasks if task in followed]
        return not outcome.short_circuit if options.short_circuit else None

    # Records of the run

    def _outcomes(self, task: str) -> list[Outcome]:
        return [outcome for _, outcome in self._instances(task)]

    def _instances(self, task: str) -> list[tuple[int, Outcome]]:
        """Return the latest outcomes of a task's instances, with the index of each; leave out running attempts."""
        expansion = self._read(task, -1)
        records: Sequence[tuple[int, _Record | None]] = [(-1, expansion)]
        if self.dag.tasks[task].options.map and expansion is not None:
            # This is the outcome of --map. It counts as the task's outcome only if --map failed or returned no
            # elements.
            length = expansion.outcome.length or 0
            if expansion.outcome.state is TaskState.SUCCESS:
                if not length:
                    return [(-1, replace(expansion.outcome, state=TaskState.SKIPPED))]
                records = [(index, self._read(task, index)) for index in range(length)]
        return [
            (index, record.outcome)
            for index, record in records
            if record is not None and record.outcome.state in (TaskState.SUCCESS, TaskState.SKIPPED, TaskState.FAILED)
        ]

    def _path(self, task: str, map_index: int) -> Path:
        return self.home.attempt(replace(self.key, task=task, map_index=map_index)).with_name("outcome.json")

    def _read(self, task: str, map_index: int) -> _Record | None:
        """Return the outcome of an instance. Each outcome is read from the storage only once."""
        place = (task, map_index)
        if place not in self.records:
            self.records[place] = self._stored(task, map_index)
        return self.records[place]

    def _stored(self, task: str, map_index: int) -> _Record | None:
        """Read the current outcome of an instance from the storage."""
        import msgspec  # imported here because only this command needs it

        path = self._path(task, map_index)
        try:
            if self.home.remote is not None:
                content = files_at(self.home.remote).read(self.home.name_of(path))
            else:
                content = path.read_bytes()
        except FileNotFoundError:
            return None
        return msgspec.json.decode(content, type=_Record)

    def _write(self, outcome: Outcome) -> None:
        import msgspec

        plain = Outcome(**{each.name: getattr(outcome, each.name) for each in fields(Outcome)})
        record = _Record(outcome=plain, try_number=self.key.try_number, max_tries=self.max_tries)
        path, content = self._path(self.key.task, self.key.map_index), msgspec.json.encode(record)
        if self.home.remote is not None:
            files_at(self.home.remote).write(self.home.name_of(path), content)
        else:
            self.home.write(path, content)


class _Log:
    """Passes on the text log of an attempt while the log grows."""

    def __init__(self, path: Path, on_output: Callable[[str], None]) -> None:
        self._path = path
        self._on_output = on_output
        self._position = path.stat().st_size if path.exists() else 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def pass_on(self) -> None:
        """Pass on the text that was written since the last call."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
            self._position += len(data)
            if text := self._decoder.decode(data):
                self._on_output(text)


def _waited_for(results: SimpleQueue[Result], log: _Log) -> Result:
    """Wait for the next result and return it; pass on the output while waiting."""
    while True:
        try:
            result = results.get(timeout=_POLL)
        except Empty:
            log.pass_on()
        else:
            log.pass_on()
            return result


def _failed(result: Result, why: str) -> Result:
    return replace(result, state=TaskState.FAILED, error=why, final=True)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM, so that the attempt's processes are killed; then pass the signal on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_index(dag: Dag, task: str, map_index: int, elements: bool) -> None:
    if not dag.tasks[task].options.map:
        if elements or map_index >= 0:
            raise MapIndexError(task, "has no --map; omit --elements and --map-index")
    elif elements and map_index >= 0:
        raise MapIndexError(task, "takes either --elements or --map-index, not both")
    elif not elements and map_index < 0:
        raise MapIndexError(
            task, "is mapped; pass --elements to evaluate its --map, or --map-index N to execute an instance"
        )


def _context(dag: Dag, run: str, key: Key, logical_date: datetime) -> dict[str, Any]:
    """Return the attributes of `dag_run`."""
    moment = logical_date if logical_date.tzinfo is not None else logical_date.replace(tzinfo=ZoneInfo(dag.options.tz))
    moment = moment.astimezone(UTC)
    begin, end = moment, moment
    if run.startswith(_SCHEDULED):
        begin, end = Timetable.of(dag.options).data_interval(moment)
    return {
        "dag_id": dag.id,
        "run_id": run,
        "task_id": key.task,
        "map_index": key.map_index,
        "try_number": key.try_number,
        "logical_date": moment.isoformat(),
        "data_interval_start": begin.isoformat(),
        "data_interval_end": end.isoformat(),
        "asset_events": [],
        "answer": {},
    }


def _safe_name(run: str) -> str:
    """Return the name of a run's folder, which differs from the names of all other runs' folders."""
    name = _SAFE.sub("-", run)[:200]
    if name == run and not run.startswith((".", "-")):
        return run
    return f"run-{name}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"
