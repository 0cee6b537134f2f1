"""The instances of a run while it is planned, and the changes of their states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..model.dag import Dag
from ..model.states import FINISHED, TaskState
from .plan_types import Instance, Move, RunView


def new_move(instance: Instance, state: TaskState, reason: str) -> Move:
    """Return the move of an instance to a state."""
    return Move(task=instance.task, map_index=instance.map_index, old=instance.state, state=state, reason=reason)


class InstanceTable:
    """All instances of a run, with the states that the plan has given to them so far."""

    def __init__(self, dag: Dag, run: RunView, instances: Iterable[Instance]) -> None:
        part = run.selection
        self.of: dict[str, list[Instance]] = {task: [] for task in dag.order if part is None or task in part}
        self.orphans: list[Instance] = []  # instances of tasks that the notebook no longer has
        self.moves: list[Move] = []
        for instance in instances:
            if instance.task in self.of:
                self.of[instance.task].append(instance)
            elif instance.task not in dag.tasks:
                self.orphans.append(instance)
        self.missing = tuple(Instance(task=task) for task, mine in self.of.items() if not mine)
        for instance in self.missing:
            self.of[instance.task].append(instance)

    def move(self, place: list[Instance], n: int, state: TaskState, reason: str) -> Instance:
        """Change the state of `place[n]` and record the move."""
        self.moves.append(new_move(place[n], state, reason))
        place[n] = replace(place[n], state=state, ready_at=None)
        return place[n]

    def everything(self) -> Iterator[Instance]:
        for mine in self.of.values():
            yield from mine
        yield from self.orphans

    def unfinished(self) -> bool:
        return any(instance.state not in FINISHED for instance in self.everything())
