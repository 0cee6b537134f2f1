"""Run the code of `%%dag` in a separate process.

nbdag's own process never executes user code, because such code may print, change global state, exit, or never end. The
process runs the Python of the notebook's kernel, in the working directory of the tasks. By default it may use 30
seconds of processor time, including imports and child processes. The limit of wall time is ten times as high, because a
busy machine is slow. When the process ends, its child processes are killed. Input and output are JSON files;
`build_process` is the main module of the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from .. import secrets
from ..errors import NbdagError, error
from ..processes.identity import MARK_VARIABLE, WORKER_VARIABLE
from ..processes.marks import new_attempt_mark
from ..processes.process_tree import kill_marked, kill_tree
from ..secrets.sources import HOME_ENV_FILE, LOOKUPS, env_file, hide_known_values, hide_looked_up

LIMIT = "NBDAG_BUILD_TIMEOUT"  # environment variable with the limit of processor time, in seconds
_SECONDS = 30.0  # the default limit, which is Airflow's limit for importing a DAG
_WAIT_FACTOR = 10  # the limit of wall time, as a multiple of the limit of processor time
_POLL_INTERVAL = 1.0  # seconds between two readings of the processor time
_LOOKED_UP = "looked-up"  # file with the names of secrets that the process has looked up
_MAX_OUTPUT = 100_000  # maximum size in bytes of the output that is collected
_PLAIN = ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}")


@error
class BuildError(NbdagError):
    """The code of %%dag failed to build its tasks."""

    message: str
    hint: str = ""  # what the user can do
    cell: int | None = None  # number of the cell with the error, from 0 in the file; None if the cell is unknown
    line: int = 1  # line of the error in the cell, from 1
    printed: str = ""  # what the code printed before the error
    template = "{message}{advice}"

    @property
    def advice(self) -> str:
        """The hint, as a suffix of the message."""
        return f"; {self.hint}" if self.hint else ""


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The cells that the code of %%dag built."""

    # For each %%dag cell, the built cells, each with its `source` and the `line` of the %%dag cell that created it.
    built: Sequence[Sequence[Mapping[str, Any]]]
    # Warnings, each with `cell` (number in the file), `line`, `message` and `hint`.
    warnings: Sequence[Mapping[str, Any]]
    printed: str  # what the code printed


def run_bodies(
    steps: Sequence[Mapping[str, Any]], *, cwd: Path, kernel_name: str | None, python: Path | None = None
) -> BuildResult:
    """Run these steps, in order, in a new process, and return the built cells. Raise `BuildError`.

    `python` replaces the Python of the kernel.
    """
    if not cwd.is_dir():
        raise BuildError(f"%%dag cannot run in {cwd}, because this folder does not exist", hint="create it first")
    command, environment = _python(kernel_name or "python3")
    command = command if python is None else [str(python)]
    mark, limit = new_attempt_mark(), _limit()
    with tempfile.TemporaryDirectory(prefix="nbdag-build-") as folder:
        steps_path, result_path = Path(folder) / "steps.json", Path(folder) / "result.json"
        steps_path.write_text(json.dumps(list(steps)), encoding="utf-8")
        try:
            process = subprocess.Popen(
                [*command, "-P", "-m", "nbdag.building.build_process", str(steps_path), str(result_path)],
                cwd=cwd,
                env={**secrets.environment(), **environment, **_variables(Path(folder)), MARK_VARIABLE: mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BuildError(
                f"{command[0]}, the Python of the notebook's kernel, cannot be started ({reason})"
            ) from None
        assert process.stdout is not None
        printed = _OutputCollector(process.stdout)
        excess = ""
        try:
            excess = _wait(process, limit)
        finally:
            _kill(process, mark)
        hide_known_values()
        hide_looked_up(Path(folder) / _LOOKED_UP)
        text = secrets.mask(printed.text())
        result: Any = None
        # Errors are ignored here: if the process died, the file is missing or incomplete, and `_died` reports this.
        with contextlib.suppress(OSError, ValueError):
            result = json.loads(result_path.read_text(encoding="utf-8"))
    if not excess and result is not None and "built" in result:
        return BuildResult(result["built"], result["warnings"], text)
    if excess:
        failure = _too_long(excess)
    else:
        failure = _died(process.returncode, text) if result is None else BuildError(**secrets.masked(result["error"]))
    failure.printed = text
    raise failure


def _variables(folder: Path) -> dict[str, str]:
    found = {WORKER_VARIABLE: str(os.getpid()), LOOKUPS: str(folder / _LOOKED_UP)}
    with contextlib.suppress(NbdagError):  # if nbdag's home is unusable, code that needs the home reports this
        found[HOME_ENV_FILE] = str(env_file())
    return found


class _OutputCollector:
    """Collects the output of a process, up to a limit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, name="nbdag-build", daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(5)
        # IPython runs shell commands in a terminal, where lines end with \r\n.
        return self._kept.decode("utf-8", "replace").replace("\r\n", "\n")

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream:
            while data := self._stream.read1(65_536):  # type: ignore[attr-defined]  # a buffered reader has this method
                self._kept += data[: _MAX_OUTPUT - len(self._kept)]


def _kill(process: subprocess.Popen[bytes], mark: str) -> None:
    """Kill the process and its children."""
    if process.poll() is None:
        kill_tree(process.pid, mark)
        process.wait()
    elif hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        kill_marked(mark)


def _wait(process: subprocess.Popen[bytes], limit: float) -> str:
    """Wait for the process to end. Return the limit that the process has exceeded, or ""."""
    deadline = time.monotonic() + limit * _WAIT_FACTOR
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_INTERVAL)
            return ""
        if _processor_time(process.pid) > limit:
            return f"{limit:g} s of processor time"
        if time.monotonic() > deadline:
            return f"{limit * _WAIT_FACTOR:g} s"


def _processor_time(pid: int) -> float:
    """Return the seconds of processor time of a process and its descendants."""
    used = 0.0
    with contextlib.suppress(psutil.Error):
        head = psutil.Process(pid)
        for process in (head, *head.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                # Processor time of the process itself, and of its children that have ended.
                used += sum(process.cpu_times()[:4])
    return used


def _too_long(excess: str) -> BuildError:
    hint = f"move slow work into tasks, or set {LIMIT} to more seconds of processor time"
    return BuildError(f"the code of %%dag was killed after {excess}", hint=hint)


def _died(code: int, printed: str) -> BuildError:
    if "No module named" in printed and "nbdag" in printed.rsplit("No module named", 1)[1]:
        hint = "install nbdag there (`pip install nbdag`)"
        return BuildError("the Python of the notebook's kernel does not have nbdag, which %%dag needs", hint=hint)
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    last = f": {lines[-1]}" if lines else ""
    return BuildError(f"the process of %%dag ended {how} before its tasks were built{last}")


def _limit() -> float:
    text = os.environ.get(LIMIT, "")
    try:
        seconds = float(text) if text else _SECONDS
        if not seconds > 0:
            raise ValueError
    except ValueError:
        raise BuildError(f"{LIMIT} is {text!r}, not a number of seconds", hint="set it to 60, for example") from None
    return seconds


def _python(kernel_name: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts a kernel's Python, and the environment variables of its kernelspec."""
    from jupyter_core.paths import jupyter_path

    for root in jupyter_path("kernels"):
        folder = Path(root) / kernel_name
        try:
            spec = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
            argv = [str(word).replace("{resource_dir}", str(folder)) for word in spec["argv"]]
            environment = {str(name): os.path.expandvars(str(value)) for name, value in spec.get("env", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        at = argv.index("-m") if "-m" in argv else 0
        if at and argv[at + 1 : at + 2] and argv[at + 1].startswith("ipykernel"):
            return [sys.executable if argv[0] in _PLAIN else argv[0], *argv[1:at]], environment
        # The kernel's command does not start ipykernel, so its Python is unknown. Use this process's Python.
        return [sys.executable], environment
    return [sys.executable], {}
