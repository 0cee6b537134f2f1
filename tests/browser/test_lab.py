"""The JupyterLab extension: tag, run, watch, break, repair, deploy by pointing, in an ordinary notebook."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import WAIT, Notebook, wait_for_kernel

CELLS = (
    "# Orders\nAn ordinary notebook.",
    "import time\nN = 10",
    "rows = list(range(N))",
    "doubled = [2 * row for row in rows]",
    "print(sum(doubled))",
)


@pytest.fixture
def plain(lab, server, request) -> Iterator[Notebook]:
    """An ordinary notebook, without any magic, open in JupyterLab."""
    name = f"orders_{secrets.token_hex(3)}.ipynb"
    cells = [
        {
            "cell_type": "markdown" if source.startswith("# ") else "code",
            "id": f"c{n}",
            "metadata": {},
            "source": source,
        }
        | ({} if source.startswith("# ") else {"execution_count": None, "outputs": []})
        for n, source in enumerate(CELLS)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = server.folder / name
    path.write_text(
        json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
    )
    before = request.session.testsfailed
    found = Notebook(lab.opened(name), path)
    found.page.set_viewport_size({"width": 1500, "height": 950})
    wait_for_kernel(found, server)
    yield found
    lab.close() if request.session.testsfailed > before else lab.clear()
    server.end_kernels()


@pytest.fixture(scope="module")
def scheduler(server) -> Iterator[None]:
    process = server.nbdag("scheduler")
    yield
    process.terminate()
    process.wait(WAIT)


def code(nb, n):
    return nb.page.locator(".jp-Notebook .jp-CodeCell").nth(n)


def tag(nb, n, role):
    """Give a code cell a role, with the button in the cell's toolbar."""
    code(nb, n).locator(".cm-content").click()
    code(nb, n).locator('[data-command="nbdag:choose-role"]').click()
    nb.page.locator(".lm-Menu-item", has_text=role).click()


def text(nb, n):
    return "\n".join(code(nb, n).locator(".cm-line").all_inner_texts())


def badge(nb, n, state=""):
    selector = f'.nbdag-badge[data-state="{state}"]' if state else ".nbdag-badge"
    found = code(nb, n).locator(selector)
    found.wait_for()
    return found


def field(nb, label):
    return nb.page.locator(".nbdag-side").get_by_label(label, exact=True)


def saved(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


def test_a_notebook_becomes_a_pipeline_by_pointing(plain, server, scheduler, context):
    """Tag three cells, run headlessly, watch, break, repair, deploy, see the next run on the page."""
    nb, page = plain, plain.page
    for n in (1, 2, 3):
        tag(nb, n, "Make Cell a Task")
        badge(nb, n, "none")
    assert [text(nb, n).split("\n")[0] for n in range(4)] == [
        "import time",
        "%%task rows",
        "%%task doubled",
        "%%task task_1",
    ]
    name = field(nb, "Name")
    name.fill("total")
    name.press("Enter")
    page.wait_for_selector(".nbdag-box[data-id=total]")
    assert text(nb, 3).startswith("%%task total\n")
    assert badge(nb, 0).inner_text() == "setup"

    # The cells are ordinary cells in the kernel, which has loaded nbdag by itself.
    nb.run(0, 1, 2, 3)
    for n in (1, 2, 3):
        badge(nb, n, "success")
    assert "90" in code(nb, 3).locator(".jp-OutputArea-output").inner_text()

    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    page.wait_for_selector(".nbdag-side .nbdag-shown-run:has-text('success')")
    for task in ("rows", "doubled", "total"):
        nb.box(task, "success")
    assert saved(nb.path)[2:5] == [
        "%%task rows\n" + CELLS[2],
        "%%task doubled\n" + CELLS[3],
        "%%task total\n" + CELLS[4],
    ]

    # Broken: the problem is at its line, the task is stale before anything is saved, and a run is refused.
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nlost = missing")
    badge(nb, 2, "stale")
    assert "no cell above sets missing" in code(nb, 2).locator(".nbdag-cell-problems").inner_text()
    assert code(nb, 2).locator(".nbdag-line-error").inner_text() == "lost = missing"
    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    page.wait_for_selector(".nbdag-notice:has-text('cannot run')")

    # Broken at run time: the run fails, and shows where.
    page.keyboard.press("Control+End")
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in "missing":
        page.keyboard.press("Backspace")
    page.keyboard.type("1 / 0")
    code(nb, 2).locator(".nbdag-cell-problems").wait_for(state="detached")
    page.locator(".nbdag-side").get_by_role("button", name="Run all").click()
    nb.box("doubled", "failed")
    nb.box("total", "upstream_failed").click()
    nb.box("doubled").click()
    page.wait_for_selector(".nbdag-panel .nbdag-error:has-text('ZeroDivisionError')")
    page.locator(".nbdag-side").get_by_role("button", name="Close", exact=True).click()

    # Repaired, with a schedule from the form of the pipeline.
    code(nb, 2).locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.locator(".nbdag-dag-section > summary").click()
    schedule = field(nb, "schedule")
    schedule.fill("@once")
    schedule.press("Enter")
    page.wait_for_selector(".jp-CodeCell:has-text('%dag --schedule @once')")
    page.locator(".nbdag-side").get_by_role("button", name="Deploy").click()
    nb.page.locator(".nbdag-notice", has_text="A run has begun elsewhere").get_by_role("button", name="Show it").click()
    page.wait_for_selector(".nbdag-side .nbdag-shown-run:has-text('success')")
    nb.box("total", "success")

    other = context.new_page()
    other.goto(f"{server.url}/nbdag/?token={server.token}")
    other.wait_for_selector(f"tr[data-dag={nb.path.stem}] .pg-bar.nbdag-is-success >> nth=1")
    other.close()
    assert nb.errors == []
