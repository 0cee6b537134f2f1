"""Start and find runs of other notebooks from a task.

These functions are called in the kernel of a task: by the operators `notebook` and `trigger`, and by `nbdag.wait_for`.
In a task, the functions use the home of the task's run, even if the kernel's working directory has another home. A
child run is an ordinary run: it has its own report, tasks and values, and `nbdag runs` lists it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import notebooks
from ...building import BuiltNotebook, build
from ...core.cells.header import Header
from ...core.cells.header import format as format_header
from ...core.model import text
from ...core.model.states import RUN_FINISHED, RunState, TaskState
from ...core.options.option_types import nearest
from ...errors import NbdagError, error
from ...home import Home, find, the_home
from ...operators.bodies.calls import Piece, filled
from ...task_api.context import DagRun, current
from ...task_api.waiting import Postponed
from ..creation.prepare import plain_parameters
from ..execution.foreground import run
from ..queries.assets import AssetVersion, UnknownAssetError, asset_events
from ..queries.deployments import list_dags, live_scheduler, open_store_and_dag
from ..queries.pinned import pinned_text
from ..queries.records import Run
from ..queries.runs import UnknownRunError, find_run, list_runs
from .deploy import trigger

NO_TASK = "NB107"
_POLL = 0.2  # seconds between two checks of a run that a scheduler executes


@error
class NoPipelineError(NbdagError):
    """A task waits for a run of a pipeline that does not exist."""

    dag: str
    known: tuple[str, ...]
    template = "no pipeline {dag!r} to wait for: it is not deployed, and it has not run{hint}"

    @property
    def hint(self) -> str:
        """A deployed pipeline with a similar name."""
        near = nearest(self.dag, self.known)
        return f"; did you mean {near!r}?" if near else ""


@error
class ChildRunError(NbdagError):
    """The run of another notebook, which a task started, did not succeed."""

    dag: str
    run: str
    state: str
    reason: str
    template = "run {run} of {dag} {outcome}{detail}; `nbdag status {which}` shows it"

    @property
    def outcome(self) -> str:
        """The state of the run as a verb."""
        return "failed" if self.state == RunState.FAILED else f"was {self.state}"

    @property
    def detail(self) -> str:
        """The error of the first task that failed, to be appended to the outcome; "" if it is unknown."""
        return f": {self.reason}" if self.reason else ""

    @property
    def which(self) -> str:
        return text.run_selector(self.run, self.dag)

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. The traceback is omitted, because the user did not write the Python code in it.
        return [f"{type(self).__name__}: {self}"]


@error
class NoSchedulerError(NbdagError):
    """A task waits for a run that no process executes."""

    dag: str
    run: str
    template = (
        "no scheduler is running, so run {run} of {dag} would never end; start `nbdag scheduler`, or use --operator "
        "notebook, which executes the run in the task"
    )


def run_child(
    pipeline: tuple[Piece, ...], *, out: tuple[str, ...] = (), jobs: int | None = None, parameters: Mapping[str, Any]
) -> Any:
    """Run a notebook or a deployed pipeline until the run ends, and return the stored values of the names in `out`.

    For one name, the result is its value; for several names, a tuple of values; for no name, None. Raise
    `ChildRunError` if the run does not succeed.
    """
    home = _home()
    name = filled(pipeline, what="the notebook")
    if notebooks.is_notebook(name):
        path = Path(name).expanduser()
        made = run(path, parameters=parameters, jobs=jobs, home=home, built=_with_a_task(path, out))
    else:
        made = _run_deployed(name, parameters, jobs, home)
    _report(made)
    values = tuple(made.value(each) for each in out)
    return None if not values else values[0] if len(values) == 1 else values


def trigger_child(
    pipeline: tuple[Piece, ...], *, wait: bool = False, poke: float = 60.0, parameters: Mapping[str, Any]
) -> str:
    """Trigger a run of a deployed pipeline and return the run's id; with `wait`, wait until the run has succeeded.

    An attempt triggers only one run: another call in the same attempt uses the run of the first call. With `wait`, the
    call raises `Postponed` while the run is unfinished. `Postponed` frees the task's slot, which the run may need,
    until the next poll in `poke` seconds. Raise `ChildRunError` if the run fails, and `NoSchedulerError` if no process
    executes the run.
    """
    home, dag = _home(), filled(pipeline, what="the pipeline")
    attempt = current()
    made = None
    name = None
    if attempt.home is not None:
        name = _name_for(attempt)
        with contextlib.suppress(UnknownRunError):  # use the run if an earlier poll of this attempt has triggered it
            made = find_run(name, dag, home=home)
    if made is None:
        made = trigger(dag, parameters=parameters, name=name, home=home)
        print(f"triggered run {made.id} of {dag}")
    while made.state not in RUN_FINISHED:
        if live_scheduler(home=home) is None:
            if wait:
                raise NoSchedulerError(dag, made.id)
            print("no scheduler is running; the run begins when `nbdag scheduler` does")
        if not wait:
            return made.id
        if attempt.home is not None:
            raise Postponed(f"waits for run {made.id} of {dag}", time.time() + poke)
        time.sleep(_POLL)  # wait here, because the live notebook runs a cell only once
        made = find_run(made.id, dag, home=home)
    if wait:
        _report(made)
    return made.id


def has_succeeded(dag: str, since: float) -> bool:
    """Return whether a pipeline has a successful run that was created at or after `since`. Raise `NoPipelineError`."""
    home = _home()
    if any(each.created >= since for each in list_runs(dag, RunState.SUCCESS, tasks=(), details=False, home=home)):
        return True
    if not list_runs(dag, limit=1, tasks=(), details=False, home=home):
        known = tuple(each.id for each in list_dags(home=home))
        if dag not in known:
            raise NoPipelineError(dag, known)
    return False


def events_for_task(asset: str) -> list[AssetVersion]:
    """Return all events of an asset, the oldest first."""
    try:
        return asset_events(asset, limit=None, home=_home())[::-1]
    except UnknownAssetError:
        return []


def _home() -> Home | None:
    """Return the home of the task's run; in the live notebook, None, which stands for the working directory's home."""
    root = current().home
    return None if root is None else find(environ={**os.environ, "NBDAG_HOME": root})


def _name_for(of: DagRun) -> str:
    """Return the id of the run that this attempt triggers. Each poll of the attempt computes the same id."""
    parts = (of.dag_id, of.run_id, of.task_id or "", str(of.map_index), str(of.try_number))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"triggered__{(of.task_id or 'task')[:200]}_{digest}"


def _run_deployed(dag: str, parameters: Mapping[str, Any], jobs: int | None, home: Home | None) -> Run:
    """Execute the deployed version of a pipeline in this process.

    No scheduler executes this run, because this task may hold the last slot of the scheduler.
    """
    here = the_home(home)
    with open_store_and_dag(here, dag) as (_, row):
        source = pinned_text(here, row.digest, row.path)
    built = build(source, name=row.path, cwd=Path(row.cwd), parameters=plain_parameters(parameters))
    version = replace(built, deployed=True)
    return run(row.path, parameters=parameters, jobs=jobs, cwd=row.cwd, home=here, built=version)


def _with_a_task(path: Path, out: tuple[str, ...]) -> BuiltNotebook | None:
    """Add a task at the end of a notebook without tasks, so that all its cells become setup.

    Return None for a notebook with tasks.
    """
    source = notebooks.read_file(path)
    dag = notebooks.read_text(source, name=str(path))
    if [each.code for each in dag.errors] != [NO_TASK] or dag.unbuilt or b"%%dag" in source:
        return None
    body = "\n".join(f"{name} = {name}" for name in out) or "pass"
    header = format_header(Header(kind="task", name="notebook", options={"out": out} if out else {}))
    content = json.loads(source)
    cell: dict[str, Any] = {
        "cell_type": "code",
        "metadata": {},
        "source": f"{header}\n{body}",
        "outputs": [],
        "execution_count": None,
    }
    if (content["nbformat"], content.get("nbformat_minor", 0)) >= (4, 5):
        cell["id"] = "nbdag-notebook"
    content["cells"].append(cell)
    made = json.dumps(content).encode()
    return BuiltNotebook(source=source, text=made, dag=notebooks.read_text(made, name=str(path)))


def _report(made: Run) -> None:
    """Print the outcome of a run and the path of its report. Raise `ChildRunError` if the run did not succeed."""
    seconds = "" if made.duration is None else f" in {made.duration:.1f} s"
    print(f"run {made.id} of {made.dag}: {made.state.value}{seconds}, report {made.notebook}")
    if made.state is not RunState.SUCCESS:
        failed = next((each for each in made.tasks if each.state is TaskState.FAILED), None)
        reason = (
            (made.error or "") if failed is None else f"{text.task_label(failed.id, failed.map_index)}: {failed.error}"
        )
        raise ChildRunError(made.dag, made.id, made.state.value, reason)
