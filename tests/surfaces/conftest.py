"""Notebooks written from plain text, and the command line as a person calls it: in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import LONG


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
    """`nbdag …` in the test's folder, with a home of its own."""

    folder: Path
    home: Path
    runtime: Path  # where fork servers are met
    idle: int = 120  # seconds that a fork server stays
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)  # in the environment of what we start

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "NBDAG_HOME": str(self.home),
            "NBDAG_RUNTIME_DIR": str(self.runtime),
            "NBDAG_IDLE": str(self.idle),
            "NBDAG_TEST_MARK": self.mark,
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, *words: object, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nbdag", *map(str, words)],
            cwd=self.folder,
            env=self.environment,
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
                out, err = process.communicate(timeout=LONG)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """Every living process that this command line started, directly or not.

        One that was forked still shows the environment and the arguments of the server that it was forked from; the
        server's arguments name our runtime folder.
        """
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return (
                process.environ().get("NBDAG_TEST_MARK") == self.mark
                or any(str(self.runtime) in word for word in process.cmdline())
                or Path(process.cwd()).is_relative_to(self.folder)
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False

    def end(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def nbdag(tmp_path: Path, runtime: Path) -> CommandLine:
    """The command line."""
    return CommandLine(tmp_path, tmp_path / "home", runtime)


@pytest.fixture
def lone_nbdag(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line with fork servers of its own, which leave at once: for those who count processes."""
    with tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder:
        command = CommandLine(tmp_path, tmp_path / "home", Path(folder), idle=0)
        yield command
        command.end()
