"""What is done when a front end asks for it: what `nbdag run`, `clear`, `cancel` and `deploy` do.

A run is driven by a process of its own, so whoever asks stays free, and the run goes on when they end. How it goes the
run tells by itself; what keeps it from beginning is said in one sentence.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import runs
from ..core.model.states import RUN_FINISHED
from ..errors import NbdagError
from ..home import Home
from .messages import Act, TellNotice
from .outputs import plain

_RUNS: Mapping[str, str] = {"all": "", "only": "--only", "upto": "--upto", "from": "--from"}
_CLEARS: Mapping[str, Mapping[str, bool]] = {
    "retry": {"downstream": True},
    "retry_only": {},
    "retry_failed": {"only_failed": True},
}
# What Jupyter told this kernel alone, and a run's kernels must not take for theirs.
_THIS_KERNEL_S = frozenset({"JPY_SESSION_NAME", "JPY_PARENT_PID", "JPY_INTERRUPT_EVENT", "MPLBACKEND"})


class NoFileError(NbdagError):
    """A headless run was asked for from a notebook whose file is not known."""

    def __str__(self) -> str:
        return "the notebook's file is not known to this kernel; save it, and use `nbdag run NOTEBOOK` in a terminal"


class Acts:
    """What can be done with one notebook and its runs."""

    def __init__(
        self,
        home: Callable[[], Home],
        dag: Callable[[], str],
        file: Callable[[], Path | None],
        say: Callable[[TellNotice], None],
    ) -> None:
        self._home = home
        self._dag = dag
        self._file = file
        self._say = say

    def can(self) -> list[str]:
        """What is to be offered: without the notebook's file, what needs runs alone."""
        known = self._file() is not None
        return [*(_RUNS if known else ()), *_CLEARS, "cancel", *(("deploy",) if known else ())]

    def do(self, act: Act) -> None:
        """Do it. What goes on for longer does so elsewhere."""
        what, task, run = act["what"], act["task"], act["run"]
        if what in _RUNS:
            self._run(_RUNS[what], task)
        elif what in _CLEARS:
            self._clear(run, task, _CLEARS[what])
        elif what == "cancel":
            runs.cancel(run, self._dag(), home=self._home())
        elif what == "deploy":
            done = runs.deploy(self._notebook(), home=self._home())
            self._tell("info", f"{done.id} is deployed; a scheduler (`nbdag scheduler`) runs it when it is due")

    def _run(self, option: str, task: str) -> None:
        before = self._ids()
        words = [option, task] if option else []
        command = ["run", str(self._notebook()), *words, "--no-progress"]
        self._drive(command, lambda: bool(self._ids() - before))

    def _clear(self, run: str, task: str, which: Mapping[str, bool]) -> None:
        home, dag = self._home(), self._dag()
        cleared = runs.clear(run, [task] if task else [], dag=dag, home=home, **which)
        if not cleared.owner:
            drives = ["resume", cleared.run.id, "--dag", dag]
            self._drive(drives, lambda: runs.find_run(cleared.run.id, dag, home=home).state in RUN_FINISHED)

    def _drive(self, words: list[str], began: Callable[[], bool]) -> None:
        """Have a process drive a run; say so if it ended without the run having begun."""

        def drive() -> None:
            environment = {name: value for name, value in os.environ.items() if name not in _THIS_KERNEL_S}
            environment |= {"NBDAG_HOME": str(self._home().root), "NO_COLOR": "1"}
            # A session of its own: to interrupt the kernel is not to interrupt the run.
            done = subprocess.run(
                [sys.executable, "-m", "nbdag", *words],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True,
            )  # fmt: skip
            if done.returncode and not began():
                lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                text = plain(lines[-1]) if lines else f"the run ended with exit code {done.returncode}"
                self._tell("error", text.removeprefix("Error: "))

        threading.Thread(target=drive, name="nbdag-run", daemon=True).start()

    def _ids(self) -> set[str]:
        home = self._home()
        return {run.id for run in runs.list_runs(self._dag(), limit=5, home=home)} if home.exists else set()

    def _notebook(self) -> Path:
        path = self._file()
        if path is None:
            raise NoFileError
        return path

    def _tell(self, level: str, text: str) -> None:
        self._say({"kind": "notice", "level": "error" if level == "error" else "info", "text": text})
