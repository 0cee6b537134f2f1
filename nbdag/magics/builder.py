"""The execution of a `%%dag` cell in the notebook.

The code runs in the notebook's namespace, like the code of any cell. In the session, the new tasks replace the tasks
that earlier executions of the cell have built. Then the graph is drawn. The tasks themselves do not run. A headless run
executes the cell in the file, and so builds the tasks again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.error import UsageError

from ..core.cells import header
from ..operators import OperatorError, offered
from ..operators.build import Build
from ..operators.tasks import set_build
from ..session import Session
from ..session.document import split
from .running_cell import RunningCell, without_traceback


class Builder:
    """Builds the tasks of a %%dag cell. The code that `transform` generates calls `begin` and `done`."""

    def __init__(self, shell: Any, session: Session, running: RunningCell, draw: Callable[[], None]) -> None:
        self.shell = shell
        self.session = session
        self.running = running
        self.draw = draw
        self._build: Build | None = None
        self._temporary: Mapping[str, Any] = {}  # names that exist only while the cell runs

    def begin(self, line: str) -> None:
        """Prepare the namespace, and start to collect the tasks that the cell builds; `line` is the header."""
        self.running.show_header(line, framed=True)
        try:
            found = header.parse(line)
        except header.HeaderError as error:
            self.running.reject_header()
            raise UsageError(str(error)) from None
        if not found.is_bare:
            self.running.defaults = header.dag_options(found).defaults
        namespace: dict[str, Any] = self.shell.user_ns
        header_lines, body = split(self.running.source)
        code = "\n" * (header_lines.count("\n") + 1) + body
        self._temporary = offered(lambda name: name not in namespace and re.search(rf"\b{name}\b", body) is not None)
        namespace.update(self._temporary)
        self._build = Build(namespace, code)
        set_build(self._build)

    def done(self) -> None:
        """Pass the built cells to the session, and draw the graph. Called at the end of the cell."""
        assert self._build is not None
        try:
            cells = self._build.cells()
        except OperatorError as error:
            raise without_traceback(OperatorError(f"line {error.line}: {error.message}", hint=error.hint)) from None
        for each in self._build.warnings:
            print(f"warning: line {each.line}: {each.message}; {each.hint}", file=sys.stderr)
        if self._build.header is not None:
            self.running.defaults = header.dag_options(self._build.header).defaults
        self.session.built(cells)
        self.draw()

    def close(self) -> None:
        """Remove the temporary names, and stop collecting tasks. Called after the cell, even if the cell failed."""
        if self._build is None:
            return
        set_build(None)
        for name, value in self._temporary.items():
            if self.shell.user_ns.get(name) is value and not self._build.writer.binds(name):
                del self.shell.user_ns[name]
        self._build = None
