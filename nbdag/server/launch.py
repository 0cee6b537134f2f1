"""Start a Jupyter server with only nbdag, alone (`nbdag ui`) or together with a scheduler (`nbdag up`).

The server has Jupyter's flags, configuration, authentication and log. A signal ends the server without asking the user,
because no kernels would be lost. The scheduler is a separate process, so that the server and the scheduler cannot slow
down each other. The scheduler gets the address of the page, for links in notifications. It ends by itself if this
process is killed.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit, urlunsplit

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join

from .. import home as homes
from .. import page_urls, runs
from ..errors import NbdagError, error
from .app import NbdagApp

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@error
class SchedulerRunsError(NbdagError):
    """`nbdag up` would start a second scheduler for a SQLite database."""

    pid: int
    home: Path
    template = "a scheduler already uses {home} (process {pid}); use `nbdag ui` to open only the page"


@error
class RunsAsRootError(NbdagError):
    """Jupyter Server refuses to run as root."""

    template = "Jupyter does not run as root by default; use another account, or pass --allow-root"


class PageServer(ServerApp):
    """A Jupyter server that ends at the first signal."""

    def start(self) -> None:
        """Run the server until it ends. Raise `RunsAsRootError` before anything is started."""
        if not self.allow_root and hasattr(os, "geteuid") and os.geteuid() == 0:
            raise RunsAsRootError
        # Exclude the imported modules from garbage collection. Collecting them would delay answers by 0.2 s.
        gc.collect()
        gc.freeze()
        super().start()

    def init_signal(self) -> None:
        """Handle signals."""
        for name in _SIGNALS:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self.on_signal)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """End the server."""
        self.stop(from_signal=True)


class ServerWithScheduler(PageServer):
    """A Jupyter server and a scheduler, which end together.

    At the first signal, the scheduler starts no more tasks; the page stays until the running tasks have ended. A second
    signal terminates these tasks, and a third one kills the scheduler.
    """

    command: tuple[str, ...] = ()  # the command of the scheduler
    code = 0  # exit code of the scheduler
    scheduler: subprocess.Popen[bytes] | None = None
    requests = 0  # number of requests to stop so far

    def start(self) -> None:
        """Run the server until it ends. Raise `SchedulerRunsError` before anything is started."""
        home = homes.find(Path(self.root_dir))
        other = runs.live_scheduler(home=home)
        if other is not None and home.url is None:
            raise SchedulerRunsError(other.pid, home.root)
        super().start()

    def start_ioloop(self) -> None:
        """Start the scheduler, and serve until both have ended."""
        self.scheduler = subprocess.Popen(
            self.command,
            cwd=self.root_dir,  # so that the scheduler finds the home of the server
            env={**os.environ, page_urls.VARIABLE: os.environ.get(page_urls.VARIABLE) or self._page()},
            stdin=subprocess.PIPE,  # when this pipe closes, the scheduler knows that this process has died
            start_new_session=True,  # so that Ctrl-C in a terminal reaches only this process, not the scheduler
        )
        threading.Thread(target=self._await_scheduler, args=(self.scheduler,), name="nbdag-up", daemon=True).start()
        try:
            super().start_ioloop()
        finally:
            self._end_scheduler(self.scheduler)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask the scheduler to end. The server ends after the scheduler."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            self.stop(from_signal=True)
            return
        self._ask(self.scheduler)

    def _page(self) -> str:
        """Return the address of the page without a token."""
        address = urlsplit(self.public_url)
        return urlunsplit((address.scheme, address.netloc, url_path_join(self.base_url, "nbdag/"), "", ""))

    def _ask(self, scheduler: subprocess.Popen[bytes]) -> None:
        self.requests += 1
        if self.requests == 1:
            self.log.critical("stopping once the running tasks have ended; Ctrl-C again terminates them")
        scheduler.send_signal(signal.SIGTERM if self.requests <= 2 else signal.SIGKILL)

    def _await_scheduler(self, scheduler: subprocess.Popen[bytes]) -> None:
        scheduler.wait()
        self.stop()

    def _end_scheduler(self, scheduler: subprocess.Popen[bytes]) -> None:
        """End the scheduler if the server has ended first, for example by its own shutdown button."""
        if scheduler.poll() is None and not self.requests:
            self._ask(scheduler)
        code = scheduler.wait()
        if scheduler.stdin is not None:
            scheduler.stdin.close()
        self.code = 0 if self.requests else code or 1  # a scheduler that ends by itself has failed


class PageApp(NbdagApp):
    """Starts a server with only the page."""

    serverapp_class = PageServer


class AppWithScheduler(NbdagApp):
    """Starts a server with only the page, and a scheduler."""

    serverapp_class = ServerWithScheduler


def serve(arguments: Sequence[str]) -> int:
    """Serve the page until a signal ends the server. `arguments` are those of Jupyter Server. Return the exit code."""
    PageApp.launch_instance([*arguments])  # type: ignore[no-untyped-call]
    return 0


def serve_with_scheduler(arguments: Sequence[str], command: Sequence[str]) -> int:
    """Serve the page and run `command` (`nbdag scheduler`) until a signal ends both. Return the exit code.

    `arguments` are the arguments of Jupyter Server.
    """
    ServerWithScheduler.command = tuple(command)
    AppWithScheduler.launch_instance([*arguments])  # type: ignore[no-untyped-call]
    return ServerWithScheduler.instance().code
