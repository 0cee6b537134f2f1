"""Benchmarks of pure rules, which run in this process without a kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from nbdag import notebooks
from nbdag.core.model.dag import Dag, Edge, Task
from nbdag.core.model.states import RunState, TaskState
from nbdag.core.options.options import DagOptions, TaskOptions
from nbdag.core.planning.plan import expansion_of, plan
from nbdag.core.planning.plan_types import Instance, RunView
from nbdag.core.planning.pools import assign_slots, claims


def plan_of(size: int) -> Callable[[], None]:
    """Return a function that plans a new run, in which task n depends on tasks n − 1 and n / 2."""
    names = [f"t{n}" for n in range(size)]
    dag = Dag(
        id="large",
        options=DagOptions(),
        cells=(),
        tasks={name: Task(id=name, cell=n, options=TaskOptions(), code="") for n, name in enumerate(names)},
        edges=tuple(Edge(source=names[m], target=names[n]) for n in range(1, size) for m in sorted({n - 1, n // 2})),
        order=tuple(names),
    )
    now = datetime.now(UTC)
    run = RunView(run_id="r", dag_id="large", logical_date=now, state=RunState.RUNNING, started=now)
    instances = [Instance(task=name, map_index=-1, state=TaskState.NONE) for name in names]

    def action() -> None:
        plan(dag, run, instances, now=now)

    return action


def plan_of_mapped(size: int) -> Callable[[], None]:
    """Return a function that expands a mapped task, plans a run with its instances, and assigns slots to them."""
    map_options = TaskOptions(map=(("x", "xs"),))
    names = ("first", "mapped", "last")
    tasks = {
        name: Task(id=name, cell=n, options=map_options if name == "mapped" else TaskOptions(), code="")
        for n, name in enumerate(names)
    }
    edges = (Edge(source="first", target="mapped"), Edge(source="mapped", target="last"))
    dag = Dag(id="mapped", options=DagOptions(), cells=(), tasks=tasks, edges=edges, order=names)
    now = datetime.now(UTC)
    run = RunView(run_id="r", dag_id="mapped", logical_date=now, state=RunState.RUNNING, started=now)
    first, last = Instance(task="first", state=TaskState.SUCCESS), Instance(task="last")
    placeholder = Instance(task="mapped", state=TaskState.RUNNING)

    def action() -> None:
        grown = expansion_of("mapped", size, [first, placeholder, last])
        planned = plan(dag, run, [first, *grown.add, last], now=now)
        started = assign_slots(claims(dag, run, planned.ready), [], pools={}, jobs=8).start
        if len(planned.ready) != size or len(started) != 8:
            raise RuntimeError(f"{len(planned.ready)} instances are ready and {len(started)} start")

    return action


def check_of(size: int, folder: Path) -> Callable[[], None]:
    """Return a function that reads and checks a notebook, in which each cell reads the values of two others."""
    cells = [f"%%task t{n}\nx{n} = sum([x{max(n - 1, 0)}, x{n // 2}])\ny{n} = [x{n}]" for n in range(1, size)]
    sources = ["%%task t0\nx0 = 1", *cells]
    text = json.dumps(
        {
            "cells": [
                {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
                for source in sources
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
    )

    path = folder / "large.ipynb"
    path.write_text(text, encoding="utf-8")

    def action() -> None:
        notebooks.read(path)

    return action
