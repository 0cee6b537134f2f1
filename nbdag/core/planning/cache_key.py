"""When the outcome of an earlier attempt may stand for a new one.

Two attempts at a task have one key when all that can make their outcomes differ is alike: the code that runs, what it
is given, which interpreter, and the modules that it imports. Comments, layout and the options that say how, rather
than what, to run (retries, timeouts, pools) are no part of it; nor are other tasks, but for what they hand over. What
no code of the notebook shows, a key cannot see: files, services, the environment, the clock.

Which files a module consists of is for others to find out. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..cells.imports import changes_module_path, imported_modules
from ..cells.source import Python, to_python
from ..model.dag import Dag, Task
from ..model.job import Job
from ..options.options import RESULT_OPTIONS

_IN_ELEMENT = frozenset({"map", "zip"})  # options that reach an instance only through its element, which the key holds
_VERSION = 1  # raised when a key of before must not be found any more
_RUN = re.compile(r"\bdag_run\b(?:\s*\.\s*(\w+))?")


def is_cached(job: Job) -> bool:
    """Whether an earlier outcome may stand for this attempt's, if there is one.

    Never that of a sensor, which looks at what is outside, nor the elements of a mapped task, which cost little.
    """
    return job.task.options.cache and job.task.options.operator != "sensor" and not job.expand


def cache_key(job: Job, modules: Mapping[str, str], python: str) -> str:
    """A digest of all that the attempt's outcome depends on, as far as it can be seen.

    `modules` is what `modules_of` names, each with a text that differs when its code does; `python` the interpreter.
    """
    task, options = job.task, job.task.options
    code, setup = normalized(task.code), [normalized(each) for each in job.setup_cells]
    definitions = [normalized(each.source) for each in task.definitions]
    text = "\n".join((code, *setup, *definitions, options.when or "", *options.check))
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
        "run": _of_the_run(job),
        "inputs": {each.name: [each.digests, each.is_list] for each in job.inputs if each.name in read or task.opaque},
        "element": dict(job.element),
        "watched": _watched(job),
        "kernel": [job.kernel_name, python],
        "modules": dict(modules),
        "folder": job.cwd,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def modules_of(dag: Dag, task: str) -> tuple[str, ...] | None:
    """The modules whose code a task's outcome depends on: those that its own cells and the tasks before it import.

    The latter because an input may be of a class that such a module defines. None: it cannot be known which they are,
    since the code changes where modules are looked for.
    """
    codes = [code for each in (task, *dag.ancestors(task)) for code in dag.kernel_code(each)]
    if any(changes_module_path(code) for code in codes):
        return None
    return tuple(sorted({name for code in codes for name in imported_modules(code)}))


@lru_cache(maxsize=4096)
def normalized(code: str) -> str:
    """Return the code without what changes nothing: comments (the header is one by now) and layout."""
    lines = code.split("\n")
    head = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines))
    if head < len(lines) and lines[head].startswith("%%"):
        return "\n".join(lines[head:])  # what its body means is for that magic to say
    python = to_python(code)
    return f"{ast.dump(python.tree)}{python.shown}" if isinstance(python, Python) else "\n".join(lines[head:])


def _read(task: Task, text: str) -> frozenset[str]:
    """The names that an attempt may read: those that the code holds, and those that what it calls reads.

    What only `--map` reads is none: an instance is given its element of it.
    """
    only_mapped = {word for _, expression in task.options.map for word in _words(expression)}
    return frozenset(_words(text) | (set(task.reads) - only_mapped))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def _of_the_run(job: Job) -> dict[str, Any]:
    """What the code asks of `dag_run`: a task that asks for the run's date has an outcome for each date."""
    task = job.task
    codes = (*job.parameter_cells, *job.setup_cells, *(each.source for each in task.definitions), task.code)
    said = (*codes, task.options.when or "", *task.options.check)
    asked = {match[1] for each in said for match in _RUN.finditer(each)}
    return {name: value for name, value in job.context.items() if name in asked or None in asked}


def _watched(job: Job) -> list[list[Any]]:
    """What decides of which hidden changes, and of which shared objects, the attempt warns.

    A warning that was not given then must not be lost now: somebody else has come to read what setup makes, or to
    change what the task leaves together with something else.
    """
    given = {each.name for each in job.inputs} | set(job.element)
    passed = given | {name for group in job.task.exports for name in group}
    return [
        sorted((name, *names) for name, names in (job.held or {}).items() if name not in given),
        sorted(name for name in job.changed_later if name in passed and len(passed) > 1),
    ]
