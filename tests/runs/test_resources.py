"""Tasks with --resources on one machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from patience import LONG

from nbdag import runs
from nbdag.core.planning.resources import Offers
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

PAIR = threading.Barrier(2)
running: list[int] = []  # the map indexes of the tasks that run now
most: list[int] = []  # how many tasks ran at once, for each task


def work(index: int) -> int:
    """Do the work of a task: wait until another task runs, too."""
    running.append(index)
    most.append(len(running))
    PAIR.wait(LONG)
    running.remove(index)
    return index


@pytest.mark.usefixtures("in_process")
def test_tasks_share_the_resources_of_the_machine(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessExecutor, "offers", Offers(({"gpu": 2.0},)), raising=False)
    monkeypatch.setitem(sys.modules, "resource_work", ModuleType("resource_work"))
    monkeypatch.setattr(sys.modules["resource_work"], "work", work, raising=False)
    path = write("%%task load --map n=range(6) --resources gpu=1\nfrom resource_work import work\nx = work(n)")
    made = runs.run(path, jobs=4, home=home)
    assert made.state.value == "success", made.error
    assert len(most) == 6 and max(most) == 2


def test_a_task_that_needs_more_than_the_machine_has_is_refused_before_the_run(
    write: Callable[..., Path], home: Home
) -> None:
    path = write("%%task train --resources gpu=1 memory=1MB\nx = 1")
    with pytest.raises(NbdagError) as caught:
        runs.run(path, home=home)
    assert str(caught.value) == (
        "train needs gpu=1 (no host offers gpu), so the task could never run; lower its --resources, or declare what "
        "this host has, such as NBDAG_RESOURCES='gpu=1 memory=64GB'"
    )
    assert runs.list_runs("churn", home=home) == []


def test_a_task_that_needs_more_than_a_private_cluster_has_is_refused_too(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessExecutor, "offers", Offers(({"cpu": 1.0},), may_grow=True), raising=False)
    monkeypatch.setattr(InProcessExecutor, "may_grow", False, raising=False)
    with pytest.raises(NbdagError, match=r"train needs gpu=1 \(no host offers gpu\), so the task could never run"):
        runs.run(write("%%task train --resources gpu=1\nx = 1"), home=home)
