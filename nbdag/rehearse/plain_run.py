"""Run the cells of a notebook in one fresh kernel, from top to bottom, and observe what they use."""

from __future__ import annotations

import copy
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..kernels.runtime import rehearsal_observer
from .observations import Observations, read_observations

_LINE = re.compile(r"^-+> ?(\d+)", re.MULTILINE)
_IN_CELL = re.compile(r"Cell In\[\d+\], line (\d+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first cell that failed in a run."""

    cell: int | None
    line: int | None
    name: str  # name of the exception
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a notebook."""

    outputs: Mapping[int, Sequence[Mapping[str, Any]]]  # the outputs of each cell that ran, by its number from 0
    seconds: float
    failures: tuple[Failure, ...] = ()
    observed: Observations = field(default_factory=Observations)


def variation(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that differ in the second run, to reveal a notebook that depends on them.

    These variables set the time zone, the locale, and the seed of hashes, which determines the order of sets. A
    seed that the user has set is kept.
    """
    ahead = environment.get("TZ", "").startswith("NBD")
    is_utf = "UTF" in (environment.get("LC_ALL") or environment.get("LANG") or "").upper()
    changed = {"TZ": "UTC" if ahead else "NBD-05:45", "LC_ALL": "C" if is_utf else "C.UTF-8"}
    return changed if "PYTHONHASHSEED" in environment else {**changed, "PYTHONHASHSEED": "20011"}


def run_plainly(
    notebook: Any,
    folder: Path,
    cells: Sequence[int],
    *,
    environment: Mapping[str, str] | None = None,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> Execution:
    """Run these cells of a notebook in a fresh kernel, whose working directory is `folder`.

    `notebook` is an object of nbformat, and is not changed. `environment` has additional variables for the kernel. The
    run ends at the first cell that fails. `report` is called with the number of executed cells and the number of all
    cells.
    """
    import subprocess

    from nbclient import NotebookClient

    from ..kernels.jupyter.engine import START_TIMEOUT

    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(copy.deepcopy(notebook), timeout=None, startup_timeout=START_TIMEOUT, resources=place)
    with client.setup_kernel(stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}):
        return execute(client, folder, cells, report=report)


def execute(
    client: Any,
    folder: Path,
    cells: Sequence[int],
    *,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> Execution:
    """Run these cells of a client's notebook in the client's kernel."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    failures: list[Failure] = []
    ran: list[int] = []
    with tempfile.TemporaryDirectory(prefix="nbdag-rehearsal-") as observed:
        _start_observer(client, observed, folder)
        begun = time.monotonic()
        for cell in client.nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        for done, number in enumerate(cells, 1):
            ran.append(number)
            try:
                client.execute_cell(client.nb.cells[number], number)
            except CellExecutionError as failure:
                failures.append(
                    Failure(cell=number, line=_line(client.nb.cells[number]), name=failure.ename, text=failure.evalue)
                )
                break
            except DeadKernelError:
                failures.append(Failure(cell=number, line=None, name="DeadKernelError", text="its kernel ended"))
                break
            report(done, len(cells))
        seconds = time.monotonic() - begun
        seen = read_observations(Path(observed), {number: client.nb.cells[number].source for number in ran})
    return Execution(
        outputs={number: client.nb.cells[number].outputs for number in ran},
        seconds=seconds,
        failures=tuple(failures),
        observed=seen,
    )


def _start_observer(client: Any, observed: str, folder: Path) -> None:
    """Define the observer's code in the kernel, because the environment of the kernel may lack nbdag."""
    from nbformat import v4

    source = Path(rehearsal_observer.__file__).read_text(encoding="utf-8")
    code = (
        "import sys as _s, types as _t\n"
        "_m = _s.modules.get('_nbdag_rehearsal')\n"
        "if _m is None:\n"
        "    _m = _s.modules['_nbdag_rehearsal'] = _t.ModuleType('_nbdag_rehearsal')\n"
        f"    exec(compile({source!r}, '_nbdag_rehearsal', 'exec'), _m.__dict__)\n"
        f"_m.begin(get_ipython(), {observed!r}, {str(folder)!r})\n"
        "del _s, _t, _m"
    )
    # The client writes an executed cell back into its notebook, so the cell needs a place there.
    client.nb.cells.append(v4.new_code_cell(code))
    try:
        client.execute_cell(client.nb.cells[-1], len(client.nb.cells) - 1, store_history=False)
    finally:
        client.nb.cells.pop()


def _line(cell: Any) -> int | None:
    """Return the line of the cell at which its error was raised."""
    for output in cell.outputs:
        if output.output_type == "error":
            text = _COLOUR.sub("", "\n".join(output.traceback))
            found = _IN_CELL.search(text) or _LINE.search(text)
            return int(found[1]) if found else None
    return None
