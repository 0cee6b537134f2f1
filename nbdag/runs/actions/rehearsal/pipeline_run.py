"""Run a pipeline for a rehearsal, task by task as the scheduler does, in a home that is deleted afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....building import BuiltNotebook
from ....core.model.cell_tags import nbdag_metadata
from ....core.model.dag import CellKind, Dag
from ....core.model.states import TaskState
from ....home import Home, the_home
from ....kernels.runtime.rehearsal_observer import VARIABLE
from ....rehearse.observations import read_observations
from ....rehearse.plain_run import Execution, Failure
from ....secrets.sources import HOME_ENV_FILE
from ...execution.foreground import run
from ...queries.records import Run

_LINE = re.compile(r"Cell In\[\d+\], line (\d+)|<cell \d+>:(\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_pipeline(
    path: Path,
    built: BuiltNotebook,
    folder: Path,
    *,
    environment: Mapping[str, str],
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    home: Home | None = None,
) -> Execution:
    """Run all tasks except those that wait for a person. Return the outputs (key: the cell's number in the file).

    No notification is sent, and retries start without delay. `environment` has additional variables for the kernels;
    `folder` is their working directory.
    """
    dag = built.dag
    with tempfile.TemporaryDirectory(prefix="nbdag-rehearsal-", ignore_cleanup_errors=True) as temporary:
        observed = Path(temporary) / "observed"
        observed.mkdir()
        settings = {VARIABLE: str(observed), **environment}
        with contextlib.suppress(OSError):
            default = str(the_home(home).root.parent / ".env")
            settings.setdefault(HOME_ENV_FILE, os.environ.get(HOME_ENV_FILE) or default)
        with _environment(settings):
            done = run(
                path,
                built=replace(built, dag=_without_waiting(dag)),
                jobs=jobs,
                parameters=parameters,
                cwd=folder,
                only=_unattended(dag),
                cache=False,
                home=Home(Path(temporary) / "home"),
            )
        report: dict[str, Any] = json.loads(done.notebook.read_text(encoding="utf-8"))
        codes = {cell.in_file: cell.code for cell in dag.cells if not _is_built(cell)}
        return Execution(
            outputs=dict(_outputs(dag, report["cells"], done)),
            seconds=done.duration or 0.0,
            failures=tuple(_failures(dag, report["cells"], done)),
            observed=read_observations(observed, codes),
        )


def waiting_tasks(dag: Dag) -> frozenset[str]:
    """Return the tasks that wait for a person's approval, and all tasks downstream of these tasks."""
    asking = [name for name, task in dag.tasks.items() if task.options.approve is not None]
    return frozenset(asking) | dag.descendants(*asking)


def _unattended(dag: Dag) -> Sequence[str] | None:
    waiting = waiting_tasks(dag)
    return [name for name in dag.tasks if name not in waiting] if waiting else None


def _without_waiting(dag: Dag) -> Dag:
    """Return the pipeline without recipients of notifications and without delays of retries."""
    options = replace(dag.options, on_failure=(), on_success=(), on_retry=(), on_approval=(), on_deadline=())
    tasks = {
        name: replace(task, options=replace(task.options, retry_delay=0.0)) if task.options.retries else task
        for name, task in dag.tasks.items()
    }
    return replace(dag, options=options, tasks=tasks)


def _outputs(dag: Dag, cells: Sequence[Mapping[str, Any]], done: Run) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    finished = {task.id for task in done.tasks if task.state is TaskState.SUCCESS}
    first = [cell for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP) and not _is_built(cell)]
    for cell in cells:
        if cell.get("cell_type") != "code":
            continue
        task = nbdag_metadata(cell).get("task")
        if task in finished and not _is_built(own := dag.cells[dag.tasks[task].cell]):
            yield own.in_file, list(cell["outputs"])
        elif task is None and cell.get("execution_count") is not None:
            source = "".join(cell["source"])
            if (found := next((each for each in first if each.source == source), None)) is not None:
                first.remove(found)
                yield found.in_file, list(cell["outputs"])


def _failures(dag: Dag, cells: Sequence[Mapping[str, Any]], done: Run) -> Iterator[Failure]:
    errors: dict[str, Mapping[str, Any]] = {}
    for cell in cells:
        task = nbdag_metadata(cell).get("task")
        for output in cell.get("outputs", ()):
            if isinstance(task, str) and output.get("output_type") == "error":
                errors[task] = output
    failed = dict.fromkeys(task.id for task in done.tasks if task.state is TaskState.FAILED)
    for task in failed:
        output = errors.get(task, {})
        text = _COLOUR.sub("", "\n".join(output.get("traceback") or ()))
        found = _LINE.search(text)
        reason = next((each.error for each in done.tasks if each.id == task and each.error), "")
        yield Failure(
            cell=dag.cells[dag.tasks[task].cell].in_file,
            line=int(found[1] or found[2]) if found else None,
            name=str(output.get("ename") or "TaskFailed"),
            text=str(output.get("evalue") or reason or ""),
        )
    if not failed and done.error:
        yield Failure(cell=None, line=None, name="RunFailed", text=done.error)


def _is_built(cell: Any) -> bool:
    return cell.made_at is not None


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes of a run; at the end, restore the earlier values."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
