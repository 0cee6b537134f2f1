"""Notebooks written from plain text, and the command line as a person calls it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

WAIT = 120.0  # seconds: longer than anything here takes on a slow machine


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """A notebook in the test's folder: a text is a code cell, a pair is (kind of cell, text)."""

    def write(*cells: str | tuple[str, str], name: str = "nb.ipynb", **metadata: Any) -> Path:
        told = []
        for n, each in enumerate(cells):
            kind, source = ("code", each) if isinstance(each, str) else each
            cell: dict[str, Any] = {"cell_type": kind, "id": f"c{n}", "metadata": {}, "source": source}
            if kind == "code":
                cell |= {"execution_count": None, "outputs": []}
            told.append(cell)
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        book = {"cells": told, "metadata": {"kernelspec": kernel, **metadata}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / name
        path.write_text(json.dumps(book), encoding="utf-8")
        return path

    return write


@dataclass
class CommandLine:
    """`nbdag …` in the test's folder, with a home and an environment of its own."""

    folder: Path
    home: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)  # in the environment of every process of ours

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in ("NBDAG_DB_URL", "NBDAG_DEBUG")}
        return inherited | {"NBDAG_HOME": str(self.home), "NBDAG_TEST_MARK": self.mark, "PYTHONUNBUFFERED": "1"}

    def start(self, *words: object, environment: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nbdag", *map(str, words)],
            cwd=more.pop("cwd", self.folder),
            env=self.environment | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            **more,
        )

    def __call__(self, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=WAIT)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """Every living process that this command line started, directly or not."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("NBDAG_TEST_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def nbdag(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line."""
    command = CommandLine(tmp_path, tmp_path / "home")
    yield command
    for process in command.processes():
        process.kill()
