"""The graph of a notebook in JupyterLab, as PNG.

The notebook is opened in a real JupyterLab in Chromium, by the helpers of tests/browser. *Run all* in the widget runs
it headlessly, and the picture is taken once every task has succeeded.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from patience import LONG

from tests.browser.conftest import Notebook, chromium, jupyter, launched, show

WIDTH, HEIGHT = 1180, 1400  # of the page, in CSS pixels
SCALE = 1.5  # pixels of the picture for each of them
_ALL_SUCCEEDED = """() => {
  const boxes = [...document.querySelectorAll('.nbdag-box')]
  return boxes.length && boxes.every((box) => box.dataset.state === 'success')
}"""


def widget(notebook: Path, runtime: Path) -> bytes:
    """Return a PNG of the graph that the last code cell of this notebook draws, after a run of all tasks."""
    program = chromium()
    if program is None:
        raise RuntimeError("no Chromium found; install it (apt-get install chromium), or set NBDAG_CHROMIUM")
    with launched(program) as browser, jupyter(runtime) as server:
        copy = Path(shutil.copy(notebook, server.folder))
        server.set("@jupyterlab/notebook-extension:tracker", windowingMode="none")  # every cell is in the page
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE)
        page.set_default_timeout(LONG * 1000)
        opened = Notebook(page, copy)
        show(opened, server, "lab")
        last = page.locator(".jp-Notebook .jp-CodeCell").count() - 1
        opened.run(0, last)
        opened.button("Run all").click()
        page.wait_for_function(_ALL_SUCCEEDED)
        page.mouse.move(0, 0)  # the pointer lights up the button that it is on
        return bytes(page.locator(".nbdag-app").screenshot())
