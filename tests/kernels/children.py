"""The targets that the fork server's tests fork: plain functions and one class."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from nbdag.kernels.forkserver.child import ChildContext, Streams


def describe(payload: bytes) -> int:
    """Write the properties of this process to a file."""
    seen = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "group": os.getpgrp(),
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "argv": sys.argv,
        "umask": os.umask(0),
        "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "sigterm": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "threads": threading.active_count(),
        "files": sorted(str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()),
        "path": sys.path,
        "random": random.random(),
        "modules": sorted(name for name in sys.modules if "." not in name),
    }
    if "numpy" in sys.modules:
        import numpy

        seen["numpy"] = float(numpy.random.random())
    Path(payload.decode()).write_text(json.dumps(seen))
    return 0


def exits(payload: bytes) -> int:
    """End in the way that the payload names."""
    how, _, what = payload.decode().partition(" ")
    match how:
        case "return":
            return int(what)
        case "exit":
            sys.exit(int(what))
        case "signal":
            os.kill(os.getpid(), int(what))
        case "raise":
            raise ValueError(what)
        case "sleep":
            time.sleep(float(what))
        case "speak":
            print(what, flush=True)
            print(sys.stdin.read(), file=sys.stderr, flush=True)
    return 0


def leaves_a_child(payload: bytes) -> int:
    """Start a process in the same group, write its pid to a file, and wait."""
    file, _, wait = payload.decode().partition(" ")
    child = subprocess.Popen(["sleep", "600"])
    draft = Path(f"{file}.part")
    draft.write_text(str(child.pid))
    draft.rename(file)
    time.sleep(float(wait))
    os._exit(0)


def at_exit(payload: bytes) -> int:
    """Create work for the exit: a function, an unclosed file, and an open file that a module holds."""
    import atexit
    import types

    folder = Path(payload.decode())
    atexit.register(lambda: (folder / "atexit").write_text("ran"))
    HELD.append((folder / "held").open("w"))
    HELD[0].write("ran")
    module = types.ModuleType("made_by_the_child")
    sys.modules[module.__name__] = module
    exec(CLOSES_ITSELF, vars(module))
    module.place = folder / "del"
    return 0


HELD: list[TextIO] = []
CLOSES_ITSELF = """
class Closing:
    def __del__(self):
        place.write_text("ran")

thing = Closing()
"""


class Prepared:
    """Records its setup, and the arguments with which it then runs."""

    def __init__(self, arguments: bytes, context: ChildContext) -> None:
        self.seen = {"arguments": arguments.decode(), "prepared_in": str(Path.cwd()), "pid": os.getpid()}
        context.folder.joinpath("mine").write_text(context.secret)

    def streams(self) -> Streams:
        return 0, 1, 2

    def finish_setup(self, payload: bytes) -> None:
        self.seen["ready_in"] = str(Path.cwd())
        self.file = Path(payload.decode())

    def run(self) -> int:
        self.file.write_text(json.dumps(self.seen))
        return 0
