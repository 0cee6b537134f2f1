"""Let papermill write parameters into the injected cell even if their values do not exist in JSON.

A date, path, tuple, set or member of an enum is passed as a `KernelCode`. Papermill writes the text of the `KernelCode`
into the metadata, and its source code into the injected cell.
"""

from __future__ import annotations

from typing import Any

from papermill.translators import PythonTranslator, papermill_translators

from ...core.cells.kernel_values import KernelCode


class TaskTranslator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator for Python, which writes `KernelCode` as code."""

    @classmethod
    def translate(cls, val: Any) -> str:
        """Return the source code of a value."""
        return val.code if isinstance(val, KernelCode) else str(super().translate(val))


def register_translator() -> None:
    """Make papermill use the translator in this process."""
    papermill_translators.register("python", TaskTranslator)
