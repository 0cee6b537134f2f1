"""Fixtures that write notebooks from plain text and call the command line in a separate process."""

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
from warm import WarmCommands


@pytest.fixture
def write_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a notebook into the test's folder; a cell is code, or a pair (cell type, text)."""

    def write(*cells: str | tuple[str, str], name: str = "nb.ipynb", **metadata: Any) -> Path:
        written = []
        for n, each in enumerate(cells):
            kind, source = ("code", each) if isinstance(each, str) else each
            cell: dict[str, Any] = {"cell_type": kind, "id": f"c{n}", "metadata": {}, "source": source}
            if kind == "code":
                cell |= {"execution_count": None, "outputs": []}
            written.append(cell)
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        book = {"cells": written, "metadata": {"kernelspec": kernel, **metadata}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / name
        path.write_text(json.dumps(book), encoding="utf-8")
        return path

    return write


@dataclass
class CommandLine:
    """The command `nbdag …`, called in the test's folder with its own home."""

    folder: Path
    home: Path
    runtime: Path  # folder with the sockets of fork servers
    idle: int = 120  # seconds until an idle fork server exits
    warm: WarmCommands | None = None  # forks the commands; without it each is a new process of Python
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)  # in the environment of each process that we start

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "NBDAG_HOME": str(self.home),
            "NBDAG_RUNTIME_DIR": str(self.runtime),
            "NBDAG_IDLE": str(self.idle),
            "NBDAG_TEST_MARK": self.mark,
            "PYTHONUNBUFFERED": "1",
        }

    def command(self, *words: object) -> list[str]:
        """Return the command for a new process of Python."""
        return [sys.executable, "-m", "nbdag", *map(str, words)]

    def start(self, *words: object, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
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
        if self.warm is not None and not more:
            return self.warm(list(map(str, words)), cwd=self.folder, env=self.environment, timeout=LONG)
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=LONG)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def processes(self) -> list[psutil.Process]:
        """Return every live process that this command line started, directly or not.

        A forked process still shows the environment and the arguments of its fork server, whose arguments name our
        runtime folder.
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
def nbdag(tmp_path: Path, runtime: Path, warm_commands: WarmCommands) -> CommandLine:
    """Return the command line, with fork servers shared by all tests."""
    return CommandLine(tmp_path, tmp_path / "home", runtime, warm=warm_commands)


@pytest.fixture
def lone_nbdag(tmp_path: Path, warm_commands: WarmCommands) -> Iterator[CommandLine]:
    """Yield the command line with its own fork servers, which exit at once, for tests that count processes."""
    with tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder:
        command = CommandLine(tmp_path, tmp_path / "home", Path(folder), idle=0, warm=warm_commands)
        yield command
        command.end()
