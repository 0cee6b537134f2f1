"""The request that a task's kernel receives, and the outcome that it publishes: plain data, readable in the notebook.

A `KernelRequest` is the part of a job that matters inside the kernel. It carries the task's options as they are, so a
new option needs no field here. The kernel publishes one `Outcome` after the cell has run, as an output with a MIME type
of its own, which the worker removes from the notebook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

from ...core.model.job import FileUse, Job, Note, Outcome, PulledInput, StoredInput, StoredOutput
from ...core.model.states import TaskState
from ...core.options.options import TaskOptions
from ...secrets import mask

MIME = "application/vnd.nbdag.report+json"
RENDERED_MIME = "application/vnd.nbdag.rendered+json"  # of the texts whose templates were rendered, by name
PROCESSES = "processes"  # key beside an outcome: whether a process below the kernel may still exist


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRequest:
    """One attempt as its kernel sees it; `core.model.job.Job` and `core.model.dag.Task` explain the fields."""

    task: str
    values: str
    context: Mapping[str, Any]
    options: TaskOptions = field(default_factory=TaskOptions)
    reads: Sequence[str] = ()
    changes: Sequence[str] = ()  # names that the task changes, including those of --change
    exports: Sequence[Sequence[str]] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    optional: Sequence[str] = ()  # exports without a reader: skipped if they cannot be stored
    inputs: Sequence[StoredInput] = ()
    pulled: Sequence[PulledInput] = ()
    pull_tasks: Sequence[str] = ()
    element: Mapping[str, str] = field(default_factory=dict)
    # Name of the cell, line within the cell, source, whether Python must not evaluate its annotations.
    definitions: Sequence[tuple[str, int, str, bool]] = ()
    future_annotations: bool = False
    expand: bool = False
    opaque: bool = False
    polls: bool = False
    held: Mapping[str, Sequence[str]] | None = None
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    changed_later: Mapping[str, str] = field(default_factory=dict)
    state_observers: Mapping[str, str] = field(default_factory=dict)
    seeded_before: Mapping[str, str] = field(default_factory=dict)
    state_changed: Sequence[str] = ()

    @classmethod
    def of(cls, job: Job) -> KernelRequest:
        """Return the part of a job that matters inside the kernel."""
        task, options = job.task, job.task.options
        return cls(
            task=task.id,
            values=job.values,
            context=_plain({**job.context, "task_id": task.id, "map_index": job.key.map_index}),
            options=options,
            reads=task.reads,
            changes=tuple(dict.fromkeys((*task.changes, *options.change))),
            exports=task.exports,
            readers=job.readers,
            optional=[name for group in task.exports for name in group if name not in {*job.readers, *options.out}],
            inputs=job.inputs,
            pulled=job.pulled,
            pull_tasks=job.pull_tasks,
            element=job.element,
            definitions=tuple(
                (each.cell_label, each.place.line, each.source, each.future_annotations) for each in task.definitions
            ),
            expand=job.expand,
            opaque=task.opaque,
            polls=task.polls,
            future_annotations=task.future_annotations,
            held=job.held,
            beside=job.beside,
            changed_later=job.changed_later,
            state_observers=job.state_observers,
            seeded_before=job.seeded_before,
            state_changed=task.state_changed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the request as literals, without defaults, so that the notebook shows only what matters."""
        data = _without_defaults(self)
        data["options"] = _without_defaults(self.options)
        data["inputs"] = [(given.name, given.source, given.digests, given.is_list) for given in self.inputs]
        # An empty `held` means that no other task has the objects; a missing `held` means that this is unknown.
        return {name: _plain(value) for name, value in data.items() if name == "held" or not _is_empty(value)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KernelRequest:
        """Return the request that a result of `to_dict` describes."""
        inputs = [
            StoredInput(name=name, source=source, digests=tuple(digests), is_list=is_list)
            for name, source, digests, is_list in data.get("inputs", ())
        ]
        pulled = [
            PulledInput(task, key, name, tuple(digests), is_list)
            for task, key, name, digests, is_list in data.get("pulled", ())
        ]
        options = TaskOptions(**{name: _as_tuples(value) for name, value in data.get("options", {}).items()})
        return cls(**{**data, "inputs": inputs, "pulled": pulled, "options": options})


def masked_outcome(outcome: Outcome) -> Outcome:
    """Return the outcome with secrets hidden in its texts; digests and other ids are unchanged."""
    return replace(
        outcome,
        error=None if outcome.error is None else mask(outcome.error),
        outputs=tuple(replace(each, summary=mask(each.summary)) for each in outcome.outputs),
        notes=tuple(replace(each, message=mask(each.message)) for each in outcome.notes),
        files=tuple(FileUse(mask(each.path), each.how) for each in outcome.files),
    )


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON objects and lists, without defaults."""
    data = asdict(outcome)
    return {name: data[name] for name in _without_defaults(outcome)}


def outcome_from_dict(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome that a result of `outcome_to_dict` describes."""
    outputs = tuple(StoredOutput(**each) for each in data.get("outputs", ()))
    notes = tuple(Note(**each) for each in data.get("notes", ()))
    files = tuple(FileUse(*each) for each in data.get("files", ()))
    elements = tuple(data.get("elements", ()))
    state = TaskState(data["state"])
    return Outcome(**{**data, "state": state, "outputs": outputs, "notes": notes, "files": files, "elements": elements})


def _without_defaults(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    return {each.name: found for each in fields(value) if (found := getattr(value, each.name)) != each.default}


def _is_empty(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping) and not value


def _as_tuples(value: Any) -> Any:
    """Return a value with tuples for its lists, at every depth."""
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Return a value as Python literals, which `ast.literal_eval` can read back from their `repr`."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
