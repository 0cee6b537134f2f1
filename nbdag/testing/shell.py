"""An IPython shell in the process of a test. It keeps what cells display and print.

The shell is created once, because this takes 0.3 s. It gets the namespace of each cell. It writes no history, and reads
no configuration of the user. Errors of a cell are raised, not shown.
"""

from __future__ import annotations

import ast
import asyncio
import atexit
import inspect
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

from ..core.cells.source import Python, to_python

_INLINE = "module://matplotlib_inline.backend_inline"  # matplotlib's backend in kernels: figures become displays
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True, slots=True)
class Display:
    """Something that a cell displayed."""

    data: Mapping[str, Any]  # key: MIME type; value: text, or bytes of an image
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self.data.get("text/plain", ", ".join(self.data)))


class CellShell:
    """Executes cells in one namespace, and keeps what they display and print."""

    def __init__(self, shell: Any, names: dict[str, Any], out: io.StringIO, err: io.StringIO) -> None:
        self._shell = shell
        self._names = names
        self._out, self._err = out, err
        self.displays: list[Display] = []

    @property
    def stdout(self) -> str:
        """The text printed since `begin`."""
        return self._out.getvalue()

    @property
    def stderr(self) -> str:
        """The text written to standard error since `begin`."""
        return self._err.getvalue()

    def begin(self) -> None:
        """Discard the displays and the text that are kept so far."""
        self.displays.clear()
        for stream in (self._out, self._err):
            stream.seek(0)
            stream.truncate()

    def execute(self, code: str, file: str, *, is_task: bool = False) -> Any:
        """Execute a cell, and return the value of its last expression. If `is_task`, display this value."""
        __tracebackhide__ = True
        python = to_python(code)
        shown = isinstance(python, Python) and python.shown
        tree = ast.parse(self._shell.transform_cell(code), file)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._evaluate(compile(tree, file, "exec", _FLAGS))
        value = self._evaluate(compile(ast.Expression(last.value), file, "eval", _FLAGS)) if last is not None else None
        if is_task:
            if shown and value is not None:
                data, metadata = self._shell.display_formatter.format(value)
                if data:
                    self.displays.append(Display(data, metadata))
            self._shell.events.trigger("post_execute")  # matplotlib's inline backend shows its figures here
        return value

    def _evaluate(self, code: Any) -> Any:
        __tracebackhide__ = True
        value = eval(code, self._names)
        return asyncio.run(value) if inspect.iscoroutine(value) and code.co_flags & inspect.CO_COROUTINE else value


@contextmanager
def captured(module: ModuleType) -> Iterator[CellShell]:
    """Yield a shell with the namespace of `module`. Inside the `with` block, `module` is `__main__`."""
    shell = _shell()
    out, err = io.StringIO(), io.StringIO()
    found = CellShell(shell, module.__dict__, out, err)
    before = shell.user_module, shell.user_ns, shell.display_pub, sys.modules.get("__main__")
    shell.user_module, shell.user_ns = module, module.__dict__
    shell.init_user_ns()
    shell.display_pub = _publisher(found)
    sys.modules["__main__"] = module
    plots = None if "MPLBACKEND" in os.environ or "matplotlib.pyplot" in sys.modules else "MPLBACKEND"
    if plots is not None:
        os.environ[plots] = _INLINE
    try:
        with redirect_stdout(out), redirect_stderr(err), shell.builtin_trap:
            yield found
    finally:
        if plots is not None:
            os.environ.pop(plots, None)
        shell.user_module, shell.user_ns, shell.display_pub = before[:3]
        if before[3] is not None:
            sys.modules["__main__"] = before[3]
        # Print what the cell has printed, so that pytest shows the text if the test fails.
        sys.stdout.write(out.getvalue())
        sys.stderr.write(err.getvalue())


@cache
def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    if InteractiveShell.initialized():
        return InteractiveShell.instance()
    main = sys.modules["__main__"]
    hook = sys.excepthook

    class Shell(InteractiveShell):
        def enable_gui(self, gui: str | None = None) -> None:
            """Start no event loop of a GUI; `%matplotlib` calls this function."""

    config = Config()
    config.HistoryManager.enabled = False
    folder = tempfile.TemporaryDirectory(prefix="nbdag-ipython-")
    try:
        shell = Shell.instance(config=config, ipython_dir=folder.name)
    finally:
        sys.modules["__main__"], sys.excepthook = main, hook
    atexit.register(folder.cleanup)
    return shell


def _publisher(found: CellShell) -> Any:
    from IPython.core.displaypub import DisplayPublisher

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, metadata: Any = None, source: Any = None, **_: Any) -> None:
            found.displays.append(Display(dict(data), dict(metadata or {})))

        def clear_output(self, wait: bool = False) -> None:
            found.displays.clear()

    return Publisher()  # type: ignore[no-untyped-call]
