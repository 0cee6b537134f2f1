"""What a task's kernel is told, and what it tells: plain data, so that both can be read in the attempt's notebook.

A brief is the part of a job that matters inside the kernel. A report is what the kernel has to say once it has
run the cell; it travels as an output of a type of its own, which the worker takes out of the notebook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from ...core.model.job import Job, Note, StoredInput, StoredOutput

MIME = "application/vnd.nbdag.report+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """See `core.job.Job` and `core.dag.Task` for what the fields mean."""

    task: str
    values: str
    context: Mapping[str, Any]
    reads: Sequence[str] = ()
    changes: Sequence[str] = ()  # those that --change declares included
    exports: Sequence[Sequence[str]] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    spare: Sequence[str] = ()  # exports that nobody needs: those that cannot be stored are left out
    inputs: Sequence[StoredInput] = ()
    element: Mapping[str, str] = field(default_factory=dict)
    definitions: Sequence[tuple[str, int, str]] = ()  # what their cell is called, line within it, source
    when: str | None = None
    short_circuit: bool = False
    check: Sequence[str] = ()
    map: Sequence[tuple[str, str]] = ()
    zip: bool = False
    max_map_length: int = 1024
    expand: bool = False
    poll: float | None = None  # of a sensor: seconds between two looks
    reschedule: bool = False
    opaque: bool = False
    held: Mapping[str, Sequence[str]] | None = None
    changed_later: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> Brief:
        """What matters of a job inside the kernel."""
        task, options = job.task, job.task.options
        return cls(
            task=task.id,
            values=job.values,
            context=_plain({**job.context, "task_id": task.id, "map_index": job.key.map_index}),
            reads=task.reads,
            changes=tuple(dict.fromkeys((*task.changes, *options.change))),
            exports=task.exports,
            readers=job.readers,
            spare=[name for group in task.exports for name in group if name not in {*job.readers, *options.out}],
            inputs=job.inputs,
            element=job.element,
            definitions=tuple((each.cell_label, each.place.line, each.source) for each in task.definitions),
            when=options.when,
            short_circuit=options.short_circuit,
            check=options.check,
            map=options.map,
            zip=options.zip,
            max_map_length=options.max_map_length,
            expand=job.expand,
            poll=options.poke if options.operator == "sensor" else None,
            reschedule=options.reschedule,
            opaque=task.opaque,
            held=job.held,
            changed_later=job.changed_later,
        )

    def to_dict(self) -> dict[str, Any]:
        """Without what has its default, so that the notebook shows what matters."""
        said: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "inputs":
                value = [(given.name, given.source, given.digests, given.is_list) for given in value]
            empty = isinstance(value, list | tuple | Mapping) and not value
            if value != each.default and (not empty or each.name == "held"):
                said[each.name] = _plain(value)
        return said

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Brief:
        """The inverse of `to_dict`."""
        inputs = [
            StoredInput(name=name, source=source, digests=tuple(digests), is_list=is_list)
            for name, source, digests, is_list in said.get("inputs", ())
        ]
        return cls(**{**said, "inputs": inputs})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the kernel says of an attempt; an attempt whose kernel says nothing has failed."""

    state: str  # a TaskState
    outputs: Sequence[StoredOutput] = ()
    notes: Sequence[Note] = ()
    error: str | None = None
    final: bool = False
    short_circuit: bool = False
    length: int | None = None
    elements: Sequence[Mapping[str, str]] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "state": self.state,
            "outputs": [[each.name, each.digest, each.type, each.bytes, each.summary] for each in self.outputs],
            "notes": [[each.code, each.name, each.message] for each in self.notes],
            "error": self.error,
            "final": self.final,
            "short_circuit": self.short_circuit,
            "length": self.length,
            "elements": [dict(each) for each in self.elements],
        }

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Report:
        """The inverse of `to_dict`."""
        outputs = tuple(
            StoredOutput(name=name, digest=digest, type=type, bytes=size, summary=summary)
            for name, digest, type, size, summary in said["outputs"]
        )
        notes = tuple(Note(code=code, name=name, message=message) for code, name, message in said["notes"])
        return cls(**{**said, "outputs": outputs, "notes": notes, "elements": tuple(said["elements"])})


def _plain(value: Any) -> Any:
    """As Python writes literals: what `repr` shows can be read again."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
