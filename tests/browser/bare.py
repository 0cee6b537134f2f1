"""The front end on a bare page, with a fake kernel and no notebook, so that tests see only its own behaviour."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from patience import LONG

from nbdag import notebooks
from nbdag.frontend.graph import picture
from nbdag.frontend.messages import Message, Picture, TaskStatus
from nbdag.frontend.widget import BUNDLE

URL = "http://nbdag.test/"
# A page with a model like anywidget's. `listeners` grows if the widget leaks.
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>nbdag</title>
<link rel="stylesheet" href="widget.css"></head><body><script type="module">
import widget from './widget.js'
// Wait for the next frame.
const painted = () => new Promise((done) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = done
  port2.postMessage(0)
}))
// Wait until a request, a frame with a script and an idle page have had their turn, all begun after this call. So has
// whatever an output could have begun before.
const later = async () => {
  await new Promise((done) => {
    const image = new Image()
    image.onerror = done
    image.src = 'missing.png'
  })
  const frame = document.createElement('iframe')
  frame.sandbox = 'allow-scripts'
  frame.srcdoc = '<' + 'script>setTimeout(() => parent.postMessage("later", "*"))<' + '/script>'
  const ran = new Promise((done) => addEventListener('message', (event) => event.data === 'later' && done()))
  document.body.append(frame)
  await ran
  frame.remove()
  await painted()
  await new Promise((done) => requestIdleCallback(done))
}
const listeners = new Set(), sent = []
function begin(text) {
  const { picture, initial_state } = JSON.parse(text)
  const state = { picture, initial_state, identity: 'bare', _model_module_version: '0' }
  const model = {
    get: (name) => state[name], send: (request) => sent.push(request),
    on: (_, call) => listeners.add(call), off: (_, call) => listeners.delete(call),
  }
  const dispose = widget.initialize({ model })
  return { model, dispose }
}
let kernel
window.bare = {
  listeners, sent, painted, later,
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
    """A page, with Chromium's metrics of it."""

    def __init__(self, browser: Any) -> None:
        self.page = browser.new_page()
        self.page.set_default_timeout(LONG * 1000)
        self.fetched: list[str] = []  # requests that left the page; its policy blocks others
        self.page.route("**/*", self._answer)
        self._devtools = self.page.context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable")
        self.load()

    def load(self, *, width: int = 1200, height: int = 900) -> None:
        """Load the page without a widget, with a view of this size."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.goto(URL)
        self.page.wait_for_function("window.bare")
        self.fetched.clear()
        self._number = 0

    def close(self) -> None:
        self.page.close()

    def begin(self, drawn: Picture, *, actions: Sequence[str] = ("all", "cancel")) -> float:
        """Open the widget with a picture; return the milliseconds until it is drawn."""
        state = {"number": 0, "session": {}, "runs": [], "actions": list(actions)}
        text = json.dumps({"picture": drawn, "initial_state": state})
        return float(self.page.evaluate("(text) => bare.begin(text)", text))

    def receive(self, message: Message) -> None:
        """Deliver a message to the widget."""
        self.page.evaluate("(message) => bare.receive(message)", message)

    def change(self, tasks: dict[str, TaskStatus], run: str = "") -> float:
        """Change the statuses of tasks; return the milliseconds until they are drawn."""
        self._number += 1
        message = {"kind": "change", "number": self._number, "run": run, "tasks": tasks, "summary": None}
        return float(self.page.evaluate("(message) => bare.change(message)", message))

    def metrics(self) -> dict[str, float]:
        """Return Chromium's metrics: nodes, listeners, heap bytes, busy seconds of the page's thread."""
        found = self._devtools.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    def settled(self) -> dict[str, float]:
        """Return the metrics once pending frames and effects no longer change them."""
        last: dict[str, float] = {}
        for round in itertools.count(1):
            self.page.evaluate("async () => { for (let n = 0; n < 10; n += 1) await bare.painted() }")
            self.collect_garbage()
            now = self.metrics()
            if round >= 3 and all(now[each] == last[each] for each in ("Nodes", "JSEventListeners")):
                break
            last = now
        return now

    def collect_garbage(self) -> None:
        for _ in range(3):  # one round can release objects that only the next collects
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
    """Return the cells of a notebook with this many tasks, in rows of `width`; each depends on two of the row above."""
    cells = ["%dag broad"]
    for n in range(tasks):
        reads = f"x{n - width} + x{n - width + 1}" if n >= width else "1"
        cells.append(f"%%task step_{n}\nx{n} = {reads}")
    return cells


def drawn(cells: Sequence[str]) -> Picture:
    """Return the picture of a notebook."""
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "execution_count": None, "outputs": []}
        for n, source in enumerate(cells)
    ]
    book = {"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return picture(notebooks.read_text(json.dumps(book).encode(), name="notebook.ipynb"))
