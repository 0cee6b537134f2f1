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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from patience import LONG

from .site import Site, served

UI = Path(__file__).parents[2] / "nbdag" / "frontend" / "ui"
WAIT = 90.0  # seconds: longer than any step takes on a slow machine
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
_PROMPT = "document.querySelectorAll('.jp-Notebook .jp-CodeCell')[n].querySelector('.jp-InputPrompt').innerText"
_HARMLESS = re.compile(  # messages of the pages themselves; Notebook 7 always logs the last two
    r"favicon|websocket.*(clos|suspend)|Connection lost|Failed to load resource.*(workspaces|404)|ResizeObserver loop"
    r"|reading 'schema'|'filebrowser:open-path' not registered",
    re.I,
)


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
        with urllib.request.urlopen(request, timeout=WAIT):
            pass

    def is_connected(self, notebook: str) -> bool:
        """Return whether a page is connected to an idle kernel of this notebook."""
        with urllib.request.urlopen(f"{self.url}/api/sessions?token={self.token}", timeout=WAIT) as answer:
            kernels = [each["kernel"] for each in json.load(answer) if each["path"] == notebook]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def end_kernels(self) -> None:
        """End the kernels of all notebooks."""
        with urllib.request.urlopen(f"{self.url}/api/sessions?token={self.token}", timeout=WAIT) as answer:
            sessions = [each["id"] for each in json.load(answer)]
        for each in sessions:
            ended = urllib.request.Request(f"{self.url}/api/sessions/{each}?token={self.token}", method="DELETE")
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(ended, timeout=WAIT):
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
        started = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
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
def site(browser: Any, runtime: Path) -> Iterator[Site]:
    """A server with nbdag's page alone, for the tests of a module."""
    with served(runtime, free_port()) as started:
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

    def box(self, task: str, state: str | None = None) -> Any:
        """Return a task's box once it has this state."""
        selector = f"[data-state={state}]" if state else ""
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
    shared.set_default_timeout(WAIT * 1000)
    shared.add_init_script(NOTES)
    yield shared
    shared.close()


class Lab:
    """One page with JupyterLab for many tests, because loading it takes seconds of processor time."""

    def __init__(self, context: Any, server: Server) -> None:
        self._context, self._server = context, server
        self._page: Any = None

    def opened(self, name: str) -> Any:
        """Open a notebook in the page, alone, and return the page."""
        if self._page is not None and self._page.locator(".jp-Dialog").count():
            self.close()
        self.execute("docmanager:open", path=name, factory="Notebook")
        return self._page

    def execute(self, command: str, **arguments: Any) -> None:
        """Execute a command of JupyterLab."""
        if self._page is None:
            self._page = self._context.new_page()
            self._page.goto(f"{self._server.url}/lab?reset&token={self._server.token}")
            self._page.wait_for_function("() => window.jupyterapp")
            self._page.evaluate("() => window.jupyterapp.restored.then(() => null)")
        self._page.evaluate(
            "([command, args]) => window.jupyterapp.commands.execute(command, args).then(() => null)",
            [command, arguments],
        )

    def clear(self) -> None:
        """Close all documents without saving them, and show the side panels that JupyterLab shows at first."""
        if self._page is not None:
            self._page.evaluate(
                """() => {
                  const shell = window.jupyterapp.shell
                  for (const each of [...shell.widgets('main')]) each.dispose()
                  shell.collapseRight()
                  shell.activateById('filebrowser')
                }"""
            )

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


@pytest.fixture
def notebook(
    context: Any, server: Server, lab: Lab, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """Return a function that writes a notebook and opens it in `lab` or `notebook`.

    JupyterLab's page is shared unless the notebook is opened `alone`. A page is not used again after a failed test.
    """
    pages, listeners = [], []
    before = request.session.testsfailed

    def opened(*cells: str, at: str = "lab", width: int = 1300, height: int = 1000, alone: bool = False) -> Notebook:
        name = f"nb_{secrets.token_hex(4)}"
        written = [
            {
                "cell_type": "code",
                "id": f"c{n}",
                "metadata": {},
                "source": source,
                "execution_count": None,
                "outputs": [],
            }
            for n, source in enumerate(("%load_ext nbdag", "%dag", *cells))
        ]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        book = {"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        path = server.folder / f"{name}.ipynb"
        path.write_text(json.dumps(book), encoding="utf-8")
        shared = at == "lab" and not alone
        if shared:
            page = lab.opened(path.name)
        else:
            page = context.new_page()
            pages.append(page)
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
        if shared:
            wait_for_kernel(found, server)
        else:
            show(found, server, at)
        return found

    yield opened
    for page, event, listener in listeners:
        page.remove_listener(event, listener)
    for page in pages:
        page.close()
    if request.session.testsfailed > before:
        lab.close()
    else:
        lab.clear()
    server.end_kernels()


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
    deadline = time.monotonic() + WAIT
    while not server.is_connected(notebook.path.name):
        assert time.monotonic() < deadline, "the page has not connected to its kernel"
        notebook.page.wait_for_timeout(100)
    notebook.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")


def record(notebook: Notebook, text: str) -> None:
    """Record an error of the console, unless the pages themselves always log it."""
    if not _HARMLESS.search(text):
        notebook.errors.append(text)
