"""Notebooks from text, and the in-process executor in place of the local one; real kernels have their own tests."""

from __future__ import annotations

import json
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

import nbdag.executors.local
from nbdag import runs
from nbdag.home import Home
from nbdag.runs.execution.daemon import Daemon
from nbdag.testing import InProcessExecutor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".nbdag")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> type[InProcessExecutor]:
    monkeypatch.setattr(nbdag.executors.local, "LocalExecutor", InProcessExecutor)
    return InProcessExecutor


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


@pytest.fixture
def scheduler() -> Callable[..., AbstractContextManager[None]]:
    """Return a context manager, in which a thread executes runs, one task at a time."""

    @contextmanager
    def begin(home: Home, **options: Any) -> Iterator[None]:
        daemons: list[Daemon] = []
        with pytest.MonkeyPatch.context() as patch:
            serve = Daemon.serve
            patch.setattr(Daemon, "serve", lambda self: (daemons.append(self), serve(self))[1])
            thread = threading.Thread(target=lambda: runs.schedule(jobs=1, home=home, **options))
            thread.start()
            try:
                yield
            finally:
                daemons[0].ask_to_end()
                thread.join(LONG)

    return begin
