"""Find pairs of tasks that used the same file in earlier runs, although nothing orders the tasks."""

from __future__ import annotations

from pathlib import Path

from ...core.dataflow.file_order import with_remembered_files
from ...core.model.dag import Dag
from ...core.model.job import FilesOfAttempt
from ...core.model.states import RUN_FINISHED
from ...errors import NbdagError
from ...home import Home, the_home
from .pinned import run_dag
from .runs import open_store

_LATEST = 5  # number of latest runs that are read


def remember_files(dag: Dag, *, home: Home | None = None) -> Dag:
    """Return the DAG with a warning and an edge to draw for each file conflict in its latest runs.

    For each task, only the newest run with the task's current code counts. A home that cannot be read is ignored,
    because the caller checks the notebook, not the home.
    """
    here = the_home(home)
    if len(dag.tasks) < 2 or not here.exists:
        return dag
    found: dict[str, list[FilesOfAttempt]] = {}
    folder = ""
    try:
        with open_store(here) as store:
            rows = [] if store is None else store.runs(dag=dag.id, limit=_LATEST)
            for row in rows:
                attempts = [] if store is None or row.state not in RUN_FINISHED else store.files(row.id)
                if not attempts or {each.task for each in attempts} <= found.keys():
                    continue
                before = run_dag(here, row)
                folder = folder or row.cwd
                for task in {each.task for each in attempts} - found.keys():
                    if task in dag.tasks and task in before.tasks and before.tasks[task].code == dag.tasks[task].code:
                        found[task] = [each for each in attempts if each.task == task]
    except NbdagError:
        return dag
    return with_remembered_files(dag, [each for task in found.values() for each in task], str(Path(folder)))
