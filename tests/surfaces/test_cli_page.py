"""`nbdag ui` and `nbdag up`: a server of the page, alone or with a scheduler; both end when they are asked to."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from patience import LONG, is_gone, until

from nbdag import runs
from nbdag.cli import main
from nbdag.home import Home
from nbdag.testing import InProcessExecutor

from .conftest import CommandLine

TOKEN = "a-token-of-the-tests"
FLAGS = ["--no-browser", "--allow-root", f"--IdentityProvider.token={TOKEN}", "--ServerApp.base_url=/of/me"]
WAITING = "%%task wait\nimport pathlib, time\npathlib.Path('begun').touch()\nwhile not pathlib.Path('end').exists():\n    time.sleep(0.02)"


class Page:
    """A command that serves the page, with its port."""

    def __init__(self, nbdag: CommandLine, command: str, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = nbdag.folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                nbdag.command(command, *words, *FLAGS, f"--port={self.port}"),
                cwd=nbdag.folder,
                env=nbdag.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def status(self, path: str, *, token: str = TOKEN) -> int:
        """Return the status of an answer; 0 without an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/of/me/{path}")
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=LONG) as found:
                return int(found.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.status("nbdag/") == 200

    def scheduler(self) -> psutil.Process | None:
        """Return the scheduler, once it runs."""
        children = psutil.Process(self.process.pid).children()
        return next((each for each in children if "scheduler" in each.cmdline()), None)

    def ask_to_end(self) -> None:
        self.process.send_signal(signal.SIGINT)


@pytest.fixture
def serve(lone_nbdag: CommandLine) -> Iterator[Callable[..., Page]]:
    started: list[Page] = []

    def serve(command: str, *words: str) -> Page:
        started.append(Page(lone_nbdag, command, *words))
        return started[-1]

    yield serve
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_ui_serves_the_page_to_who_knows_the_token_until_ctrl_c(
    serve: Callable[..., Page], lone_nbdag: CommandLine
) -> None:
    page = serve("ui")
    until(page.is_up, "the page answers")
    assert (page.status("nbdag/api/dags"), page.status("nbdag/api/openapi.json")) == (200, 200)
    assert (page.status("nbdag/api/dags", token=""), page.status("nbdag/api/dags", token="wrong")) == (403, 403)
    assert page.scheduler() is None
    page.ask_to_end()
    assert page.process.wait(LONG) == 0
    assert lone_nbdag.processes() == []


@pytest.mark.slow
def test_up_ends_once_the_running_tasks_have_ended(
    serve: Callable[..., Page], lone_nbdag: CommandLine, write_notebook: Callable[..., Path]
) -> None:
    write_notebook("%dag nb", WAITING)
    page = serve("up", "--jobs", "1")
    until(page.is_up, "the page answers")
    assert lone_nbdag("deploy", "nb.ipynb").returncode == lone_nbdag("trigger", "nb").returncode == 0
    until((lone_nbdag.folder / "begun").exists, "the scheduler executes the run")
    scheduler = page.scheduler()
    assert scheduler is not None
    assert scheduler.environ()["NBDAG_URL"] == f"http://localhost:{page.port}/of/me/nbdag/"
    assert "a scheduler already uses" in lone_nbdag("up", *FLAGS).stderr
    page.ask_to_end()
    until(lambda: "request to stop: waiting for 1 running task" in page.log.read_text(), "the scheduler was asked")
    assert page.status("nbdag/api/runs") == 200  # the page stays until the task has ended
    (lone_nbdag.folder / "end").touch()
    assert page.process.wait(LONG) == 0
    assert '"success"' in lone_nbdag("status", "-o", "json").stdout
    assert lone_nbdag.processes() == []


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_the_scheduler_does_not_outlive_up(
    serve: Callable[..., Page], lone_nbdag: CommandLine, write_notebook: Callable[..., Path], killed: bool
) -> None:
    write_notebook("%dag nb", WAITING)
    page = serve("up", "--jobs", "1")
    until(page.is_up, "the page answers")
    lone_nbdag("deploy", "nb.ipynb")
    lone_nbdag("trigger", "nb")
    until((lone_nbdag.folder / "begun").exists, "the scheduler executes the run")
    scheduler = page.scheduler()
    assert scheduler is not None
    if killed:
        page.process.kill()
        page.process.wait()
        (lone_nbdag.folder / "end").touch()
        until(lambda: is_gone(scheduler.pid), "the scheduler has ended by itself")
        assert "request to stop" in page.log.read_text()
    else:
        page.ask_to_end()
        until(lambda: "request to stop" in page.log.read_text(), "the first request was heard")
        page.ask_to_end()
        assert page.process.wait(LONG) == 0
        assert "second request to stop" in page.log.read_text()
    until(lambda: lone_nbdag.processes() == [], "no process is left")


@pytest.mark.slow
def test_up_ends_with_an_error_if_its_scheduler_does(serve: Callable[..., Page]) -> None:
    page = serve("up")
    until(page.scheduler, "the scheduler runs").kill()
    assert page.process.wait(LONG) != 0


def test_the_unit_of_up_opens_no_browser(nbdag: CommandLine) -> None:
    text = nbdag("up", "--print-unit", "systemd", "--jobs", 4, "--port=9000").stdout
    assert '"-m" "nbdag" "up" "--jobs" "4" "--no-browser" "--port=9000"\n' in text
    assert "nbdag-up.service" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_accepts_the_unit_of_up(nbdag: CommandLine) -> None:
    path = nbdag.folder / "nbdag-up.service"
    path.write_text(nbdag("up", "--print-unit", "systemd", "--jobs", 4).stdout)
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_a_report_is_one_file_with_or_without_code(
    nbdag: CommandLine,
    write_notebook: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("nbdag.executors.local.LocalExecutor", InProcessExecutor)
    run = runs.run(write_notebook("%dag churn", "%%task a\nsecret_sauce = 1"), home=Home(nbdag.home))
    monkeypatch.setenv("NBDAG_HOME", str(nbdag.home))
    monkeypatch.chdir(nbdag.folder)

    def report(*words: str) -> str:
        """Call the command in this process, because nbconvert takes a second or two to import."""
        with contextlib.suppress(SystemExit):
            main(["report", *words])
        return "".join(capsys.readouterr())

    assert report(run.id, "-o", "page.html") == "page.html\n"
    page = (nbdag.folder / "page.html").read_text()
    assert "secret_sauce" in page
    assert "<script" not in page
    assert "<details" not in page
    folded = report(run.id, "--code", "folded", "-o", "-")
    assert "secret_sauce" in folded.partition("<details")[2]
    hidden = report("--code", "hidden", "-o", "-")
    assert run.id in hidden
    assert "secret_sauce" not in hidden
    (nbdag.folder / "page.html").write_text(folded)
    assert report("-o", "page.html") == "page.html\n"
    (nbdag.folder / "report.html").write_text("<!DOCTYPE html><title>mine</title>")
    assert "report.html already exists and was not written by `nbdag report`; choose another file" in report()
    assert (nbdag.folder / "report.html").read_text() == "<!DOCTYPE html><title>mine</title>"
    assert report("--overwrite") == "report.html\n"
    assert run.id in (nbdag.folder / "report.html").read_text()
    assert "unknown run" in report("none", "-o", "other.html")
    assert not (nbdag.folder / "other.html").exists()


def test_root_is_refused_unless_a_flag_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbdag.server import launch

    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(launch.RunsAsRootError, match="pass --allow-root"):
        launch.PageServer(allow_root=False).start()
