"""Main module of the process that runs the code of `%%dag`: `python -m nbdag.building.build_process STEPS RESULT`.

The process uses IPython's shell, as a kernel does, so the code may contain `!ls`, `%time` and top-level await. A step
is a cell to run, values of parameters, or the code of a %%dag cell. The result contains the built cells and warnings,
or the first error with the error's line.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ..errors import NbdagError
from ..operators import OperatorError, offered
from ..operators.build import Build, BuildWarning, building
from ..processes.identity import MARK_VARIABLE
from ..processes.marks import adopt_mark
from ..processes.parent_watchdog import start_parent_watchdog
from ..secrets.parameters import resolved


class _Shell(InteractiveShell):
    """A shell that prints no traceback, since the result contains the error."""

    def _showtraceback(self, *_: Any) -> None: ...

    def enable_gui(self, gui: str | None = None) -> None: ...


class _Failed(Exception):
    def __init__(self, cell: int, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.details = {"cell": cell, "line": line, "message": message, "hint": hint}


def main(steps_path: str, result_path: str) -> None:
    """Execute the steps in one JSON file and write the result to another JSON file."""
    start_parent_watchdog()
    if mark := os.environ.get(MARK_VARIABLE):
        adopt_mark(mark)
    _add_working_directory()
    steps = json.loads(Path(steps_path).read_text(encoding="utf-8"))
    # The executed code must not be written to the user's history of IPython.
    shell = _Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    try:
        warnings: list[dict[str, Any]] = []
        result: Mapping[str, Any] = {"built": _built(shell, steps, warnings), "warnings": warnings}
    except _Failed as failed:
        result = {"error": failed.details}
    sys.stdout.flush()
    sys.stderr.flush()
    Path(result_path).write_text(json.dumps(result), encoding="utf-8")


def _add_working_directory() -> None:
    """Add the working directory to `sys.path`, after the standard library, as a kernel does."""
    names = [Path(path).name for path in sys.path]
    at = next((n for n, name in enumerate(names) if name in ("site-packages", "dist-packages")), 0)
    sys.path.insert(at, "")


def _built(
    shell: Any, steps: Sequence[Mapping[str, Any]], warnings: list[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    found = []
    for step in steps:
        if "parameters" in step:
            try:
                shell.user_ns.update(resolved(step["parameters"]))
            except NbdagError as unknown:
                raise _Failed(0, 1, str(unknown), "") from unknown
            for name, code in step["code"].items():
                shell.user_ns[name] = eval(code, shell.user_ns)
        elif step["builds"]:
            cells, warned = _body(shell, step["cell"], step["code"])
            found.append(cells)
            warnings += [{"cell": step["cell"], **asdict(each)} for each in warned]
        else:
            result = shell.run_cell(step["code"], silent=True)
            error = result.error_before_exec or result.error_in_exec
            if error is not None:
                raise _failed(step["cell"], Build(shell.user_ns, "").line_of(error), error)
    return found


def _body(shell: Any, cell: int, code: str) -> tuple[list[dict[str, Any]], list[BuildWarning]]:
    namespace = shell.user_ns
    try:
        known = offered(lambda name: name not in namespace and re.search(rf"\b{name}\b", code) is not None)
    except Exception as error:
        raise _failed(cell, 1, error) from error
    namespace.update(known)
    with building(namespace, code) as build:
        result = shell.run_cell(code, silent=True)
        raised = result.error_before_exec or result.error_in_exec
        if raised is not None:
            raise _failed(cell, build.line_of(raised), raised)
        try:
            return [{"source": each.source, "line": each.built} for each in build.cells()], build.warnings
        except OperatorError as error:
            raise _failed(cell, error.line, error) from error


def _failed(cell: int, line: int | None, error: BaseException) -> _Failed:
    if isinstance(error, SyntaxError) and line is None:
        line = error.lineno
    if isinstance(error, OperatorError):
        return _Failed(cell, line or 1, error.message, error.hint)
    lines = str(error).strip().splitlines()
    message = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return _Failed(cell, line or 1, message, "")


if __name__ == "__main__":
    main(*sys.argv[1:])
