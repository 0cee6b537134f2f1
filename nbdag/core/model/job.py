"""One attempt at one task: what it is given, and what became of it.

A job is all that a worker, on this host or another, needs to know: it reads no notebook and asks no database. A
result is all that it has to say. Both are plain data, so that they cross processes and hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .dag import Task
from .states import TaskState

CANCELLED = "cancelled"  # what is said of an attempt that its executor was asked to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Which attempt: unique over all runs."""

    dag: str
    run: str
    task: str
    map_index: int = -1  # from 0 for an instance of a mapped task, else -1
    try_number: int = 1  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An input value: what `name` is to be."""

    name: str
    source: str  # the task that wrote it
    digests: tuple[str, ...]  # one stored value; of a mapped task one per instance, in order
    is_list: bool = False  # True: the name becomes a list, one element per digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attempt, ready to be made."""

    key: Key
    task: Task  # its code, options, exports, definitions
    path: str  # where this attempt's notebook goes: …/TRY.ipynb; its text log stands beside it as TRY.log
    values: str  # root of the value store: a path or an fsspec URL
    cwd: str  # the working directory of the task's kernel
    kernel_name: str
    parameter_cells: tuple[str, ...] = ()  # code of the parameters cells
    setup_cells: tuple[str, ...] = ()  # code of the setup cells that this task needs, in order
    readers: Mapping[str, str] = field(default_factory=dict)  # exported name → the first task that reads it
    imports: tuple[str, ...] = ()  # what the notebook's cells import (core.imports), alike for all its tasks
    kernels: str = "warm"  # "warm" (the fork server, where possible) or "fresh"
    inputs: tuple[Given, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)  # overrides, injected after the parameters cell
    element: Mapping[str, str] = field(default_factory=dict)  # mapped: variable → digest of its element
    expand: bool = False  # evaluate the --map expressions and save their elements; do not run the cell
    context: Mapping[str, Any] = field(default_factory=dict)  # what `dag_run` says: logical_date, params, …
    # Name that it reads → names by which others have that object, and would miss a hidden change; None: not known.
    held: Mapping[str, tuple[str, ...]] | None = None
    changed_later: Mapping[str, str] = field(default_factory=dict)  # name → the first task below that changes it


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A value that an attempt stored."""

    name: str
    digest: str  # of the stored value, which may hold several names that share objects
    type: str  # such as pandas.DataFrame
    bytes: int
    summary: str  # a short text for people: shape, columns, a short repr


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that a run has to say of a task, though the task succeeded."""

    code: str  # stable, such as NB401
    name: str  # the name that it is about
    message: str  # one sentence, with the remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task's kernel observed of one attempt."""

    state: TaskState  # success, failed, skipped, or up_for_reschedule
    outputs: tuple[Output, ...] = ()
    notes: tuple[Note, ...] = ()
    error: str | None = None  # one sentence, or the exception's last line
    final: bool = False  # a failure that must not be retried: --check, nbdag.Fail
    short_circuit: bool = False  # skipped by --when with --short-circuit: all descendants are skipped
    length: int | None = None  # of an expansion: how many instances
    elements: tuple[Mapping[str, str], ...] = ()  # of an expansion: per instance, variable → digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Outcome):
    """The outcome of one attempt, with what only its worker knows: which attempt, when, and the traceback."""

    key: Key
    started: float  # seconds since the epoch
    ended: float
    traceback: str | None = None  # plain text
