"""An imitation of a kernel that modules see while a fork server imports them.

Libraries inspect the process when they are imported. They look for an IPython shell, a kernel, a terminal, or the main
module. In the server, libraries must find the same objects as in a kernel. So imports in the server see ipykernel's
own application, kernel and shell, but without sockets and threads. A child does not use these objects: it creates its
own. A module that stores a reference to such an object, or changes the object (with a formatter, a magic, a hook), is
not preloaded. The output streams and the main module are exceptions, because many modules store references to them, for
instance as default arguments. The child uses the server's output streams and main module as its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

import ipykernel_launcher  # type: ignore[import-untyped]
from ipykernel.iostream import OutStream
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.session import Session

_IN_SHELL = ("display_formatter", "display_pub", "displayhook", "events", "magics_manager", "history_manager")
_MODULE_NAMES = ("__name__", "__doc__", "__loader__", "__package__", "__spec__")
_kept: dict[str, Any] = {}  # output streams and main module; imported modules may refer to them


class StandIn:
    """The kernel's objects that imported modules may see, and their state before an import."""

    def __init__(self, app: Any, kernel: Any) -> None:
        self._shell = kernel.shell
        self._objects = [app, kernel, self._shell, *(getattr(self._shell, name) for name in _IN_SHELL)]
        self._before: tuple[object, object] = (), ()

    def changes(self) -> str:
        """Describe how imports have changed the kernel's objects, or stored references to them, since the last call.

        Return "" if imports did neither.
        """
        if self._count() != self._before[0]:
            gc.collect()
        before, self._before = self._before, (self._count(), self._state())
        if self._before[1] != before[1]:
            return "its import changes the kernel's shell"
        if self._before[0] != before[0]:
            return "its import keeps a reference to the kernel or its shell"
        return ""

    def _count(self) -> list[int]:
        return [sys.getrefcount(each) for each in self._objects]

    def _state(self) -> object:
        shell = self._shell
        formatters = [
            (list(each.type_printers.items()), list(each.deferred_printers.items()), list(each.singleton_printers))
            for each in shell.display_formatter.formatters.values()
        ]
        hooks = sys.displayhook, sys.excepthook, shell.showtraceback
        lists = shell.input_transformers_cleanup, shell.input_transformers_post, shell.ast_transformers
        counted = [formatters, shell.events.callbacks, shell.magics_manager.magics, *lists]
        return repr([counted, hooks, sorted(shell.user_ns), shell.custom_exceptions, dict(shell.config)])


@contextlib.contextmanager
def stand_in_for_kernel() -> Iterator[StandIn]:
    """Let imports see the objects of a kernel; yield them as a `StandIn`."""
    before = sys.argv[:], sys.stdout, sys.stderr, sys.displayhook, sys.excepthook, sys.modules["__main__"]
    sys.argv[:] = [ipykernel_launcher.__file__, "-f", "kernel.json"]
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    app: Any = IPKernelApp.instance(parent_handle=1)
    app.no_secure_transport = True
    app.config.HistoryManager.enabled = False  # the history manager would start a thread
    super(IPKernelApp, app).initialize(["-f", "kernel.json"])
    sys.stdout, sys.stderr = _Stream("stdout", before[1]), _Stream("stderr", before[2])
    _kept.update(stdout=sys.stdout, stderr=sys.stderr)
    kernel: Any = IPythonKernel.instance(
        parent=app, session=Session(parent=app), profile_dir=app.profile_dir, user_ns=None
    )
    shell = kernel.shell
    try:
        with shell.builtin_trap:
            seen = StandIn(app, kernel)
            for _ in range(2):
                # Called twice, because the first call itself creates some of the compared state.
                seen.changes()
            yield seen
    finally:
        atexit.unregister(shell.atexit_operations)
        type(shell).clear_instance()
        IPythonKernel.clear_instance()
        IPKernelApp.clear_instance()
        sys.argv[:], sys.stdout, sys.stderr, sys.displayhook, sys.excepthook, sys.modules["__main__"] = before
        del os.environ["JPY_PARENT_PID"]
        _kept["main"] = _emptied(shell.user_module)


def output_stream(session: Any, thread: Any, name: str, **options: Any) -> OutStream:
    """Return a kernel's output stream: the one to which preloaded modules may refer, or a new one if there is none."""
    stream = _kept.get(name)
    if stream is None:
        return OutStream(session, thread, name, **options)  # type: ignore[no-untyped-call]
    stream.__dict__.clear()
    stream.__class__ = OutStream
    OutStream.__init__(stream, session, thread, name, **options)  # type: ignore[no-untyped-call]
    return cast("OutStream", stream)


@contextlib.contextmanager
def kept_main_module() -> Iterator[None]:
    """If preloaded modules may refer to a main module, let a new shell use that module."""
    shells: Any = InteractiveShell
    main, prepare = _kept.get("main"), shells.prepare_user_module
    if main is None:
        yield
        return
    shells.prepare_user_module = lambda shell, *_, **__: prepare(shell, main, vars(main))
    try:
        yield
    finally:
        shells.prepare_user_module = prepare


def _emptied(main: Any) -> Any:
    first = {name: vars(main)[name] for name in _MODULE_NAMES if name in vars(main)}
    vars(main).clear()
    vars(main).update(first)
    return main


class _Stream(OutStream):
    """A kernel's output stream that writes to the server's log."""

    def __init__(self, name: str, log: TextIO) -> None:
        self.name = name
        self._log = log
        self._isatty = False
        self._original_stdstream_copy = log.fileno()
        # ipykernel 6 records the threads of each stream, including threads that start before a kernel uses the stream.
        self._thread_to_parent: dict[int, int] = {}
        self._thread_to_parent_header: dict[int, Any] = {}

    @property
    def closed(self) -> bool:
        return False

    def write(self, string: str) -> int:
        return self._log.write(string)

    def writelines(self, sequence: Any) -> None:
        self._log.writelines(sequence)

    def flush(self) -> None:
        self._log.flush()

    def close(self) -> None:
        """Do nothing: the log stays open."""

    def __del__(self) -> None:
        """Do nothing: nothing was opened."""
