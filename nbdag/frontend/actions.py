"""Actions that a front end can request: run, retry, cancel and deploy.

Each run is executed by a separate process, so the kernel stays free, and the run continues after the kernel
has ended. The watcher reports the run's progress. If the process fails before the run has started, a notice shows the
last line of the process's output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from .. import runs
from ..core.model.states import RUN_FINISHED
from ..errors import NbdagError, error
from ..home import Home
from .messages import Action, ActionRequest, NoticeLevel, NoticeMessage
from .outputs import plain_text

RUN_OPTIONS: Mapping[Action, str] = {"all": "", "only": "--only", "upto": "--upto", "from": "--from"}
_CLEAR_OPTIONS: Mapping[Action, Mapping[str, bool]] = {
    "retry": {"downstream": True},
    "retry_only": {},
    "retry_failed": {"only_failed": True},
}
_NEED_FILE: frozenset[Action] = frozenset({*RUN_OPTIONS, "deploy"})
# Environment variables that Jupyter sets for this kernel only; the kernels of a run must not inherit them.
KERNEL_VARIABLES = frozenset({"JPY_SESSION_NAME", "JPY_PARENT_PID", "JPY_INTERRUPT_EVENT", "MPLBACKEND"})


@error
class UnknownFileError(NbdagError):
    """An action needs the notebook's file, and the kernel does not know the file."""

    template = "unknown notebook file; save the notebook, or use `nbdag run NOTEBOOK` in a terminal"


def run_arguments(notebook: Path, option: str, task: str) -> list[str]:
    """Return the command line of a run. `option`, such as --from, selects tasks relative to `task`; "" selects all."""
    return ["run", str(notebook), *([option, task] if option else []), "--no-progress"]


@contextmanager
def parameter_arguments(values: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the arguments that set these parameters.

    The arguments name a file with the values, which only this user can read. Every user can read a process's arguments.
    """
    if not values:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
        file = Path(folder) / "parameters.json"
        file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
        yield ["--parameters_file", str(file)]


class Actions:
    """The actions on one notebook and its runs."""

    def __init__(
        self,
        home: Callable[[], Home],
        dag: Callable[[], str],
        file: Callable[[], Path | None],
        notify: Callable[[NoticeMessage], None],
    ) -> None:
        self._home = home
        self._dag = dag
        self._file = file
        self._send = notify

    def available(self) -> list[Action]:
        """Return the available actions. Running and deploying are available only if the notebook's file is known."""
        known = self._file() is not None
        return [each for each in get_args(Action) if known or each not in _NEED_FILE]

    def perform(self, request: ActionRequest) -> None:
        """Perform the action, or start a process that performs it."""
        action, task, run = request["action"], request["task"], request["run"]
        if action in RUN_OPTIONS:
            self._run(RUN_OPTIONS[action], task, request.get("parameters", {}))
        elif action in _CLEAR_OPTIONS:
            self._clear(run, task, _CLEAR_OPTIONS[action])
        elif action == "cancel":
            runs.cancel(run, self._dag(), home=self._home())
        elif action == "deploy":
            done = runs.deploy(self._notebook(), home=self._home())
            other = f" and replaces the pipeline of {done.replaced}" if done.replaced else ""
            self._notify("info", f"{done.id} is deployed{other}; `nbdag scheduler` executes its scheduled runs")

    def _run(self, option: str, task: str, parameters: Mapping[str, Any]) -> None:
        before = self._run_ids()
        arguments = run_arguments(self._notebook(), option, task)
        self._start_process(arguments, lambda: bool(self._run_ids() - before), parameters)

    def _clear(self, run: str, task: str, options: Mapping[str, bool]) -> None:
        home, dag = self._home(), self._dag()
        cleared = runs.clear(run, [task] if task else [], dag=dag, home=home, **options)
        if cleared.edited:
            self._notify("info", cleared.edited)
        if not cleared.owner:
            arguments = ["resume", cleared.run.id, "--dag", dag]
            self._start_process(arguments, lambda: runs.find_run(cleared.run.id, dag, home=home).state in RUN_FINISHED)

    def _start_process(
        self, arguments: list[str], has_begun: Callable[[], bool], parameters: Mapping[str, Any] | None = None
    ) -> None:
        """Start an nbdag process, and send a notice if it fails before the run has started."""

        def wait() -> None:
            environment = {name: value for name, value in os.environ.items() if name not in KERNEL_VARIABLES}
            environment |= {"NBDAG_HOME": str(self._home().root), "NO_COLOR": "1"}
            # A new session, so that interrupting the kernel does not interrupt the run.
            with parameter_arguments(parameters or {}) as more:
                done = subprocess.run(
                    [sys.executable, "-m", "nbdag", *arguments, *more],
                    env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True,
                )  # fmt: skip
            if done.returncode and not has_begun():
                lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                text = plain_text(lines[-1]) if lines else f"the run ended with exit code {done.returncode}"
                self._notify("error", text.removeprefix("nbdag: "))

        threading.Thread(target=wait, name="nbdag-run", daemon=True).start()

    def _run_ids(self) -> set[str]:
        home = self._home()
        return {run.id for run in runs.list_runs(self._dag(), limit=5, home=home)} if home.exists else set()

    def _notebook(self) -> Path:
        path = self._file()
        if path is None:
            raise UnknownFileError
        return path

    def _notify(self, level: NoticeLevel, text: str) -> None:
        self._send({"kind": "notice", "level": level, "text": text})
