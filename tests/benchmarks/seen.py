"""What a person waits for on the page: the graph of many tasks, and a task that moves on it."""

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
    """Chromium."""
    from playwright.sync_api import sync_playwright

    program = chromium()
    if program is None:
        raise RuntimeError("there is no Chromium here")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        started.close()


def first_and_changes(times: int, tasks: int) -> tuple[Timing, Timing, Timing, Timing]:
    """Until the graph is drawn, and until a change is, each as a person waits for it, and as the page's thread is busy.

    A change that asked for a layout, or moved a box, is an error.
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
                raise RuntimeError("a change of a state has laid the graph out anew")
            page.close()
    return Timing(tuple(firsts)), Timing(tuple(busy_firsts)), Timing(tuple(changes)), Timing(tuple(busy_changes))


_PLACES = "[...document.querySelectorAll('.nbdag-box')].map((box) => box.getAttribute('transform')).join()"


def traffic(notebook: Path, env: dict[str, str]) -> list[int]:
    """The bytes that a kernel sends to the page for each change, headers included, while its tasks run by hand."""
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
