"""`resume`: continue a run in the foreground until it ends.

If `clear` has queued the run again, or the run's scheduler has ended, the run continues with its remaining tasks. In a
run that failed or was cancelled, every task that did not succeed is reset first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.model import text
from ...core.model.events import Event
from ...core.model.states import RUN_FINISHED, RunState
from ...errors import NbdagError, error
from ...executors import Choice
from ...home import Home
from ...secrets.parameters import check_available
from ...storage.owners import has_files
from ..execution.foreground import execute_runs
from ..execution.recovery import recover
from ..queries.liveness import owner_of
from ..queries.records import Run
from ..queries.runs import UnknownRunError, find_row, home_of, id_of, open_store, read_runs
from .clear import clear_unsuccessful

if TYPE_CHECKING:
    from ...store.rows import RunRow
    from ...store.store import Store


@error
class RunOwnedError(NbdagError):
    """A run whose owner is alive cannot be resumed here."""

    dag: str
    run: str
    owner: str
    template = "run {run} is owned by {owner}; `nbdag status {which} --watch` shows its progress"

    @property
    def which(self) -> str:
        return text.run_selector(self.run, self.dag)


@error
class RunSucceededError(NbdagError):
    """A succeeded run cannot be resumed."""

    dag: str
    run: str
    template = "run {run} succeeded, so it has no task to run; `nbdag clear {which} TASK --run` runs a task again"

    @property
    def which(self) -> str:
        return text.run_selector(self.run, self.dag)


@error
class RunElsewhereError(NbdagError):
    """The files of a run are in another home than this process uses."""

    run: str
    folder: str
    template = (
        "the values of run {run} are not in {folder}; continue the run on the host that created it, or give all hosts "
        "that share this database the same NBDAG_HOME or NBDAG_STORAGE"
    )


def requeue(run: Run | str, *, dag: str | None = None, home: Home | None = None) -> tuple[Run, str]:
    """Reset the unsuccessful tasks of a run that no other process owns, so that the run can continue.

    A scheduler or `resume` continues the run.

    Return the run, and a description of the scheduler that executes it; "" if no scheduler is alive.
    """
    here = home_of(run, home)
    with open_store(here, to_change=True) as store:
        if store is None:
            raise UnknownRunError(id_of(run), dag, here.root)
        recover(store, here)
        row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        _prepare_to_continue(store, here, row)
        now = store.run(row.id)
        return read_runs(store, here, [now])[0], owner_of(store, now)


def _prepare_to_continue(store: Store, here: Home, row: RunRow) -> None:
    """Reset the unsuccessful tasks of an ended run. Raise an error if this process may not continue the run."""
    if row.state is RunState.SUCCESS:
        raise RunSucceededError(row.dag, row.name)
    check_available(row.parameters)
    if row.state in RUN_FINISHED:
        clear_unsuccessful(store, here, row)
    elif owner := owner_of(store, row):
        raise RunOwnedError(row.dag, row.name, owner)


def resume(
    run: Run | str = "latest",
    *,
    jobs: int | None = None,
    kernels: str = "warm",
    executor: str | Choice = "local",
    on_event: Callable[[Event], None] | None = None,
    dag: str | None = None,
    home: Home | None = None,
) -> Run:
    """Continue a run that no other process owns, wait until the run ends, and return it.

    In a run that has ended without success, every task that did not succeed is executed again. For `jobs`, `kernels`,
    `executor` and `on_event`, see `run`.
    """
    here = home_of(run, home)
    with open_store(here, to_change=True) as store:
        if store is None:
            raise UnknownRunError(id_of(run), dag, here.root)
        recover(store, here)
        row = find_row(store, here, id_of(run), run.dag if isinstance(run, Run) else dag)
        if not has_files(here, row.files):
            raise RunElsewhereError(row.name, str(here.remote or here.files))
        _prepare_to_continue(store, here, row)
        execute_runs(store, here, [store.run(row.id)], jobs=jobs, kernels=kernels, executor=executor, on_event=on_event)
        return read_runs(store, here, [store.run(row.id)])[0]
