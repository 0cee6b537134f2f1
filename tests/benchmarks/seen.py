"""Benchmarks of the page: drawing a graph of many tasks, and updating a task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser.bare import Bare, broad_cells, drawn
from tests.browser.conftest import ARGUMENTS, chromium
from tests.surfaces.kernel import Kernel

from .measure import Timing

_STATES = ("running", "success")


@contextmanager
def browser() -> Iterator[Any]:
    """Yield a running Chromium."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        raise RuntimeError("no Chromium is installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        started.close()


def first_and_changes(times: int, tasks: int) -> tuple[Timing, Timing, Timing, Timing]:
    """Measure the first drawing and later updates: for each, the waiting time and the load of the page's main thread.

    Raises RuntimeError if an update requests a layout or moves a box.
    """
    picture = drawn(broad_cells(tasks))
    firsts, busy_firsts, changes, busy_changes = [], [], [], []
    with browser() as chrome:
        for _ in range(times):
            page = Bare(chrome)
            before = page.metrics()["TaskDuration"]
            firsts.append(page.begin(picture) / 1000)
            busy_firsts.append(page.metrics()["TaskDuration"] - before)
            page.page.wait_for_timeout(500)
            places = page.page.evaluate(_PLACES)
            for n in range(4):
                for state in _STATES:
                    before = page.metrics()["TaskDuration"]
                    changes.append(page.change({f"step_{n}": {"state": state, "duration": 1.2}}) / 1000)
                    busy_changes.append(page.metrics()["TaskDuration"] - before)
            if page.page.evaluate(_PLACES) != places or page.page.evaluate("bare.sent.length") != 1:
                raise RuntimeError("a change of a state caused a new layout of the graph")
            page.close()
    return Timing(tuple(firsts)), Timing(tuple(busy_firsts)), Timing(tuple(changes)), Timing(tuple(busy_changes))


_PLACES = "[...document.querySelectorAll('.nbdag-box')].map((box) => box.getAttribute('transform')).join()"


def traffic(notebook: Path, env: dict[str, str]) -> list[int]:
    """Return the number of bytes, headers included, of each message from a kernel to the page while its tasks run."""
    kernel = Kernel(env=env | {"JPY_SESSION_NAME": str(notebook)})
    try:
        kernel.run("%load_ext nbdag")
        kernel.run("%dag")
        sizes: list[int] = []
        for n, cell in list(enumerate(json.loads(notebook.read_text())["cells"]))[1:6]:
            kernel.start("".join(cell["source"]), cell.get("id", f"c{n}"))
            sizes += _comms(kernel)
        return sizes
    finally:
        kernel.stop()


def _comms(kernel: Kernel) -> Iterator[int]:
    while True:
        said = kernel.client.get_iopub_msg(timeout=60)
        if said["msg_type"] == "comm_msg":
            parts = ("header", "parent_header", "metadata", "content")
            yield len(json.dumps([said[part] for part in parts], default=str))
        if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
            return
