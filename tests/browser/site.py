"""A Jupyter server with nbdag's page, without JupyterLab, and pages that record what goes wrong in them.

The server's base URL is not `/`, and the page's Content-Security-Policy holds, unlike in the tests of the widget.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patience import LONG
from warm import WarmCommands

BASE_URL = "/of/ada/"
EXTENSION = ("jupyter_server", "--ServerApp.jpserver_extensions={'nbdag.server': True}")  # as in JupyterLab
PAGE = ("nbdag", "ui")  # a server with only nbdag
# Only these violations leave the page: the whole report has a megabyte.
_AXE = """async ([context, options]) => (await axe.run(context, options)).violations
  .filter((each) => ['serious', 'critical'].includes(each.impact))
  .map((each) => [each.id, each.nodes.map((node) => node.html.slice(0, 300))])"""
_QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass
class Site:
    """A server with a folder of notebooks."""

    folder: Path
    port: int
    token: str
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    warm: WarmCommands | None = None  # forks the commands; without it each is a new process of Python
    base_url: str = BASE_URL
    page: Any = None  # the page of the last visit, at about:blank: the next visit need not compile the scripts again

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}{self.base_url}nbdag"

    def write(self, name: str, *cells: str) -> Path:
        """Write a notebook of these code cells."""
        path = self.folder / f"{name}.ipynb"
        written = [
            {"cell_type": "code", "id": f"{name}{n}", "metadata": {}, "source": cell, "execution_count": None, "outputs": []}
            for n, cell in enumerate(cells)
        ]  # fmt: skip
        path.write_text(json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    def nbdag(self, *words: str) -> str:
        """Run an nbdag command, and return what it prints."""
        command = [sys.executable, "-m", "nbdag", *words]
        if self.warm is not None:
            done = self.warm(words, cwd=self.folder, env=self.environment, timeout=LONG)
        else:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start a scheduler in a process of its own, which ends with the server."""
        command = [sys.executable, "-m", "nbdag", "scheduler"]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **_QUIET)
        self.processes.append(process)
        return process

    def ask(self, resource: str) -> Any:
        """Return the answer of the API."""
        request = urllib.request.Request(f"{self.url}/api/{resource}", headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=LONG) as answer:
            return json.load(answer)

    def close(self) -> None:
        """Close the page, and stop the server and its schedulers."""
        if self.page is not None:
            self.page.context.close()
        for each in reversed(self.processes):
            each.terminate()
        for each in self.processes:
            try:
                each.wait(30)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


@contextlib.contextmanager
def served(runtime: Path, port: int, program: Sequence[str] = EXTENSION) -> Iterator[Site]:
    """Start a server in a new folder, with fork servers in `runtime`; stop it and its schedulers at the end."""
    with tempfile.TemporaryDirectory(prefix="nbdag-page-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        folder, token = root / "work", secrets.token_hex(8)
        folder.mkdir()
        environment = os.environ | {
            "JUPYTER_CONFIG_DIR": str(root / "config"),
            "JUPYTER_DATA_DIR": str(root / "data"),
            "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
            "IPYTHONDIR": str(root / "ipython"),
            "NBDAG_HOME": str(folder / ".nbdag"),
            "NBDAG_RUNTIME_DIR": str(runtime),
        }
        environment.pop("JPY_SESSION_NAME", None)
        command = [
            sys.executable, "-m", *program, "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
            "--ServerApp.port_retries=0", f"--ServerApp.base_url={BASE_URL}",
            f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        ]  # fmt: skip
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        site = Site(folder, port, token, environment, [process])
        try:
            _wait_for_answer(site, process, root / "log")
            yield site
        finally:
            site.close()


def _wait_for_answer(site: Site, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LONG
    while True:
        try:
            site.ask("dags")
            return
        except urllib.error.HTTPError as error:
            raise AssertionError(f"the extension does not answer ({error}): {log.read_text()}") from None
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"Jupyter did not start: {log.read_text()}") from None
            time.sleep(0.1)  # the port is the only sign of readiness


@dataclass
class Visit:
    """A page of the site in a browser."""

    site: Site
    page: Any
    errors: list[str] = field(default_factory=list)  # from the console, and exceptions

    def record(self, message: Any) -> None:
        """Record an error of the console."""
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url', '')}")

    def record_exception(self, error: Any) -> None:
        """Record an exception that the page did not catch."""
        self.errors.append(str(error))

    def open(self, place: str) -> None:
        """Load the page at a place such as `/dags/churn/grid`."""
        self.page.goto(self.site.url + place)

    def serious_violations(self) -> list[Any]:
        """Return what axe-core reports as serious or critical."""
        return serious_violations(self.page, "body")

    def unreadable_in_the_dark(self) -> list[Any]:
        """Return what axe-core reports about the contrast of colours in dark mode, and return to light mode."""
        self.page.emulate_media(color_scheme="dark")
        found = serious_violations(self.page, "body", "color-contrast")
        self.page.emulate_media(color_scheme="light")
        return found

    def overflows(self) -> list[str]:
        """Return the controls that are cut off at the side of the window."""
        return self.page.evaluate(
            "() => [...document.querySelectorAll('.pg-top *, .pg-head *, main button, dialog button')].filter((e) => {"
            " const b = e.getBoundingClientRect();"
            " if (!b.width || e.closest('.pg-scroll, .pg-grid, .pg-year, .pg-queue, .pg-lineage, .nbdag-frame')) return false;"
            " return b.right > innerWidth + 1 || b.left < -1 }).map((e) => e.outerHTML.slice(0, 120))"
        )


def serious_violations(page: Any, context: str, *rules: str) -> list[Any]:
    """Return what axe-core reports as serious or critical; by these rules, or by all.

    Of all rules, only `color-contrast` depends on the theme, so the second theme of a view needs no other rule.
    """
    from axe_playwright_python.base import AXE_SCRIPT

    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    return page.evaluate(_AXE, [context, options])


@contextlib.contextmanager
def visited(browser: Any, site: Site, *, width: int = 1400, height: int = 900, scale: float = 1) -> Iterator[Visit]:
    """Open a signed-in page at the list of pipelines.

    Visits share a page, which stores nothing from one visit to the next, unless a test fails or wants another scale.
    """
    page, site.page = site.page, None
    if page is None or scale != 1:
        page = _new_page(browser, scale)
    page.set_viewport_size({"width": width, "height": height})
    visit = Visit(site, page)
    page.on("console", visit.record)
    page.on("pageerror", visit.record_exception)
    page.goto(f"{site.url}/?token={site.token}")
    try:
        yield visit
    except BaseException:
        page.context.close()
        raise
    if scale != 1:
        page.context.close()
        return
    page.remove_listener("console", visit.record)
    page.remove_listener("pageerror", visit.record_exception)
    page.unroute_all()
    page.context.set_offline(False)
    page.emulate_media(color_scheme="light")
    page.evaluate("() => { localStorage.clear(); sessionStorage.clear() }")
    page.goto("about:blank")
    site.page = page


def _new_page(browser: Any, scale: float) -> Any:
    context = browser.new_context(
        color_scheme="light", device_scale_factor=scale, timezone_id="Europe/Berlin", locale="en-US"
    )
    context.set_default_timeout(LONG * 1000)
    return context.new_page()
