"""Read logs in parts, because a log may be larger than a page can hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ....core.model.job import Key
from ....core.model.states import TaskState
from ....home import Home, the_home
from ....storage import local_copy
from ..records import TaskNotInRunError
from ..runs import NoLogError, UnknownRunError, find_row, open_store

_WAITS = frozenset({TaskState.RUNNING, TaskState.UP_FOR_RESCHEDULE})  # states of an attempt that still writes its log


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """The log of an attempt."""

    path: Path
    size: int  # size in bytes when the log was found; 0 if nothing was written yet
    complete: bool  # whether the attempt has ended, so that the log does not grow


def find_log(
    run: str, dag: str, task: str, try_number: int, map_index: int = -1, *, home: Home | None = None
) -> LogFile:
    """Return the log of an attempt. Raise `NoLogError` if the task has had no such attempt."""
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise UnknownRunError(run, dag, here.root)
        row = find_row(store, here, run, dag)
        instances = [each for each in store.instances([row.id], [task])[row.id] if each.map_index == map_index]
        if not instances:
            names = dict.fromkeys(each.task for each in store.instances([row.id])[row.id])
            raise TaskNotInRunError(row.dag, row.name, task, tuple(names))
        attempts = store.attempts([row.id], [task], details=False)[row.id]
        attempt = next(
            (each for each in attempts if (each.map_index, each.try_number) == (map_index, try_number)), None
        )
        if attempt is None:
            raise NoLogError(row.name, task, try_number, instances[0].state)
    key = Key(dag=row.dag, run=row.name, task=task, map_index=map_index, try_number=try_number)
    path = local_copy(here, here.attempt(key).with_suffix(".log"))
    # The size is read after the state, so a complete log has its final size.
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return LogFile(path=path, size=size, complete=attempt.state not in _WAITS)
