"""A process that makes attempts, one after the other, for an executor.

It is a child of the fork server, or started by `python -m nbdag.kernels.worker.worker`. Its standard input is a
connection to the executor: a job comes in, the kernel's pid and then the result go out, and once the kernel is gone,
`free`: the next job may come. In between it says every so often that it is alive, whatever its kernel does. When the
executor closes the connection, or ends, the kernel and this process end.
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

# Without these papermill is imported in 0.4 s of processor time rather than 1.7: jsonschema would compile the grammar
# of IRIs, for a format that no notebook has, and papermill would look for Hadoop in pyarrow. Both do without what
# cannot be imported, and no code of the user's runs in this process.
for _unused in ("rfc3987_syntax", "pyarrow"):
    sys.modules.setdefault(_unused, None)  # type: ignore[arg-type]  # that is how Python is told so

import nbformat  # noqa: E402
from jupyter_client.kernelspec import NoSuchKernel  # noqa: E402

from ..forkserver import framing  # noqa: E402
from ..forkserver.child import Nest, Streams  # noqa: E402
from ..forkserver.server_spec import Recipe  # noqa: E402
from ..jupyter.manager import TaskKernelManager  # noqa: E402
from .attempt import Attempt  # noqa: E402

GRACE = 5.0  # seconds that an attempt which was ended may take to write its notebook


class Worker:
    """What the fork server forks; see `birth.Target`."""

    def __init__(self, arguments: bytes, nest: Nest) -> None:
        self._folder = nest.folder

    def streams(self) -> Streams:
        """As they are everywhere."""
        return 0, 1, 2

    def settle(self, payload: bytes) -> None:
        """Nothing to prepare: the job comes by the connection."""

    def run(self) -> int:
        """Make the attempt."""
        return _serve(self._folder)


def main() -> int:
    """Be a worker that nobody forked."""
    with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:
        return _serve(Path(folder))


def _serve(folder: Path) -> int:
    for name in ("papermill", "traitlets"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    connection = socket.socket(fileno=os.dup(0))
    with connection, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # the kernel must not hold the connection open
        while (frame := framing.receive(connection)) is not None:
            if not _make(Attempt(pickle.loads(frame.blob), folder, connection), connection, frame.data["beat"]):
                break
    return 0


def _make(attempt: Attempt, connection: socket.socket, beat: float) -> bool:
    """Make an attempt; whether the process may make another."""
    listening = threading.Thread(target=_listen, args=(connection, attempt, beat), daemon=True)
    listening.start()
    timeout = attempt.job.task.options.timeout
    timer = threading.Timer(timeout or 0, _end, (attempt, f"timed out after {timeout or 0:g} s"))
    timer.daemon = True
    if timeout is not None:
        timer.start()
    result = attempt.make()
    timer.cancel()
    may_go_on = attempt.tell(result)
    attempt.close()
    if not may_go_on:
        return False
    listening.join()  # until the executor has the result: what it says then is about the next attempt
    try:
        framing.send(connection, {"free": True})
    except OSError:
        return False
    return True


def _listen(connection: socket.socket, attempt: Attempt, beat: float) -> None:
    """The executor says `end`, has the result, or is gone; until then it hears that this process is alive."""
    while not framing.speaks(connection, within=beat):
        attempt.beat()
    try:
        frame = framing.receive(connection)
    except OSError:
        frame = None
    if frame is None:
        _end(attempt, "the run that it was part of has gone")
    elif "end" in frame.data:
        _end(attempt, frame.data["end"])


def _end(attempt: Attempt, why: str) -> None:
    if attempt.end(why):
        time.sleep(GRACE)
        attempt.end(why)
        os._exit(1)


def _rehearse() -> None:
    """Make what a first use makes (validators, lists of kernels, classes of traits) before workers are forked."""
    nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")]))
    with contextlib.suppress(NoSuchKernel):
        TaskKernelManager(kernel_name="python3").kernel_spec  # noqa: B018  # it is looked up when it is read
    Recipe.of((), targets=())


_rehearse()

if __name__ == "__main__":
    sys.exit(main())
