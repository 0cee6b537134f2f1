"""The front end on a bare page: a notebook's page and kernel are pretended, so that what it does itself can be seen alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbdag import notebooks
from nbdag.frontend.graph import picture
from nbdag.frontend.messages import Message, Picture, TaskStatus
from nbdag.frontend.widget import BUNDLE

URL = "http://nbdag.test/"
WAIT = 90_000.0  # milliseconds: longer than anything here takes on a slow machine
# A model as anywidget gives one; `told` are its listeners, as a leak would make them grow.
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>nbdag</title>
<link rel="stylesheet" href="widget.css"></head><body><script type="module">
import widget from './widget.js'
// Once the next frame is drawn.
const painted = () => new Promise((done) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = done
  port2.postMessage(0)
}))
const listeners = new Set(), sent = []
function begin(text) {
  const { picture, initial_state } = JSON.parse(text)
  const state = { picture, initial_state, identity: 'bare', _model_module_version: '0' }
  const model = {
    get: (name) => state[name], send: (said) => sent.push(said),
    on: (_, call) => listeners.add(call), off: (_, call) => listeners.delete(call),
  }
  const dispose = widget.initialize({ model })
  return { model, dispose }
}
let kernel
window.bare = {
  listeners, sent, painted,
  async begin(text) {
    await painted()
    const start = performance.now()
    kernel = begin(text)
    this.show()
    await painted()
    return performance.now() - start
  },
  views: [],
  show() {
    const el = document.body.appendChild(document.createElement('div'))
    const close = widget.render({ model: kernel.model, el })
    this.views.push(() => { close(); el.remove() })
  },
  closeView() { this.views.pop()() },
  receive(message) { for (const call of [...listeners]) call(message) },
  async change(message) {
    await painted()
    const start = performance.now()
    this.receive(message)
    await painted()
    return performance.now() - start
  },
  end() { while (this.views.length) this.closeView(); kernel.dispose() },
}
</script></body></html>"""


class Bare:
    """One page, and what Chromium says of it."""

    def __init__(self, browser: Any, *, width: int = 1200, height: int = 900) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(WAIT)
        self.fetched: list[str] = []  # what has left the page; what its policy keeps back has not
        self.page.route("**/*", self._answer)
        self.page.goto(URL)
        self.page.wait_for_function("window.bare")
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable")
        self._number = 0

    def close(self) -> None:
        self.page.close()

    def begin(self, drawn: Picture, *, actions: Sequence[str] = ("all", "cancel")) -> float:
        """Give it a picture; the milliseconds until that is drawn."""
        state = {"number": 0, "session": {}, "runs": [], "actions": list(actions)}
        text = json.dumps({"picture": drawn, "initial_state": state})
        return float(self.page.evaluate("(text) => bare.begin(text)", text))

    def receive(self, message: Message) -> None:
        """Tell it something."""
        self.page.evaluate("(message) => bare.receive(message)", message)

    def change(self, tasks: dict[str, TaskStatus], run: str = "") -> float:
        """Move tasks; the milliseconds until that is drawn."""
        self._number += 1
        message = {"kind": "change", "number": self._number, "run": run, "tasks": tasks, "summary": None}
        return float(self.page.evaluate("(message) => bare.change(message)", message))

    def metrics(self) -> dict[str, float]:
        """Chromium's own count: nodes, listeners, bytes of the heap, seconds that the page's thread was busy."""
        told = self._devtools.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in told}

    def settled(self) -> dict[str, float]:
        """Return Chromium's count once frames and effects that are under way change it no more."""
        last: dict[str, float] = {}
        while True:
            self.page.evaluate("async () => { for (let n = 0; n < 10; n += 1) await bare.painted() }")
            self.collect_garbage()
            now = self.metrics()
            if all(now[each] == last.get(each) for each in ("Nodes", "JSEventListeners")):
                return now
            last = now

    def collect_garbage(self) -> None:
        for _ in range(3):  # what is let go of by one round is found by the next
            self._devtools.send("HeapProfiler.collectGarbage")

    def _answer(self, route: Any) -> None:
        self.fetched.append(route.request.url)
        name = route.request.url.removeprefix(URL)
        if name in ("widget.js", "widget.css"):
            route.fulfill(path=Path(BUNDLE) / name)
        elif name == "":
            route.fulfill(body=_PAGE, content_type="text/html")
        else:
            route.fulfill(status=404)


def broad_cells(tasks: int, width: int = 20) -> list[str]:
    """A notebook of so many tasks, `width` beside one another, each after two of those above it."""
    cells = ["%dag broad"]
    for n in range(tasks):
        reads = f"x{n - width} + x{n - width + 1}" if n >= width else "1"
        cells.append(f"%%task step_{n}\nx{n} = {reads}")
    return cells


def drawn(cells: Sequence[str]) -> Picture:
    """The picture of a notebook."""
    told = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "execution_count": None, "outputs": []}
        for n, source in enumerate(cells)
    ]
    book = {"cells": told, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return picture(notebooks.read_text(json.dumps(book).encode(), name="notebook.ipynb"))
