"""The process in which the code of `%%dag` runs.

Code of a person's is never run in nbdag's own process: it may print, change what it likes, exit, or never end. It runs
with the Python of the notebook's kernel, in the folder where the notebook's tasks run, has a time limit, and ends with
all that it started. What goes in and what comes out is JSON; the other half is `inside`.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import NbdagError
from ..processes.identity import MARK_VARIABLE, WORKER_VARIABLE
from ..processes.process_tree import kill_tree, new_attempt_mark

LIMIT = "NBDAG_BUILD_TIMEOUT"  # environment variable: seconds; Airflow gives the import of a DAG as many
_SECONDS = 30.0
_MOST = 100_000  # characters of what is printed that are kept
_PLAIN = ("python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}")


class BuildError(NbdagError):
    """Code of %%dag that did not build its tasks."""

    def __init__(self, message: str, *, hint: str = "", cell: int | None = None, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint  # the next step
        self.cell = cell  # of the file, from 0; None: which one is not known
        self.line = line  # from 1
        self.printed = ""  # by the code, until then

    def __str__(self) -> str:
        return f"{self.message}{'; ' if self.hint else ''}{self.hint}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bodies made."""

    built: Sequence[Sequence[Mapping[str, Any]]]  # of each body, its cells: source, and the line that made it
    printed: str  # what they printed


def run_bodies(steps: Sequence[Mapping[str, Any]], *, cwd: Path, kernel_name: str | None) -> Answer:
    """Run these cells and bodies, in order, in a process of their own. Raises `BuildError`."""
    if not cwd.is_dir():
        raise BuildError(f"%%dag cannot run in {cwd}: there is no such folder", hint="make it first")
    command, environment = _python(kernel_name or "python3")
    mark, limit = new_attempt_mark(), _limit()
    with tempfile.TemporaryDirectory(prefix="nbdag-build-") as folder:
        asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(list(steps)), encoding="utf-8")
        try:
            process = subprocess.Popen(
                [*command, "-P", "-m", "nbdag.building.inside", str(asked), str(answer)],
                cwd=cwd,
                env={**os.environ, **environment, MARK_VARIABLE: mark, WORKER_VARIABLE: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise BuildError(f"{command[0]}, the notebook's Python, cannot be started ({why})") from None
        assert process.stdout is not None
        printed = _Printed(process.stdout)
        ended = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            ended = True
        finally:
            _end(process, mark)
        text = printed.text()
        told: Any = None
        with contextlib.suppress(OSError, ValueError):  # there is none where it has died
            told = json.loads(answer.read_text(encoding="utf-8"))
    if not ended and told is not None and "built" in told:
        return Answer(told["built"], text)
    if ended:
        wrong = _too_long(limit)
    else:
        wrong = _died(process.returncode, text) if told is None else BuildError(**told["error"])
    wrong.printed = text
    raise wrong


class _Printed:
    """What a process prints, as it comes, up to a limit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, name="nbdag-build", daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(5)
        return self._kept.decode("utf-8", "replace").replace("\r\n", "\n")  # a shell's command has a terminal

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream:
            while data := self._stream.read1(65_536):  # type: ignore[attr-defined]  # a buffered reader has it
                self._kept += data[: _MOST - len(self._kept)]


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End it, and all that it started."""
    if process.poll() is None:
        kill_tree(process.pid, mark)
        process.wait()
    elif hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _too_long(limit: float) -> BuildError:
    hint = f"move slow work into tasks, or set {LIMIT} to more seconds"
    return BuildError(f"the code of %%dag was ended after {limit:g} s", hint=hint)


def _died(code: int, printed: str) -> BuildError:
    if "No module named" in printed and "nbdag" in printed.rsplit("No module named", 1)[1]:
        hint = "install it there (`pip install nbdag`)"
        return BuildError("the Python of the notebook's kernel has no nbdag, which %%dag needs", hint=hint)
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    said = f": {lines[-1]}" if lines else ""
    return BuildError(f"the process of %%dag ended {how} before it had built its tasks{said}")


def _limit() -> float:
    said = os.environ.get(LIMIT, "")
    try:
        seconds = float(said) if said else _SECONDS
        if not seconds > 0:
            raise ValueError
    except ValueError:
        raise BuildError(f"{LIMIT} is {said!r}, which is no number of seconds", hint="set it to 60, say") from None
    return seconds


def _python(kernel_name: str) -> tuple[list[str], dict[str, str]]:
    """The command that starts a kernel's Python, and what its specification adds to the environment."""
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
        return [sys.executable], environment  # how that kernel starts Python is its own affair
    return [sys.executable], {}
