"""Notebooks in text, and an executor that runs their cells in this process.

It keeps the order that a task's kernel keeps (parameters, setup, definitions, inputs, the cell, outputs) and the real
store of values, so that what `runs` promises can be tested in milliseconds; real kernels have tests of their own.
"""

from __future__ import annotations

import ctypes
import json
import textwrap
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import nbdag.executors.local
from nbdag import Fail, Skip
from nbdag.context import DagRun
from nbdag.core.model.job import Job, Key, Result
from nbdag.core.model.states import TaskState
from nbdag.home import Home
from nbdag.values import ValueStore


class Cancelled(BaseException):
    """Raised inside the cell of an attempt that is to end."""


class InProcess:
    """Attempts as threads of this process."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._pool = ThreadPoolExecutor(slots)
        self._lock = threading.Lock()
        self._threads: dict[Key, int] = {}  # cells that are running
        self._cancelled: set[Key] = set()
        self._stopped = False

    def start(self, on_result: Callable[[Result], None]) -> None:
        self._on_result = on_result

    def submit(self, job: Job) -> None:
        self._pool.submit(self._make, job)

    def cancel(self, key: Key) -> None:
        with self._lock:
            self._cancelled.add(key)
            if key in self._threads:
                interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
                interrupt(ctypes.c_ulong(self._threads[key]), ctypes.py_object(Cancelled))

    def stop(self) -> None:
        self._stopped = True
        for key in list(self._threads):
            self.cancel(key)
        self._pool.shutdown(wait=True)

    def _make(self, job: Job) -> None:
        started = time.time()
        said: dict[str, Any] = {"state": TaskState.SUCCESS}
        try:
            said |= self._run(job)
        except Cancelled:
            said = {"state": TaskState.FAILED, "error": "cancelled"}
        except Skip as skip:
            said = {"state": TaskState.SKIPPED, "error": str(skip)}
        except Fail as fail:
            said = {"state": TaskState.FAILED, "error": str(fail), "final": True}
        except BaseException as error:
            said = {"state": TaskState.FAILED, "error": str(error) or repr(error), "traceback": traceback.format_exc()}
        self._on_result(Result(key=job.key, started=started, ended=time.time(), **said))

    def _run(self, job: Job) -> dict[str, Any]:
        values = ValueStore(job.values)
        names: dict[str, Any] = {"__name__": "__main__", "dag_run": DagRun.of(job.context)}
        for code in job.parameter_cells:
            exec(code, names)
        names |= job.parameters
        for code in (*job.setup_cells, *(definition.source for definition in job.task.definitions)):
            exec(code, names)
        read: dict[str, dict[str, Any]] = {}
        for given in job.inputs:
            parts = []
            for digest in given.digests:
                read.setdefault(digest, values.load(digest, namespace=names))
                parts.append(read[digest][given.name])
            names[given.name] = parts if given.is_list else parts[0]
        Path(job.path).parent.mkdir(parents=True, exist_ok=True)
        Path(job.path).with_suffix(".log").write_text(f"{job.key.task} begins\n")
        with self._lock:
            if self._stopped or job.key in self._cancelled:
                raise Cancelled
            self._threads[job.key] = threading.get_ident()
        try:
            exec(compile(job.task.code, f"<{job.key.task}>", "exec"), names)
        finally:
            with self._lock:
                del self._threads[job.key]
        groups = [[name for name in group if name in names] for group in job.task.exports]
        saved = values.save(
            {name: names[name] for group in groups for name in group},
            [group for group in groups if group],
            readers=job.readers,
            namespace=names,
        )
        return {"outputs": saved.outputs}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".nbdag")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> type[InProcess]:
    monkeypatch.setattr(nbdag.executors.local, "LocalExecutor", InProcess)
    return InProcess


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A notebook of these cells."""

    def write(*cells: str, name: str = "churn.ipynb", kernel: str | None = None) -> Path:
        document = {
            "cells": [
                {
                    "cell_type": "code",
                    "execution_count": None,
                    "id": f"c{n}",
                    "metadata": {},
                    "outputs": [],
                    "source": textwrap.dedent(cell).strip(),
                }
                for n, cell in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"name": kernel, "display_name": kernel}} if kernel else {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return write
