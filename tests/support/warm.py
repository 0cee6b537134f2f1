"""Run `python -m nbdag …`, or papermill, as a fork of a process that has imported nbdag and its libraries.

A command that starts Python anew takes 0.3 to 1 s of processor time, nearly all of it for imports; a fork takes 20 ms.
The fork has its own working directory, environment, arguments and standard streams, and ends as any process does.
Signals, terminals, closed streams and what a command imports are tested with `subprocess` instead.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("nbdag.cli", "nbdag.runs", "nbdag.scheduler", "nbdag.executors", "nbdag.building", "nbdag.graphs")
LIBRARIES = ("nbdag.store.store", "rich.live", "rich.progress", "rich.table", "sqlalchemy.dialects.sqlite", "yaml")


class WarmProcess:
    """A command that runs, with the methods of `subprocess.Popen`."""

    def __init__(self, commands: WarmCommands, pid: int) -> None:
        self._commands = commands
        self._pidfd = os.pidfd_open(pid)  # the pid is not used again before `wait`
        self.pid = pid
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has been waited for."""
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process and return its exit code."""
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._pidfd, select.POLLIN)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(["nbdag"], timeout or 0.0)
            self.returncode = self._commands.reap(self.pid)
            os.close(self._pidfd)
        return self.returncode


class WarmCommands:
    """A process that forks itself for each command of one program, such as `nbdag`.

    It first imports the modules `preload`, by default all modules of nbdag and the program's `cli`. `python` is the Python
    of the commands, and `further` are environment variables that the imports need.
    """

    def __init__(
        self,
        program: str = "nbdag",
        preload: Sequence[str] = (),
        *,
        python: str = sys.executable,
        further: Mapping[str, str] | None = None,
    ) -> None:
        self._program = program
        self._socket, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NBDAG_", "PYTEST_"))}
        environment |= further or {}
        with theirs:
            self._process = subprocess.Popen([python, __file__, program, *preload], stdin=theirs, env=environment)

    def __call__(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m PROGRAM` with these arguments and no standard input, and return its result."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.start(words, cwd=cwd, env=env, stdout=out.fileno(), stderr=err.fileno())
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess([self._program, *words], code, *texts)

    def start(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: int, stderr: int
    ) -> WarmProcess:
        """Start `python -m PROGRAM` with these arguments and descriptors, and no standard input."""
        return WarmProcess(self, self._ask({"words": list(words), "cwd": str(cwd), "env": dict(env)}, stdout, stderr))

    def reap(self, pid: int) -> int:
        """Return the exit code of a command that has ended."""
        return self._ask({"reap": pid})

    def close(self) -> None:
        """End the process, and the commands that still run."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _ask(self, request: dict[str, Any], *descriptors: int) -> int:
        text = json.dumps(request).encode()
        socket.send_fds(self._socket, [struct.pack("=I", len(text))], descriptors)
        self._socket.sendall(text)
        reply = self._socket.recv(4, socket.MSG_WAITALL)
        assert len(reply) == 4, "the process that forks commands has ended"
        return int(struct.unpack("=i", reply)[0])


def _modules_of_nbdag() -> Iterator[str]:
    """Yield the names of the modules of `PACKAGES`, which are imported before."""
    import importlib
    import pkgutil

    for name in PACKAGES:
        package = importlib.import_module(name)
        yield from (module.name for module in pkgutil.walk_packages(package.__path__, f"{name}."))


def _serve(program: str, preload: Sequence[str]) -> None:
    """Fork for each request until the other end closes; return in the forks only."""
    import gc
    import importlib

    sys.path.remove(str(Path(__file__).parent))
    for name in preload or (*_modules_of_nbdag(), *LIBRARIES, f"{program}.cli"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=os.dup(0))
    while True:
        head, descriptors, *_ = socket.recv_fds(control, 4, 2)
        if not head:
            sys.exit()
        request = json.loads(control.recv(struct.unpack("=I", head)[0], socket.MSG_WAITALL))
        if "reap" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])
        else:
            answer = os.fork()
            if not answer:
                control.close()
                _become(**request, descriptors=descriptors)
                return
        for each in descriptors:
            os.close(each)
        control.sendall(struct.pack("=i", answer))


def _become(words: list[str], cwd: str, env: dict[str, str], descriptors: list[int]) -> None:
    """Set this process up as a new process has it."""
    import ctypes
    import locale
    import time

    libc = ctypes.CDLL(None)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a command ends with `close`
    with Path(os.devnull).open("rb") as null:
        os.dup2(null.fileno(), 0)
    for theirs, ours in zip(descriptors, (1, 2), strict=True):
        os.dup2(theirs, ours)
        os.close(theirs)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    tempfile.tempdir = None
    sys.argv = ["-m", *words]
    sys.path.insert(0, cwd)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = _writer(1, "strict")
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")


def _writer(descriptor: int, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    if os.environ.get("PYTHONUNBUFFERED"):
        return io.TextIOWrapper(raw, "utf-8", errors, write_through=True)  # type: ignore[arg-type]  # as Python does it
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors, line_buffering=descriptor == 2)


if __name__ == "__main__":
    _, program, *preload = sys.argv
    _serve(program, preload)
    import runpy

    runpy.run_module(program, run_name="__main__", alter_sys=True)
