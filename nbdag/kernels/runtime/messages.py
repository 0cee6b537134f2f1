"""The request that a task's kernel receives, and the outcome that the kernel publishes, as plain data that is readable
in the notebook.

A `KernelRequest` is the part of a job that matters inside the kernel. It contains the complete options of the task, so
a new option needs no field here. After the cell has run, the kernel publishes one `Outcome`. It is an output with a
special MIME type, which the worker removes from the notebook.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from typing import Any

from ...core.model.job import FileUse, Job, Note, Outcome, PulledInput, StoredInput, StoredOutput
from ...core.model.metrics import Metric, json_number
from ...core.model.states import TaskState
from ...core.options.options import TaskOptions
from ...secrets import mask

MIME = "application/vnd.nbdag.report+json"
# MIME type of the rendered templates; key: name; value: rendered text.
RENDERED_MIME = "application/vnd.nbdag.rendered+json"
PROCESSES = "processes"  # key in the published data: whether a process that the kernel started may still exist


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRequest:
    """The data that an attempt's kernel needs; `core.model.job.Job` and `core.model.dag.Task` explain the fields."""

    task: str
    values: str
    context: Mapping[str, Any]
    storage: str = ""
    home: str = ""
    options: TaskOptions = field(default_factory=TaskOptions)
    reads: Sequence[str] = ()
    changes: Sequence[str] = ()  # names that the task changes, in its code or by --change
    exports: Sequence[Sequence[str]] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    optional: Sequence[str] = ()  # exported names that no task reads: they are skipped if they cannot be stored
    inputs: Sequence[StoredInput] = ()
    pulled: Sequence[PulledInput] = ()
    pull_tasks: Sequence[str] = ()
    element: Mapping[str, str] = field(default_factory=dict)
    # Each definition: (name of the cell, line in the cell, source, whether annotations stay unevaluated).
    definitions: Sequence[tuple[str, int, str, bool]] = ()
    future_annotations: bool = False
    expand: bool = False
    opaque: bool = False
    polls: bool = False
    held: Mapping[str, Sequence[str]] | None = None
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    changed_later: Mapping[str, str] = field(default_factory=dict)
    given_below: Sequence[StoredInput] = ()
    awaited_below: Mapping[str, Sequence[str]] = field(default_factory=dict)
    of_setup_below: Sequence[str] = ()
    choices: Sequence[str] = ()
    state_observers: Mapping[str, str] = field(default_factory=dict)
    seeded_before: Mapping[str, str] = field(default_factory=dict)
    state_changed: Sequence[str] = ()

    @classmethod
    def of(cls, job: Job) -> KernelRequest:
        """Return the request for a job."""
        task, options = job.task, job.task.options
        return cls(
            task=task.id,
            values=job.values,
            storage=job.storage,
            home=job.home,
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
            given_below=job.given_below,
            awaited_below=job.awaited_below,
            of_setup_below=job.of_setup_below,
            choices=job.choices,
            state_observers=job.state_observers,
            seeded_before=job.seeded_before,
            state_changed=task.state_changed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the request as Python literals.

        Fields with default values are omitted, so that the notebook shows only what differs.
        """
        data = _without_defaults(self)
        data["options"] = _without_defaults(self.options)
        for field_name in ("inputs", "given_below"):
            values: Sequence[StoredInput] = getattr(self, field_name)
            data[field_name] = [(given.name, given.source, given.digests, given.is_list) for given in values]
        # `held` is kept even if it is empty. An empty `held` means that no other task has the objects; a missing
        # `held` means that this is unknown.
        return {name: _plain(value) for name, value in data.items() if name == "held" or not _is_empty(value)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> KernelRequest:
        """Return the request that a result of `to_dict` describes."""
        values = {
            field_name: [
                StoredInput(name=name, source=source, digests=tuple(digests), is_list=is_list)
                for name, source, digests, is_list in data.get(field_name, ())
            ]
            for field_name in ("inputs", "given_below")
        }
        pulled = [
            PulledInput(task, key, name, tuple(digests), is_list)
            for task, key, name, digests, is_list in data.get("pulled", ())
        ]
        options = TaskOptions(**{name: _as_tuples(value) for name, value in data.get("options", {}).items()})
        return cls(**{**data, **values, "pulled": pulled, "options": options})


def masked_outcome(outcome: Outcome) -> Outcome:
    """Return the outcome with secrets masked in all texts. Digests and other ids do not change."""
    return replace(
        outcome,
        error=None if outcome.error is None else mask(outcome.error),
        question=None if outcome.question is None else mask(outcome.question),
        outputs=tuple(replace(each, summary=mask(each.summary)) for each in outcome.outputs),
        metrics=tuple(each for each in outcome.metrics if mask(text := repr(each.value)) == text),
        notes=tuple(replace(each, message=mask(each.message)) for each in outcome.notes),
        files=tuple(FileUse(mask(each.path), each.how) for each in outcome.files),
        assets=json.loads(mask(json.dumps(outcome.assets))) if outcome.assets else {},
    )


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON objects and lists, without fields that have their default values."""
    data = asdict(outcome)
    data["metrics"] = [{**each, "value": json_number(each["value"])} for each in data["metrics"]]
    return {name: data[name] for name in _without_defaults(outcome)}


def outcome_from_dict(data: Mapping[str, Any]) -> Outcome:
    """Return the outcome that a result of `outcome_to_dict` describes."""
    outputs = tuple(StoredOutput(**each) for each in data.get("outputs", ()))
    notes = tuple(Note(**each) for each in data.get("notes", ()))
    metrics = tuple(Metric(**{**each, "value": float(each["value"])}) for each in data.get("metrics", ()))
    files = tuple(FileUse(*each) for each in data.get("files", ()))
    elements = tuple(data.get("elements", ()))
    given = {"outputs": outputs, "metrics": metrics, "notes": notes, "files": files, "elements": elements}
    for name in ("kinds", "chosen"):
        if data.get(name) is not None:
            given[name] = tuple(data[name])
    return Outcome(**{**data, "state": TaskState(data["state"]), **given})


def _without_defaults(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their defaults."""
    return {each.name: found for each in fields(value) if (found := getattr(value, each.name)) != each.default}


def _is_empty(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping) and not value


def _as_tuples(value: Any) -> Any:
    """Return a value with all lists in it converted to tuples."""
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """Convert a value into Python literals, so that `ast.literal_eval` can read the value back from its `repr`."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
