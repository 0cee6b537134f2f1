"""A worker process, which executes one attempt after another for an executor.

The process is a child of the fork server, or was started by `python -m nbdag.kernels.worker.worker`. Its standard input
is a connection to the executor. The executor sends a job. The worker sends the kernel's pid, then the result. When the
kernel has ended, the worker sends `free`, and then the executor may send the next job. Until the worker sends the
result, it sends heartbeats, even if its kernel is busy. When the executor closes the connection or ends, the kernel and
the worker end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

# Hiding these two modules reduces the processor time of papermill's import from 1.7 s to 0.4 s. With them, jsonschema
# would compile the grammar of IRIs, which notebooks do not contain, and papermill would look for Hadoop in pyarrow.
# Both libraries work without the modules, and the user's code does not run in this process.
for _unused in ("rfc3987_syntax", "pyarrow"):
    sys.modules.setdefault(_unused, None)  # type: ignore[arg-type]  # a None entry makes the import fail

import nbformat  # noqa: E402
from jupyter_client.kernelspec import NoSuchKernel  # noqa: E402

from ..forkserver import framing  # noqa: E402
from ..forkserver.child import ChildContext, Streams  # noqa: E402
from ..forkserver.server_spec import ServerSpec  # noqa: E402
from ..jupyter.manager import TaskKernelManager  # noqa: E402
from .attempt import Attempt  # noqa: E402
from .injected_parameters import register_translator  # noqa: E402

GRACE = 20.0  # time limit in seconds for a terminated attempt to write its notebook


class Worker:
    """The fork server's target for a worker; see `child.Target`."""

    def __init__(self, arguments: bytes, context: ChildContext) -> None:
        self._folder = context.folder

    def streams(self) -> Streams:
        """Return the usual descriptors of the standard streams."""
        return 0, 1, 2

    def finish_setup(self, payload: bytes) -> None:
        """Do nothing: the job comes over the connection."""

    def run(self) -> int:
        """Execute attempts until the executor closes the connection; return the exit code."""
        return _serve(self._folder)


def main() -> int:
    """Run a worker that was started as an ordinary process; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
        return _serve(Path(folder))


def _serve(folder: Path) -> int:
    for name in ("papermill", "traitlets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    register_translator()
    connection = socket.socket(fileno=os.dup(0))
    with connection, Path(os.devnull).open("rb") as nothing:
        # Descriptor 0 is replaced, because the kernel inherits it and must not keep the connection open.
        os.dup2(nothing.fileno(), 0)
        while (frame := framing.receive(connection)) is not None:
            attempt = Attempt(pickle.loads(frame.blob), folder, connection)
            if not _execute(attempt, connection, frame.data["heartbeat"]):
                break
    return 0


def _execute(attempt: Attempt, connection: socket.socket, heartbeat: float) -> bool:
    """Execute an attempt; return whether this process may execute another attempt."""
    listener = threading.Thread(target=_listen, args=(connection, attempt, heartbeat), daemon=True)
    listener.start()
    timeout = attempt.job.task.options.timeout
    timer = threading.Timer(timeout or 0, _terminate, (attempt, f"timed out after {timeout or 0:g} s"))
    timer.daemon = True
    if timeout is not None:
        timer.start()
    result = attempt.execute()
    timer.cancel()
    may_continue = attempt.send_result(result)
    attempt.close()
    if not may_continue:
        return False
    # The listener ends when the executor has confirmed the result; later messages belong to the next attempt.
    listener.join()
    try:
        framing.send(connection, {"free": True})
    except OSError:
        return False
    return True


def _listen(connection: socket.socket, attempt: Attempt, heartbeat: float) -> None:
    """Send heartbeats until the executor asks to terminate the attempt, confirms its result, or ends."""
    while not framing.wait_readable(connection, within=heartbeat):
        attempt.send_heartbeat()
    try:
        frame = framing.receive(connection)
    except OSError:
        frame = None
    if frame is None:
        _terminate(attempt, "the process that executed the run has ended")
    elif "terminate" in frame.data:
        _terminate(attempt, frame.data["terminate"])


def _terminate(attempt: Attempt, reason: str) -> None:
    if attempt.terminate(reason):
        time.sleep(GRACE)
        attempt.give_up(reason)
        os._exit(1)


def _warm_up() -> None:
    """Fill the caches of libraries (validators, lists of kernels, trait classes) before workers are forked."""
    nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")]))
    with contextlib.suppress(NoSuchKernel):
        TaskKernelManager(kernel_name="python3").kernel_spec  # noqa: B018  # reading the attribute fills the cache of kernel specifications
    ServerSpec.of((), targets=())


_warm_up()

if __name__ == "__main__":
    sys.exit(main())
