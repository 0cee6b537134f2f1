"""A %%dag cell that is built in this process, without a kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nbdag import operators
from nbdag.core.cells.cells import RawCell
from nbdag.operators import OperatorError
from nbdag.operators.build import Build, building


@pytest.fixture
def build() -> Callable[[str], tuple[list[RawCell], Build]]:
    """Return a function that builds a body, whose first line is line 2. An `OperatorError` has the line of the cell."""

    def build(body: str) -> tuple[list[RawCell], Build]:
        code = f"# %%dag\n{body}"
        namespace = {**operators.offered(lambda name: True), "__name__": "__main__"}
        with building(namespace, code) as made:
            try:
                exec(compile(code, "<the body>", "exec"), namespace)
                return made.cells(), made
            except OperatorError as error:
                error.line = made.line_of(error) or error.line
                raise

    return build
