"""Fixtures for tests with a real browser, a real Jupyter server and real kernels.

Without Chromium these tests are skipped, or fail if NBDAG_REQUIRE_BROWSER is set. All tests of a process share one
server, and one browser with one cache; each test has its own notebook, kernel and page.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from patience import LONG
from warm import WarmCommands

from .bare import Bare
from .site import Site, served

UI = Path(__file__).parents[2] / "nbdag" / "frontend" / "ui"
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
# A script that each page runs first: it records the size and the time of each comm message.
NOTES = """
window.wire = []
const Plain = window.WebSocket
window.WebSocket = class extends Plain {
  constructor(...words) {
    super(...words)
    this.addEventListener('message', (event) => {
      const at = performance.now()
      const note = (text, size) => { if (text.includes('comm_')) window.wire.push({ at, size, text: text.slice(0, 4000) }) }
      if (typeof event.data === 'string') note(event.data, event.data.length)
      else {
        const buffer = event.data instanceof Blob ? event.data.arrayBuffer() : Promise.resolve(event.data)
        buffer.then((bytes) => note(new TextDecoder().decode(bytes), bytes.byteLength))
      }
    })
  }
}
"""
PAGE_CONFIG = {  # what no test uses costs a second of processor time per page, and a search for Node.js
    "buildAvailable": False,
    "buildCheck": False,
    "disabledExtensions": {
        f"@jupyterlab/{name}-extension": True
        for name in ("csvviewer", "debugger", "extensionmanager", "htmlviewer", "mermaid", "pluginmanager", "vega5")
    },
}  # fmt: skip
_PROMPT = "document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n].querySelector('.jp-InputPrompt').innerText"
_HARMLESS = re.compile(  # messages of the pages themselves; Notebook 7 always logs the last two
    r"favicon|websocket.*(clos|suspend)|Connection lost|Failed to load resource.*(workspaces|404)|ResizeObserver loop"
    r"|^(Error: )?Disposed$"  # JupyterLab logs it when the notebook of an earlier test is closed while it is saved
    r"|reading 'schema'|'filebrowser:open-path' not registered",
    re.I,
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test of this folder as slow. pytest does not call this hook for tests of other folders."""
    item.add_marker(pytest.mark.slow)


def chromium() -> str | None:
    """Return the path of Chromium, or None."""
    named = os.environ.get("NBDAG_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@dataclass
class Server:
    """A Jupyter server with JupyterLab and Notebook 7."""

    folder: Path
    url: str
    token: str
    home: Path
    environment: dict[str, str]

    def set(self, plugin: str, **values: Any) -> None:
        """Change settings of a JupyterLab plugin through the API of its settings page."""
        request = urllib.request.Request(
            f"{self.url}/lab/api/settings/{plugin}?token={self.token}",
            data=json.dumps({"raw": json.dumps(values)}).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=LONG):
            pass

    def is_connected(self, notebook: str) -> bool:
        """Return whether a page is connected to an idle kernel of this notebook."""
        with urllib.request.urlopen(f"{self.url}/api/sessions?token={self.token}", timeout=LONG) as answer:
            kernels = [each["kernel"] for each in json.load(answer) if each["path"] == notebook]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def end_kernels(self) -> None:
        """End the kernels of all notebooks."""
        with urllib.request.urlopen(f"{self.url}/api/sessions?token={self.token}", timeout=LONG) as answer:
            sessions = [each["id"] for each in json.load(answer)]
        for each in sessions:
            ended = urllib.request.Request(f"{self.url}/api/sessions/{each}?token={self.token}", method="DELETE")
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(ended, timeout=LONG):
                pass

    def nbdag(self, *words: str) -> subprocess.Popen[bytes]:
        """Start an nbdag command in a process of its own."""
        command = [sys.executable, "-m", "nbdag", *words]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **quiet)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium."""
    program = chromium()
    if program is None:
        missing = "no Chromium found; install it (apt-get install chromium) or set NBDAG_CHROMIUM to its path"
        if os.environ.get("NBDAG_REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    pytest.importorskip("playwright.sync_api")
    with launched(program) as started:
        yield started


@contextlib.contextmanager
def launched(program: str) -> Iterator[Any]:
    """Start this Chromium; close it at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS), timeout=LONG * 1000)
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(browser: Any, runtime: Path) -> Iterator[Server]:
    """A server for all tests of this process; it is not started where there is no browser."""
    with jupyter(runtime) as started:
        yield started


@contextlib.contextmanager
def jupyter(runtime: Path) -> Iterator[Server]:
    """Start a Jupyter server in a new folder, with fork servers in `runtime`; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="nbdag-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        work, home, token = root / "work", root / "home", secrets.token_hex(8)
        work.mkdir()
        (root / "config" / "labconfig").mkdir(parents=True)
        (root / "config" / "labconfig" / "page_config.json").write_text(json.dumps(PAGE_CONFIG))
        port = free_port()
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
            "IPYTHONDIR": str(root / "ipython"),
            "JUPYTER_PATH": str(UI),  # JupyterLab takes the extension that was built last, installed or not
            "NBDAG_HOME": str(home),
            "NBDAG_RUNTIME_DIR": str(runtime),
        }
        environment.pop("JPY_SESSION_NAME", None)
        command = [
            sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
            "--ServerApp.port_retries=0", "--LabApp.expose_app_in_browser=True",
            "--KernelProvisionerFactory.default_provisioner_name=nbdag-fork",  # a kernel in 0.1 s instead of 1 s
            f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={work}",
        ]  # fmt: skip
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        found = Server(work, f"http://127.0.0.1:{port}", token, home, environment)
        try:
            _wait_for_answer(found, process, root / "log")
            found.set("@jupyterlab/apputils-extension:notification", fetchNews="false", checkForUpdates=False)
            yield found
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def site(browser: Any, runtime: Path, warm_commands: WarmCommands) -> Iterator[Site]:
    """A server with nbdag's page alone, for the tests of a module."""
    with served(runtime, free_port()) as started:
        started.warm = warm_commands
        yield started


def free_port() -> int:
    """Return a free port outside the ephemeral range, from which a starting kernel could take it."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def _wait_for_answer(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LONG
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/api/status?token={server.token}", timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Jupyter did not start: {log.read_text()}") from None
            time.sleep(0.1)  # the port is the only sign of readiness


@dataclass
class Notebook:
    """A notebook open in a page."""

    page: Any
    path: Path
    errors: list[str] = field(default_factory=list)  # from the page's console

    def run(self, *cells: int) -> None:
        """Execute these cells with Shift-Enter, and wait for each."""
        for n in cells:
            cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(n)
            before = cell.locator(".jp-InputPrompt").inner_text()
            prompt = before
            while prompt == before:  # a page that is still loading ignores keys
                if not cell.locator(".jp-InputPrompt").is_visible():  # JupyterLab hides cells that are scrolled away
                    self.page.evaluate("(n) => window.jupyterapp?.shell.currentWidget.content.scrollToItem(n)", n)
                cell.locator(".jp-InputPrompt").click()
                self.page.keyboard.press("Shift+Enter")
                with contextlib.suppress(_timeout_error()):
                    self.page.wait_for_function(f"([n, before]) => {_PROMPT} !== before", arg=[n, before], timeout=5000)
                prompt = cell.locator(".jp-InputPrompt").inner_text()
            self.page.wait_for_function(f"(n) => /\\d/.test({_PROMPT})", arg=n)

    def open_graph(self) -> None:
        """Execute the first two cells, which load nbdag and display the graph."""
        self.run(0, 1)
        self.page.wait_for_selector(".nbdag-box")

    def box(self, task: str, state: str | None = None, label: str = "") -> Any:
        """Return a task's box once it has this state, and a label that contains this text."""
        selector = f"[data-state={state}]" if state else ""
        if label:
            selector += f'[aria-label*="{label}"]'
        return self.page.wait_for_selector(f'.nbdag-box[data-id="{task}"]{selector}')

    def button(self, name: str) -> Any:
        return self.page.locator(".nbdag-app").get_by_role("button", name=name, exact=True)

    def edit(self, n: int, source: str) -> None:
        """Replace the source of a cell."""
        self.page.locator(".jp-Notebook .jp-CodeCell").nth(n).locator(".cm-content").fill(source)
        self.page.keyboard.press("Escape")


@pytest.fixture(scope="session")
def context(browser: Any) -> Iterator[Any]:
    """Return a browser context with a cache for all pages, so that JupyterLab is loaded and compiled once."""
    shared = browser.new_context(bypass_csp=True)
    shared.set_default_timeout(LONG * 1000)
    shared.add_init_script(NOTES)
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def empty_page(browser: Any) -> Iterator[Bare]:
    """Yield the page without a notebook that tests share."""
    shared = Bare(browser)
    yield shared
    shared.close()


@pytest.fixture
def bare(empty_page: Bare) -> Bare:
    """Return a page without a notebook, in the state in which it was loaded."""
    empty_page.load()
    return empty_page


class Lab:
    """One page with JupyterLab for many tests, because loading it takes seconds of processor time."""

    def __init__(self, context: Any, server: Server) -> None:
        self._context, self._server = context, server
        self._page: Any = None

    def opened(self, name: str) -> Any:
        """Open a notebook in the page, with no other document, and return the page."""
        if self._page is not None and self._page.locator(".jp-Dialog").count():
            self.close()
        self.execute("docmanager:open", path=name, factory="Notebook")
        return self._page

    def execute(self, command: str, **arguments: Any) -> None:
        """Execute a command of JupyterLab."""
        if self._page is None:
            self._page = self._context.new_page()
            self._page.goto(f"{self._server.url}/lab?reset&token={self._server.token}")
            self._wait()
        self._page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
            [command, arguments],
        )

    def reload(self) -> None:
        """Load the page again."""
        self._page.reload()
        self._wait()

    def clear(self) -> None:
        """Close all documents without saving them and all notifications; show the side panels of a new page."""
        if self._page is not None:
            self._page.evaluate(
                """() => {
                  const { commands, shell } = window.jupyterapp
                  for (const each of [...shell.widgets('main')]) each.dispose()
                  // Without an id all are dismissed. Their own time stands still while another page has the focus.
                  commands.execute('apputils:dismiss-notification')
                  shell.collapseRight()
                  shell.activateById('filebrowser')
                }"""
            )

    def close(self) -> None:
        """Close the page; the next notebook gets another one."""
        if self._page is not None:
            self._page.close()
            self._page = None

    def _wait(self) -> None:
        self._page.wait_for_function("() => window.jupyterapp")
        self._page.evaluate("() => window.jupyterapp.restored.then(() => null)")


class Notebook7:
    """One page with Notebook 7 for many tests: a page that loads it again does so in half the processor time."""

    def __init__(self, context: Any, server: Server) -> None:
        self._context, self._server = context, server
        self._page: Any = None

    def opened(self, name: str) -> Any:
        """Open a notebook in the page, and return the page."""
        if self._page is None:
            self._page = self._context.new_page()
        self._page.goto(f"{self._server.url}/notebooks/{name}?token={self._server.token}")
        return self._page

    def reload(self) -> None:
        """Load the page again."""
        self._page.reload()

    def clear(self) -> None:
        """Leave the notebook without saving it."""
        if self._page is not None:
            self._page.goto("about:blank")

    def close(self) -> None:
        """Close the page; the next notebook gets another one."""
        if self._page is not None:
            self._page.close()
            self._page = None


@pytest.fixture(scope="session")
def lab(context: Any, server: Server) -> Iterator[Lab]:
    """Yield the page with JupyterLab that tests share."""
    shared = Lab(context, server)
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def notebook_7(context: Any, server: Server) -> Iterator[Notebook7]:
    """Yield the page with Notebook 7 that tests share."""
    shared = Notebook7(context, server)
    yield shared
    shared.close()


@pytest.fixture
def shown(
    server: Server, lab: Lab, notebook_7: Notebook7, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Return a function that writes a notebook of these cells and opens it in the page of `lab` or `notebook`.

    Tests share both pages. A page is not used again after a failed test.
    """
    listeners = []
    before = request.session.testsfailed

    def opened(prefix: str, cells: Sequence[str], at: str, width: int, height: int) -> Notebook:
        path = server.folder / f"{prefix}_{secrets.token_hex(4)}.ipynb"
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        book = {"cells": [_cell(f"c{n}", each) for n, each in enumerate(cells)], "metadata": {"kernelspec": kernel}}
        path.write_text(json.dumps({**book, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
        host = lab if at == "lab" else notebook_7
        page = host.opened(path.name)
        page.set_viewport_size({"width": width, "height": height})
        found = Notebook(page, path)

        def on_console(message: Any) -> None:
            if message.type == "error":
                record(found, message.text)

        def on_error(error: Any) -> None:
            record(found, str(error))

        page.on("console", on_console)
        page.on("pageerror", on_error)
        listeners.extend([(page, "console", on_console), (page, "pageerror", on_error)])
        wait_for_kernel(found, server)
        return found

    yield opened
    for page, event, listener in listeners:
        page.remove_listener(event, listener)
    for host in (lab, notebook_7):
        host.close() if request.session.testsfailed > before else host.clear()
    server.end_kernels()


def _cell(id: str, source: str) -> dict[str, Any]:
    cell = {"id": id, "metadata": {}, "source": source}
    if source.startswith("# "):
        return {**cell, "cell_type": "markdown"}
    return {**cell, "cell_type": "code", "execution_count": None, "outputs": []}


@pytest.fixture
def notebook(shown: Callable[..., Notebook]) -> Callable[..., Notebook]:
    """Return a function that opens a notebook whose first cells load nbdag and display the graph."""

    def opened(*cells: str, at: str = "lab", width: int = 1300, height: int = 1000) -> Notebook:
        return shown("nb", ("%load_ext nbdag", "%dag", *cells), at, width, height)

    return opened


def _timeout_error() -> type[Exception]:
    from playwright.sync_api import TimeoutError

    return TimeoutError


def show(notebook: Notebook, server: Server, at: str) -> None:
    """Open the notebook in its page, and wait for its kernel."""
    where = f"lab/tree/{notebook.path.name}?reset&" if at == "lab" else f"notebooks/{notebook.path.name}?"
    notebook.page.goto(f"{server.url}/{where}token={server.token}")
    wait_for_kernel(notebook, server)


def wait_for_kernel(notebook: Notebook, server: Server) -> None:
    """Wait until the page shows the notebook and is connected to its kernel."""
    notebook.page.wait_for_selector(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
    # A cell executed before the page is connected to its kernel is lost: JupyterLab shows it as running forever.
    deadline = time.monotonic() + LONG
    while not server.is_connected(notebook.path.name):
        assert time.monotonic() < deadline, "the page has not connected to its kernel"
        notebook.page.wait_for_timeout(100)
    notebook.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")


def record(notebook: Notebook, text: str) -> None:
    """Record an error of the console, unless the pages themselves always log it."""
    if not _HARMLESS.search(text):
        notebook.errors.append(text)
