"""A `%%dag` cell that is run in the notebook.

Its body runs here, in the notebook's own namespace, as any cell does; the tasks that it makes are the session's from
then on, in place of those that it made before, and the graph is drawn. None of them has run: a headless run builds them
again, from the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.error import UsageError

from ..core.cells import header
from ..operators import OperatorError, offered
from ..operators.build import Build
from ..operators.tasks import set_build
from ..session import Session, split
from .running_cell import Around, plain


class Builder:
    """What the code that `transform` makes of a %%dag cell calls, at its beginning and at its end."""

    def __init__(self, shell: Any, session: Session, around: Around, draw: Callable[[], None]) -> None:
        self.shell = shell
        self.session = session
        self.around = around
        self.draw = draw
        self._build: Build | None = None
        self._lent: Mapping[str, Any] = {}  # names that the namespace has while the body runs

    def begin(self, line: str) -> None:
        """The body begins; `line` is the header."""
        self.around.show_header(line, framed=True)
        try:
            found = header.parse(line)
        except header.HeaderError as error:
            self.around.refuse()
            raise UsageError(str(error)) from None
        if not found.is_bare:
            self.around.defaults = header.dag_options(found).defaults
        namespace: dict[str, Any] = self.shell.user_ns
        said, body = split(self.around.source)
        code = "\n" * (said.count("\n") + 1) + body
        self._lent = offered(lambda name: name not in namespace and re.search(rf"\b{name}\b", body) is not None)
        namespace.update(self._lent)
        self._build = Build(namespace, code)
        set_build(self._build)

    def done(self) -> None:
        """The body is through: what it made is there."""
        assert self._build is not None
        try:
            cells = self._build.cells()
        except OperatorError as error:
            raise plain(OperatorError(f"line {error.line}: {error.message}", hint=error.hint)) from None
        self.session.built(cells)
        self.draw()

    def close(self) -> None:
        """The cell has ended, in whatever way."""
        if self._build is None:
            return
        set_build(None)
        for name, value in self._lent.items():
            if self.shell.user_ns.get(name) is value and not self._build.writer.binds(name):
                del self.shell.user_ns[name]
        self._build = None
