"""Run `python -m nbdag …`, or papermill, as a fork of a process that has imported nbdag and its libraries.

A command that starts Python anew takes 0.3 to 1 s of processor time, nearly all of it for imports; a fork takes 20 ms.
The fork has its own working directory, environment, arguments and standard streams, and ends as any process does.
Signals, terminals, closed streams and what a command imports are tested with `subprocess` instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = ("nbdag.cli", "nbdag.runs", "nbdag.scheduler", "nbdag.executors", "nbdag.building", "nbdag.graphs")
LIBRARIES = ("nbdag.store.store", "rich.live", "rich.progress", "rich.table", "sqlalchemy.dialects.sqlite", "yaml")


class WarmCommands:
    """A process that forks itself for each command of one program, such as `nbdag`."""

    def __init__(self, program: str = "nbdag") -> None:
        self._program = program
        self._socket, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NBDAG_", "PYTEST_"))}
        with theirs:
            self._process = subprocess.Popen([sys.executable, __file__, program], stdin=theirs, env=environment)

    def __call__(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m PROGRAM` with these arguments and no standard input, and return its result."""
        request = json.dumps([list(words), str(cwd), dict(env)]).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            head = struct.pack("=I", len(request))
            socket.send_fds(self._socket, [head], [out.fileno(), err.fileno()])
            self._socket.settimeout(timeout)
            self._socket.sendall(request)
            try:
                reply = self._socket.recv(4, socket.MSG_WAITALL)
            except BaseException:
                self.close()
                raise
            (code,) = struct.unpack("=i", reply)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode().replace("\r\n", "\n"))
        return subprocess.CompletedProcess([self._program, *words], code, *texts)

    def close(self) -> None:
        """End the process, and a command that still runs."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _serve(program: str) -> None:
    """Fork for each request until the other end closes; return in the forks only."""
    import gc
    import importlib
    import pkgutil

    sys.path.remove(str(Path(__file__).parent))
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    for name in (*LIBRARIES, f"{program}.cli"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=os.dup(0))
    while True:
        head, (out, err), *_ = socket.recv_fds(control, 4, 2) if control.recv(1, socket.MSG_PEEK) else sys.exit()
        (size,) = struct.unpack("=I", head)
        request = control.recv(size, socket.MSG_WAITALL)
        child = os.fork()
        if not child:
            control.close()
            _become(*json.loads(request), out, err)
            return
        os.close(out)
        os.close(err)
        _, status = os.waitpid(child, 0)
        control.sendall(struct.pack("=i", os.waitstatus_to_exitcode(status)))


def _become(words: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
    """Set this process up as a new process has it."""
    import ctypes
    import locale
    import signal
    import time

    libc = ctypes.CDLL(None)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a command ends with `close`
    with Path(os.devnull).open("rb") as null:
        os.dup2(null.fileno(), 0)
    for theirs, ours in ((out, 1), (err, 2)):
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
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    program = sys.argv[1]
    _serve(program)
    import runpy

    runpy.run_module(program, run_name="__main__", alter_sys=True)
