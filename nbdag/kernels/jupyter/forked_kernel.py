"""An IPython kernel as a child of a fork server.

It is ipykernel's own application, so a kernel is in every respect what `python -m ipykernel_launcher` would have
made it. What depends on neither working directory nor notebook (sockets, threads, the shell) is made when the child
is, which for a spare is ahead of time; what may look around (the path, extensions, startup files) comes last.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sqlite3
import sys
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
from ipykernel import kernelapp

from ...values import types
from ..forkserver.child import Nest, Streams
from ..runtime import runtime
from .connection import connection_info

types.search()  # once, for all kernels that are forked

# What a kernel imports while it starts; here it is imported once, for all of them.
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

# Python's tokenizer compiles its patterns when it is first used; of a kernel's first cell that is most of the time.
IPython.core.inputtransformer2.TransformerManager().transform_cell("rehearsal = f(1)")

# Matplotlib looks at this when it is imported, which is after a kernel has set it, unless it is imported ahead.
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")


class IPKernelApp(kernelapp.IPKernelApp):
    """ipykernel's application, whose last steps wait until `settle`. Command line and configuration go by its name."""

    def init_path(self) -> None:
        """Later."""

    def init_gui_pylab(self) -> None:
        """Later."""

    def init_extensions(self) -> None:
        """Later."""

    def init_code(self) -> None:
        """Later."""

    def start(self) -> None:
        """Serve until told to shut down.

        At exit, ipykernel stops the thread that publishes before the one that answers. When that one is still
        flushing its answer to the shutdown, it waits for the stopped one, for ever; so it finishes first.
        """
        try:
            super().start()  # type: ignore[no-untyped-call]
        finally:
            if self.control_thread is not None and self.control_thread.is_alive():
                self.control_thread.stop()
                self.control_thread.join(timeout=5)

    def settle(self) -> None:
        """The steps that were put off, in the application's own order."""
        super().init_path()  # type: ignore[no-untyped-call]
        if self.shell:
            super().init_gui_pylab()  # type: ignore[no-untyped-call]
            super().init_extensions()  # type: ignore[no-untyped-call]
            super().init_code()  # type: ignore[no-untyped-call]
        sys.stdout.flush()
        sys.stderr.flush()


class ForkedKernel:
    """What a fork server makes: `arguments` is the kernel's command line as JSON, without its connection file."""

    def __init__(self, arguments: bytes, nest: Nest) -> None:
        file = nest.folder / "kernel.json"
        info = connection_info(nest.folder, nest.secret)
        file.write_text(json.dumps({**info, "key": nest.secret}))
        self.argv = ["-f", str(file), *json.loads(arguments or b"[]")]
        # 1 is a parent that never ends: it is the fork server that ends a kernel whose owner is gone.
        self.app: Any = IPKernelApp.instance(parent_handle=1)
        self.app.initialize(self.argv)  # type: ignore[no-untyped-call]

    def streams(self) -> Streams:
        """ipykernel has put pipes in the places of 1 and 2, and kept what was there."""
        out, err = (getattr(stream, "_original_stdstream_copy", None) for stream in (sys.stdout, sys.stderr))
        return 0, out, err

    def settle(self, payload: bytes) -> None:
        """There is no payload: a kernel is told over its sockets what to do."""
        sys.argv[:] = [ipykernel_launcher.__file__, *self.argv]
        session = os.environ.get("JPY_SESSION_NAME")
        if session:
            self.app.shell.user_ns["__session__"] = session
        self.app.settle()

    def run(self) -> None:
        """Serve until told to shut down."""
        self.app.start()
