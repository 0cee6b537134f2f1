"""The items of `pytest --nbdag`: a check of each notebook, and its tasks.

All tasks of a notebook belong to one run, which the first item starts. With pytest-xdist, one process runs the notebook
and the others wait for its results.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .. import building, notebooks, runs
from ..core.model.dag import Problem
from ..core.model.states import TaskState
from ..errors import NbdagError
from .marks import MARK


class NotebookProblems(Exception):
    """A notebook has errors."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        super().__init__(path, problems)
        self.path, self.problems = path, problems

    def __str__(self) -> str:
        return "\n".join(_line(self.path, each) for each in self.problems)


class TaskFailure(Exception):
    """A task of a notebook has failed."""


class NotebookFile(pytest.File):
    """A notebook with tasks."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the check, and an item for each task."""
        try:
            dag = notebooks.read(self.path)
            if dag.unbuilt and MARK in (self.config.getoption("markexpr", "") or ""):
                dag = building.read(self.path)
        except NbdagError as failure:
            raise self.CollectError(str(failure)) from None
        if not dag.tasks and not dag.unbuilt and all(each.code in ("NB107", "NB201") for each in dag.problems):
            return  # a notebook without tasks is no pipeline
        yield CheckItem.from_parent(self, name="check")
        for name in dag.tasks:
            item = TaskItem.from_parent(self, name=name)
            item.add_marker(MARK)
            if self.config.pluginmanager.hasplugin("xdist"):
                item.add_marker(pytest.mark.xdist_group(str(self.path)))
            yield item


class CheckItem(pytest.Item):
    """Check a notebook as `nbdag check` does."""

    def runtest(self) -> None:
        """Fail if the notebook has an error; show its warnings if pytest shows the output."""
        dag = runs.check(self.path).dag
        warnings = [_line(self.path, each) for each in dag.problems if each.severity == "warning"]
        if warnings:
            self.add_report_section("call", "warnings of nbdag check", "\n".join(warnings))
        if dag.errors:
            raise NotebookProblems(self.path, dag.errors)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the problems without a traceback."""
        if isinstance(excinfo.value, NotebookProblems | NbdagError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the place for reports."""
        return self.path, None, f"{self.path.name}: check"


class TaskItem(pytest.Item):
    """A task of a run of the whole notebook."""

    def runtest(self) -> None:
        """Fail if the task failed in the run; skip if the task was skipped or did not run."""
        found = _results(self)
        if isinstance(found, str):
            raise TaskFailure(found)
        states = found.get(self.name, [])
        failed = [each for each in states if each["state"] == TaskState.FAILED.value]
        if failed:
            raise TaskFailure("\n".join(each["traceback"] or each["error"] or "failed" for each in failed))
        other = [each for each in states if each["state"] != TaskState.SUCCESS.value]
        if other or not states:
            reason = other[0]["error"] or other[0]["state"].replace("_", " ") if other else "no instance ran"
            pytest.skip(f"task {self.name}: {reason}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the traceback of the task, not of this module."""
        return str(excinfo.value) if isinstance(excinfo.value, TaskFailure) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the place for reports."""
        return self.path, None, f"{self.path.name}: {self.name}"


def _results(item: TaskItem) -> dict[str, list[dict[str, Any]]] | str:
    """Return the instances of each task in the notebook's run, by task. If the run could not start, return the reason.

    The first process that calls this function runs the notebook: all selected tasks and their upstream tasks.
    """
    base = Path(item.config._tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    if hasattr(item.config, "workerinput"):
        base = base.parent  # the folder that the processes of pytest-xdist share
    number = hash_of(item.path)
    with (base / f"nbdag-{number:x}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = base / f"nbdag-{number:x}.json"
        if not file.exists():
            chosen = [each.name for each in item.session.items if isinstance(each, TaskItem) and each.path == item.path]
            file.write_text(json.dumps(_run(item.path, chosen, base / f"nbdag-{number:x}")), encoding="utf-8")
        found: dict[str, list[dict[str, Any]]] | str = json.loads(file.read_text(encoding="utf-8"))
    return found


def hash_of(path: Path) -> int:
    """Return a hash of a path. Unlike Python's `hash`, it is the same in all processes."""
    from hashlib import sha256

    return int.from_bytes(sha256(str(path).encode()).digest()[:6], "big")


def _run(path: Path, tasks: list[str], home: Path) -> dict[str, list[dict[str, Any]]] | str:
    from .notebook_run import run_notebook

    try:
        run = run_notebook(path, home=home / ".nbdag", check=False, upto=tasks)
    except NbdagError as failure:
        return str(failure)
    found: dict[str, list[dict[str, Any]]] = {}
    for each in run.tasks:
        entry = {"state": each.state.value, "error": each.error, "traceback": each.traceback}
        found.setdefault(each.id, []).append(entry)
    return found


def _line(path: Path, problem: Problem) -> str:
    where = f" {problem.place}:" if problem.place else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{path.name}:{where} {problem.code} {problem.severity}: {problem.message}{hint}"
