"""Binder: the folder `binder/` makes an environment with the examples, the page and a scheduler."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import LONG, until

ROOT = Path(__file__).parents[2]
NOT_CLONED = (".git", ".venv", ".nbdag", ".*_cache", "__pycache__", "node_modules", "dist", "labextensions")
TOKEN = "a-token-of-the-tests"


class Binder:
    """A server that Binder's start script has started."""

    def __init__(self, repository: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = repository / "server.log"
        command = ["jupyter", "lab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"]
        options = [f"--IdentityProvider.token={TOKEN}", "--ServerApp.base_url=/user/ada/"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(repository / "binder" / "start"), *command, *options],
                cwd=repository,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[str, bytes]:
        """Return the URL and the body of the answer; ("", b"") if the server does not answer yet."""
        assert self.process.poll() is None, self.log.read_text()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/user/ada/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=LONG) as answer:
                return answer.url, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        except OSError:
            return "", b""

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self.ask(method, f"nbdag/api/{path}", body)[1] or b"null")

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(LONG)
        until(lambda: not _lives(self.process.pid), "the scheduler has ended")


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _share_bytecode(venv: Path) -> None:
    """Give an environment the bytecode of this one, because to compile JupyterLab and pandas takes seconds.

    Python uses it only for sources with the same time and size, such as uv's links.
    """
    ours = Path(sysconfig.get_path("purelib"))
    theirs = venv / ours.relative_to(sys.prefix)
    for folder in ours.rglob("__pycache__"):
        there = theirs / folder.relative_to(ours)
        if there.parent.is_dir() and not there.exists():
            shutil.copytree(folder, there, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the environment is in another file system
        shutil.copy2(source, target)


@pytest.fixture
def binder(tmp_path: Path) -> Iterator[Binder]:
    """Build the environment as repo2docker does, but by uv, from a copy of the repository without what git ignores."""
    repository, venv = tmp_path / "repository", tmp_path / "venv"
    shutil.copytree(ROOT, repository, ignore=shutil.ignore_patterns(*NOT_CLONED))
    uv = [sys.executable, "-m", "uv"]  # it takes a tenth of the processor time of pip
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    hidden = ("NBDAG_HOME", "NBDAG_DB_URL", "PYTHONPATH", "VIRTUAL_ENV", "JPY_SESSION_NAME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    install = [*uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    done = subprocess.run(
        [*install, "-r", "binder/requirements.txt"], cwd=repository, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    _share_bytecode(venv)
    started = Binder(repository, environment)
    yield started
    started.end()


@pytest.mark.slow
def test_binder_opens_the_quickstart_with_the_page_and_a_scheduler(binder: Binder) -> None:
    first, _ = until(lambda: found if (found := binder.ask("GET", ""))[0] else None, "the server answers")
    assert urllib.parse.urlsplit(first).path == "/user/ada/lab/tree/notebooks/quickstart.ipynb"
    _, page = binder.ask("GET", "nbdag/")
    assert b"/user/ada/nbdag/static/page.js" in page
    assert len(binder.ask("GET", "nbdag/static/page.js")[1]) > 1_000
    _, lab = binder.ask("GET", "lab")
    (config,) = re.findall(r'(?s)<script id="jupyter-config-data" type="application/json">(.*?)</script>', lab.decode())
    assert "nbdag" in [each["name"] for each in json.loads(config)["federated_extensions"]]
    until(lambda: [each["alive"] for each in binder.api("GET", "scheduler")["processes"]] == [True], "a scheduler runs")
    assert binder.api("POST", "dags", {"path": "notebooks/quickstart.ipynb"})["id"] == "diabetes"
    run = binder.api("POST", "dags/diabetes/trigger", {"parameters": {"folds": 2}})["id"]

    def state() -> str:
        found: str = binder.api("GET", f"dags/diabetes/runs/{run}")["run"]["state"]
        return found

    until(lambda: state() not in ("queued", "running"), "the scheduler has executed the run")
    assert state() == "success"
