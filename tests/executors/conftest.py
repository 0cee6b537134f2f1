"""Jobs from source text, and an executor whose results can be awaited."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

from nbdag.core.model.dag import Definition, Place, Task
from nbdag.core.model.job import Job, Key, Result, StoredInput
from nbdag.core.options.options import TaskOptions
from nbdag.executors.local import LocalExecutor


class Bench:
    """An executor with a folder for its jobs."""

    def __init__(self, folder: Path, executor: LocalExecutor) -> None:
        self.folder = folder
        self.executor = executor
        self.kernels = "warm"
        self.results: queue.Queue[Result] = queue.Queue()
        executor.start(self.results.put)

    def job(
        self,
        code: str,
        *,
        name: str = "task",
        given: Mapping[str, Result] | None = None,
        options: Mapping[str, Any] | None = None,
        reads: tuple[str, ...] = (),
        changes: tuple[str, ...] = (),
        exports: tuple[tuple[str, ...], ...] = (),
        definitions: tuple[str, ...] = (),
        setup: tuple[str, ...] = (),
        **fields: Any,
    ) -> Job:
        inputs = tuple(
            StoredInput(
                name=each,
                source=result.key.task,
                digests=tuple(output.digest for output in result.outputs if output.name == each),
            )
            for each, result in (given or {}).items()
        )
        task = Task(
            id=name,
            cell=3,
            options=TaskOptions(**(options or {})),
            code=code,
            reads=(*reads, *(given or {})),
            changes=changes,
            exports=exports,
            polls=(options or {}).get("operator") == "sensor",
            definitions=tuple(Definition(name="", source=each, place=Place(cell=1, line=5)) for each in definitions),
        )
        said: dict[str, Any] = {
            "key": Key(dag="d", run="r", task=name),
            "path": str(self.folder / "tasks" / name / "1.ipynb"),
            "values": str(self.folder / "values"),
            "cwd": str(self.folder),
            "kernel_name": "python3",
            "kernels": self.kernels,
            "setup_cells": setup,
            "inputs": inputs,
        }
        return Job(task=task, **(said | fields))

    def result(self) -> Result:
        return self.results.get(timeout=LONG)

    def make(self, code: str, **said: Any) -> Result:
        self.executor.submit(self.job(code, **said))
        return self.result()

    def log(self, name: str = "task") -> str:
        return (self.folder / "tasks" / name / "1.log").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def executor(runtime: Path) -> Iterator[LocalExecutor]:
    """One executor for all tests that do not stop it, because importing papermill takes seconds."""
    made = LocalExecutor(4)
    yield made
    made.stop()


@pytest.fixture
def bench(tmp_path: Path, executor: LocalExecutor) -> Bench:
    return Bench(tmp_path, executor)


@pytest.fixture
def new_bench(tmp_path: Path, runtime: Path) -> Iterator[Callable[..., Bench]]:
    """Creates benches, each with an executor of its own."""
    made: list[LocalExecutor] = []

    def new(slots: int, **said: Any) -> Bench:
        made.append(LocalExecutor(slots, **said))
        return Bench(tmp_path, made[-1])

    yield new
    for each in made:
        each.stop()
