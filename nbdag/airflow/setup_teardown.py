"""Setup and teardown tasks as context managers: the tasks of a `with` block run after the setup, before the teardown.

    with stop_cluster().as_teardown(setups=start_cluster()):
        train() >> report()

The first tasks of the block run after the setup tasks, and the teardown tasks run after the last tasks of the block.
The rules are those of Airflow.
"""

from __future__ import annotations

from ..operators import OperatorError
from ..operators.tasks import Builder, Operator, current_build


def _is_setup(build: Builder, id: str) -> bool:
    return bool(getattr(build.tasks.get(id), "options", {}).get("setup"))


def _is_teardown(build: Builder, id: str) -> bool:
    return bool(getattr(build.tasks.get(id), "is_teardown", False))


class Scope:
    """The block of a `with` statement over a setup or a teardown task."""

    def __init__(self, task: Operator) -> None:
        build, id = current_build(), str(task.id)
        if not (_is_setup(build, id) or _is_teardown(build, id)):
            message = f"`with` needs a setup or a teardown task, and {id} is neither"
            raise OperatorError(message, hint="write with stop().as_teardown(setups=start()):")
        above = [before for before, after in build.edges if after == id and _is_setup(build, before)]
        below = [after for before, after in build.edges if before == id and _is_teardown(build, after)]
        self._setups = [id] if _is_setup(build, id) else above
        self._teardowns = below if _is_setup(build, id) else [id]
        self._before = set(build.tasks)
        self._inside: list[Scope] = []
        self._outer: list[Scope] = build.state.setdefault("scopes", [])  # the open blocks around this one
        self._outer.append(self)

    def close(self) -> None:
        """Connect the tasks of this block, without those of inner blocks, to its setup and teardown tasks."""
        build = current_build()
        self._outer.remove(self)
        if self._outer:
            self._outer[-1]._inside.append(self)
        self._tasks = {id for id in build.tasks if id not in self._before}
        enclosed = {id for each in self._inside for id in each._tasks}
        work = [
            id
            for id in build.tasks
            if id in self._tasks - enclosed and not _is_setup(build, id) and not _is_teardown(build, id)
        ]
        edges = list(build.edges)
        # As in Airflow, the setup tasks are connected to the tasks without an upstream task. If there are no such
        # tasks, the setup tasks are connected to the first task.
        first = [id for id in work if all(after != id for _, after in edges)] or work[:1]
        last = [id for id in work if all(before != id for before, _ in edges)] or work[-1:]
        for each in self._inside:
            first, last = [*first, *each._setups], [*last, *each._teardowns]
        for setup in self._setups:
            for id in first:
                build.connect(setup, id)
        for teardown in self._teardowns:
            for id in last:
                build.connect(id, teardown)
