"""An IPython kernel as a child of a fork server.

The child runs ipykernel's own application, so the kernel behaves like a kernel that `python -m ipykernel_launcher`
starts. Sockets, threads and the shell depend on neither working directory nor notebook, so they are created first. A
spare kernel, which is forked in advance, creates them before its request arrives. The module path, extensions and
startup files may depend on the environment, so they are initialised last.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sqlite3
import sys
from contextlib import AbstractContextManager
from typing import Any

import ipykernel.debugger
import ipykernel.zmqshell
import ipykernel_launcher  # type: ignore[import-untyped]
import IPython.core.completerlib
import IPython.core.debugger
import IPython.core.inputtransformer2
import IPython.core.oinspect
import IPython.extensions.storemagic
import IPython.utils.wildcard
import tornado.platform.asyncio
import zmq
from ipykernel import kernelapp
from traitlets import DottedObjectName
from traitlets.config import Config

from ...values import types
from ..forkserver.child import ChildContext, Streams
from ..runtime import runtime, state_probes
from .connection import IN_EVERY_SERVER, connection_info
from .stand_in import StandIn, kept_main_module, stand_in_for_kernel

# This import runs once in the server, for all kernels that the server forks.
types.search()
_VALUES: tuple[object, ...] = (True, 0, 0.0, "", b"", None, [], (), {}, set(), frozenset())
for _value in _VALUES:
    types.rule_of(_value)
state_probes.search()

# Modules that a kernel imports while it starts; the server imports them once for all kernels.
_AHEAD = (
    runtime,
    faulthandler,
    sqlite3,
    IPython.core.completerlib,
    IPython.core.debugger,
    IPython.core.oinspect,
    IPython.extensions.storemagic,
    IPython.utils.wildcard,
    ipykernel.debugger,
    ipykernel.zmqshell,
    tornado.platform.asyncio,
)

for _name in sorted(IN_EVERY_SERVER):
    importlib.import_module(_name)

# Python's tokenizer compiles its patterns on first use, which takes most of the time of a kernel's first
# cell.
IPython.core.inputtransformer2.TransformerManager().transform_cell("rehearsal = f(1)")

# Matplotlib reads this variable on import. If matplotlib is preloaded, a kernel would set the variable too late.
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


class IPKernelApp(kernelapp.IPKernelApp):
    """ipykernel's application, whose last steps are postponed until `finish_setup`.

    The class has the name of ipykernel's class, because configuration files use that name.
    """

    outstream_class = DottedObjectName("nbdag.kernels.jupyter.stand_in.output_stream").tag(config=True)

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Read the arguments. If the connection file is the only argument, as usual, build no parser.

        Building a parser of all options takes a tenth of the start time of a kernel.
        """
        if argv is None or len(argv) != 2 or argv[0] != "-f":
            super().parse_command_line(argv)
            return
        self.argv, self.extra_args = argv, []
        self.cli_config = Config(IPKernelApp={"connection_file": argv[1]})
        self.update_config(self.cli_config)

    def init_iopub(self, context: Any) -> None:
        """Create the socket for outputs, with an unlimited queue, because ZeroMQ drops messages beyond a limit."""
        context.setsockopt(zmq.SNDHWM, 0)
        super().init_iopub(context)  # type: ignore[no-untyped-call]

    def init_kernel(self) -> None:
        """Create the kernel with the main module to which preloaded modules may refer."""
        with kept_main_module():
            super().init_kernel()  # type: ignore[no-untyped-call]

    def init_path(self) -> None:
        """Do nothing yet."""

    def init_gui_pylab(self) -> None:
        """Do nothing yet."""

    def init_extensions(self) -> None:
        """Do nothing yet."""

    def init_code(self) -> None:
        """Do nothing yet."""

    def start(self) -> None:
        """Serve until a client requests the shutdown.

        At exit, ipykernel stops its publishing thread before its control thread. If the control thread is still sending
        the reply to the shutdown, it waits forever for the stopped publisher. So this method ends the control thread
        first.
        """
        try:
            super().start()  # type: ignore[no-untyped-call]
        finally:
            if self.control_thread is not None and self.control_thread.is_alive():
                self.control_thread.stop()
                self.control_thread.join(timeout=5)

    def finish_setup(self) -> None:
        """Perform the postponed steps in the order of ipykernel's application."""
        super().init_path()  # type: ignore[no-untyped-call]
        if self.shell:
            super().init_gui_pylab()  # type: ignore[no-untyped-call]
            super().init_extensions()  # type: ignore[no-untyped-call]
            super().init_code()  # type: ignore[no-untyped-call]
        sys.stdout.flush()
        sys.stderr.flush()


class ForkedKernel:
    """The fork server's target for a kernel.

    `arguments` is the kernel's command line without the connection file, as JSON.
    """

    def __init__(self, arguments: bytes, context: ChildContext) -> None:
        file = context.folder / "kernel.json"
        info = connection_info(context.folder, context.secret)
        file.write_text(json.dumps({**info, "key": context.secret}))
        self.argv = ["-f", str(file), *json.loads(arguments or b"[]")]
        # With parent pid 1, ipykernel does not poll its parent. Polling is not needed, because the fork server kills
        # a kernel without an owner.
        self.app: Any = IPKernelApp.instance(parent_handle=1)
        self.app.initialize(self.argv)  # type: ignore[no-untyped-call]

    @staticmethod
    def preloading() -> AbstractContextManager[StandIn]:
        """Let modules that the server imports see the objects of a kernel."""
        return stand_in_for_kernel()

    def streams(self) -> Streams:
        """Return the copies of the original standard streams, because ipykernel has replaced descriptors 1 and 2 by
        pipes.
        """
        out, err = (getattr(stream, "_original_stdstream_copy", None) for stream in (sys.stdout, sys.stderr))
        return 0, out, err

    def finish_setup(self, payload: bytes) -> None:
        """Finish the initialisation. The payload is empty, because a kernel's requests come over its sockets."""
        sys.argv[:] = [ipykernel_launcher.__file__, *self.argv]
        session = os.environ.get("JPY_SESSION_NAME")
        if session:
            self.app.shell.user_ns["__session__"] = session
        self.app.finish_setup()

    def run(self) -> None:
        """Serve until a client requests the shutdown."""
        self.app.start()
