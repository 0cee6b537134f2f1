"""Two kernels that all tests of a module share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from patience import LONG

from nbdag.rehearse.plain_run import Execution, execute, variation
from nbdag.runs.actions.rehearsal import rehearse as module

_FORGET = "%reset -f"


@pytest.fixture(scope="package")
def kernels() -> Iterator[list[NotebookClient]]:
    """Yield clients of two kernels, for the first and for the second run of each notebook."""
    clients = [NotebookClient(nbformat.v4.new_notebook(), timeout=None, startup_timeout=int(LONG)) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for client, changed in zip(clients, ({}, variation(os.environ)), strict=True):
            stack.enter_context(client.setup_kernel(env={**os.environ, **changed}))
        yield clients


@pytest.fixture
def shared_kernels(kernels: list[NotebookClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run notebooks in two kernels that are kept, because a kernel takes seconds to start."""

    def run(document: Any, folder: Path, cells: list[int], *, environment: Mapping[str, str], report: Any) -> Execution:
        client = kernels[bool(environment)]
        client.reset_execution_trackers()
        client.nb = nbformat.from_dict(document)
        client.nb.cells.append(nbformat.v4.new_code_cell(_FORGET))
        client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1)
        client.nb.cells.pop()
        return execute(client, folder, cells, report=report)

    monkeypatch.setattr(module, "run_plainly", run)
