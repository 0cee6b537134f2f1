"""Cache keys: they decide whether the result of an earlier attempt is used instead of a new attempt.

Two attempts at a task have equal keys if all that nbdag knows to affect the result is equal: the code, the inputs,
the interpreter, and the imported modules. Comments, layout, and options that only affect how a task runs (retries,
timeouts, pools) are not part of the key. Other tasks affect the key only through the values that they pass on. A key
cannot cover dependencies that the notebook's code does not show: files, services, the environment, the clock.

The caller computes the fingerprints of modules. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..cells.imports import changes_module_path, imported_modules
from ..cells.source import Python, to_python
from ..model.dag import Dag, Task
from ..model.job import Job
from ..options.options import EXPRESSION_OPTIONS, RESULT_OPTIONS, TaskOptions

# Options that affect an instance only through the instance's element; the key contains the element.
_IN_ELEMENT = frozenset({"map", "zip", "in_step"})
_VERSION = 1  # increase this number to invalidate all stored keys
_RUN_ATTRIBUTE = re.compile(r"\bdag_run\b(?:\s*\.\s*(\w+))?")


def is_cached(job: Job) -> bool:
    """Return whether a cached result may be used instead of this attempt.

    The attempt of a sensor is never replaced, because it polls external state. The attempt that computes the elements
    of a mapped task is not replaced either, because it is cheap. For other attempts, `uncacheable` decides: the
    decision of a task with --branch or --short-circuit is not a stored value, and approvals and resources must not be
    reused.
    """
    return job.task.options.cache and not job.task.polls and not job.expand and uncacheable(job.task.options) is None


def uncacheable(options: TaskOptions) -> str | None:
    """Return the option that makes a task always execute, or None if the task's result may be reused."""
    for name in ("branch", "short_circuit", "approve", "setup", "teardown_for"):
        if getattr(options, name):
            return f"--{name.replace('_', '-')}"
    return None


def cache_key(job: Job, modules: Mapping[str, str], python: str) -> str:
    """Return a digest of everything that affects the attempt's result, as far as nbdag can know.

    `modules` maps each module of `modules_of` to a fingerprint of its code; `python` identifies the interpreter.
    """
    task, options = job.task, job.task.options
    code, setup = normalized(task.code), [normalized(each) for each in job.setup_cells]
    definitions = [normalized(each.source) for each in task.definitions]
    text = "\n".join((code, *setup, *definitions, *_expressions(options)))
    read = _read(task, text)
    parts = {
        "version": _VERSION,
        "task": job.key.task,
        "code": code,
        "definitions": definitions,
        "setup": setup,
        "parameter cells": [normalized(each) for each in job.parameter_cells],
        "options": {name: getattr(options, name) for name in RESULT_OPTIONS if name not in _IN_ELEMENT},
        "exports": task.exports,
        "parameters": {name: value for name, value in job.parameters.items() if name in read or task.opaque},
        "run": _run_context(job),
        "inputs": {each.name: [each.digests, each.is_list] for each in job.inputs if each.name in read or task.opaque},
        "pulled": [list(each) for each in job.pulled],
        "element": dict(job.element),
        "watched": _watched(job),
        "kernel": [job.kernel_name, python],
        "modules": dict(modules),
        "folder": job.cwd,
    }
    if job.packages:
        parts["packages"] = job.packages
    if job.pinned_files:
        parts["pinned files"] = job.pinned_files
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def modules_of(dag: Dag, task: str) -> tuple[str, ...] | None:
    """Return the modules that affect a task's result, or None if the code changes where Python finds modules.

    These are the modules that are imported in the kernel of the task or of one of its ancestors. Ancestors count
    because an input may be an instance of a class whose module only an ancestor imports.
    """
    codes = [code for each in (task, *dag.ancestors(task)) for code in dag.kernel_code(each)]
    if any(changes_module_path(code) for code in codes):
        return None
    return tuple(sorted({name for code in codes for name in imported_modules(code)}))


@lru_cache(maxsize=4096)
def normalized(code: str) -> str:
    """Return the code without comments, hence without the header, and without layout."""
    lines = code.split("\n")
    head = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))
    if head < len(lines) and lines[head].startswith("%%"):
        return "\n".join(lines[head:])  # not normalized: below a cell magic, layout and comments may have a meaning
    python = to_python(code)
    return f"{ast.dump(python.tree)}{python.shown}" if isinstance(python, Python) else "\n".join(lines[head:])


def _read(task: Task, text: str) -> frozenset[str]:
    """Return the names that the task's code, or a function that it calls, may read.

    Names that only `--map` reads are excluded, because an instance gets an element instead.
    """
    only_mapped = {word for _, expression in task.options.map for word in _words(expression)}
    return frozenset(_words(text) | (set(task.reads) - only_mapped))


def _expressions(options: TaskOptions) -> Iterator[str]:
    """Yield the expressions that an instance evaluates.

    `--map` is excluded, because it is evaluated before the instances are created.
    """
    for name in EXPRESSION_OPTIONS:
        value = getattr(options, name)
        if name not in _IN_ELEMENT and value is not None:
            yield from [value] if isinstance(value, str) else value


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


# Key: attribute of `dag_run`, or name in a template; value: the key of `Job.context` that determines it.
_DERIVED = {
    **dict.fromkeys(("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"), "logical_date"),
    "task_instance_key_str": "logical_date",
    "conf": "params",
    "run_type": "run_id",
}
_RENDERS_A_VARIABLE = re.compile(r"\bdag_run\s*\.\s*render\(\s*(?![\[({]*['\"])")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def _run_context(job: Job) -> dict[str, Any]:
    """Return the values of the attributes of `dag_run` that the code uses, such as the date of the run."""
    task = job.task
    codes = (*job.parameter_cells, *job.setup_cells, *(each.source for each in task.definitions), task.code)
    texts = (*codes, *_expressions(task.options))
    used: set[str | None] = {match[1] for each in texts for match in _RUN_ATTRIBUTE.finditer(each)}
    used |= {word for each in texts for match in _TEMPLATE.finditer(each) for word in _words(match[0])}
    used |= {_DERIVED[name] for name in used if name in _DERIVED}
    everything = bool({None, "context"} & used) or any(_RENDERS_A_VARIABLE.search(each) for each in texts)
    return {name: value for name, value in job.context.items() if name in used or everything}


def _watched(job: Job) -> list[list[Any]]:
    """Return the names on which an attempt's warnings about hidden changes and shared objects depend.

    A new attempt may give a warning that the earlier attempt did not give, because a task was added to the notebook
    since: one that reads an object of setup, or changes a value that shares objects with other outputs. A cached result
    would hide this warning.
    """
    given = {each.name for each in job.inputs} | set(job.element)
    passed = given | {name for group in job.task.exports for name in group}
    return [
        sorted((name, *names) for name, names in (job.held or {}).items() if name not in given),
        sorted(name for name in job.changed_later if name in passed and len(passed) > 1),
    ]
