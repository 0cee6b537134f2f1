"""The values that tasks take from other tasks by `ti.xcom_pull`.

A pull names a task, and perhaps a key. The named task runs before the pulling task, wherever the cells are. The key is
a variable that the named task sets, or a key of its `ti.xcom_push`. Without a key, the pull takes the task's result:
the variable of `--out`, or the only variable that the task sets. If the code computes the task's name, the pull may
take a value from any task that other dependencies place before the pulling task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ..analysis.objects import Note
from ..analysis.scopes import Bound
from ..model.dag import Cell, Edge, NameUse, Problem, Pull, Repair
from ..model.problems import problem, word_repair
from ..options.option_types import nearest
from .reaching_definitions import CellFlow

RESULT = "return_value"  # Airflow's key for the result of a task
COMPUTED = "?"  # stands for a task or key that the code computes; see `core.analysis.call_patterns.exchange`


class Pulls:
    """All pulls of a notebook.

    `flows` has the data flow of each task, and `tasks` has the cell of each task. Key of both: task id.
    """

    def __init__(self, flows: Mapping[str, CellFlow], tasks: Mapping[str, Cell]) -> None:
        self._flows = flows
        self._tasks = tasks
        self._named = {name: tuple(self._of(flow)) for name, flow in flows.items()}

    @property
    def used(self) -> bool:
        """Return whether any task pulls a value."""
        return any(self._named.values())

    def add_edges(self, edges: dict[tuple[str, str], Edge], infer: bool) -> None:
        """Add an edge for each pull that names a task."""
        for name, pulls in self._named.items():
            for source, key, line, _ in pulls:
                if source not in self._tasks or source == name or (not infer and (source, name) not in edges):
                    continue
                known = edges.get((source, name))
                value = self._variable(source, key) or (source if key in (RESULT, COMPUTED) else key)
                use = NameUse(name=value, read_at=self._tasks[name].at(line), written_at=self._tasks[source].at(1))
                names = known.names if known is not None else ()
                if all(each.name != value for each in names):
                    names = tuple(sorted((*names, use), key=lambda each: each.name))
                declared = known is not None and known.declared
                edges[source, name] = Edge(source=source, target=name, declared=declared, names=names)

    def of_task(self, name: str, ancestors: Collection[str]) -> tuple[Pull, ...]:
        """Return the values that `ti.xcom_pull` may return in a task.

        `ancestors` are all tasks that run before this task.
        """
        found: dict[tuple[str, str], Pull] = {}
        for source, key, _, _ in self._named[name]:
            for task in sorted(ancestors, key=list(self._tasks).index) if source == COMPUTED else [source]:
                if task not in ancestors:
                    continue
                keys = [RESULT, *self._variables(task)] if key == COMPUTED else [key]
                for each in keys:
                    found[task, each] = Pull(task=task, key=each, name=self._variable(task, each))
        return tuple(found.values())

    def problems(self, ancestors: Mapping[str, Collection[str]]) -> Iterator[Problem]:
        """Yield an error for each pull that never returns a value, and a warning for each pull that may return None."""
        for name, pulls in self._named.items():
            for source, key, line, alone in dict.fromkeys(pulls):
                place = self._tasks[name].at(line)
                if source == COMPUTED:
                    continue
                if source not in self._tasks:
                    similar = nearest(source, self._tasks)
                    hint = f"did you mean {similar}?" if similar else f"the tasks are {', '.join(self._tasks)}"
                    repair = None if self._tasks[name].made_at else word_repair(source, self._tasks, place)
                    yield problem("NB209", f"unknown task {source!r}", hint=hint, task=name, place=place, repair=repair)
                elif source != name and source not in ancestors[name]:
                    hint = f"add --after {source}, or remove --no-infer from %dag"
                    message = f"{name} pulls a value of {source}, which does not run before it"
                    repair = Repair(kind="after", cells=(place.cell,), new=source)
                    repair = None if self._tasks[name].made_at else repair
                    yield problem("NB209", message, hint=hint, task=name, place=place, repair=repair)
                elif alone and (found := self._missing(source, key)):
                    yield problem("NB209", found[0], hint=found[1], task=name, place=place)
                elif alone and key == RESULT and self._has_no_result(source):
                    hint = f"write --out NAME in the header of {source}, or name a key that {source} pushes"
                    message = f"{source} sets no variable, so ti.xcom_pull({source!r}) returns None"
                    yield problem("NB210", message, hint=hint, task=name, place=place)

    def _of(self, flow: CellFlow) -> Iterator[tuple[str, str, int, bool]]:
        """Yield (source, key, line, whether the pull names only one task) for each pull."""
        for note in flow.analysis.uses.notes:
            if note.kind == "pull":
                key, *sources = note.text.split("\t")
                for source in sources:
                    yield source, key, note.line, len(sources) == 1

    def _missing(self, task: str, key: str) -> tuple[str, str] | None:
        """Return a message and a hint if the task certainly has no value of this key, else None."""
        uses = self._flows[task].analysis.uses if task in self._flows else None
        if uses is None or self._flows[task].analysis.options.operator not in ("python", "sensor"):
            return None
        pushed = {note.text for note in uses.notes if note.kind == "push"}
        hidden = COMPUTED in pushed or any(note.kind in ("opaque", "star", "tangle") for note in uses.notes)
        if hidden or key == COMPUTED or key in pushed or self._variable(task, key) is not None:
            return None
        variables = self._variables(task)
        if key == RESULT:
            if not variables:
                return None  # no problem: as in Airflow, the result is None
            message = f"{task} has no single result, because it sets {', '.join(variables)}"
            return message, f"write ti.xcom_pull({task!r}, key={variables[0]!r}), or --out NAME in the header of {task}"
        known = list(dict.fromkeys([*variables, *sorted(pushed)]))
        similar = nearest(key, known)
        hint = f"did you mean {similar!r}?" if similar else f"the keys of {task} are {', '.join(known) or 'none'}"
        return f"{task} neither sets nor pushes {key!r}", hint

    def _has_no_result(self, task: str) -> bool:
        """Return whether a task sets no variable and, as far as its code shows, does not push its result."""
        if task not in self._flows or self._variables(task):
            return False
        return not any(note.kind == "push" and note.text in (RESULT, COMPUTED) for note in self._notes(task))

    def _notes(self, task: str) -> Sequence[Note]:
        return self._flows[task].analysis.uses.notes

    def _variables(self, task: str) -> Sequence[str]:
        """Return the variables that a task sets, without functions, classes and modules."""
        if task not in self._flows:
            return ()
        analysis = self._flows[task].analysis
        defined = {each.name for each in analysis.uses.definitions}
        bound = [name for name, slot in analysis.uses.bound.items() if slot.bound in (Bound.YES, Bound.MAYBE)]
        return tuple(
            dict.fromkeys([*analysis.options.out, *(each for each in bound if each not in defined and each[0] != "_")])
        )

    def _variable(self, task: str, key: str) -> str | None:
        """Return the variable whose value a pull of this key returns, or None if only a push can set the key."""
        variables = self._variables(task)
        if key != RESULT:
            return key if key in variables else None
        out = self._flows[task].analysis.options.out if task in self._flows else ()
        if len(out) == 1:
            return out[0]
        return variables[0] if len(variables) == 1 else None
