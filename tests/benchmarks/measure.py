"""Functions that run a pipeline from the command line, each timed as a whole process."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from nbdag.home import Home


@dataclass(frozen=True, slots=True)
class Timing:
    """The results of repeated measurements."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        digits = 3 if self.median < 1 else 2
        spread = f" ({min(self.seconds):.{digits}f}–{max(self.seconds):.{digits}f})" if len(self.seconds) > 1 else ""
        return f"{self.median:.{digits}f} s{spread}"


def timings(times: int, action: Callable[[], float | None], before: Callable[[], object] = lambda: None) -> Timing:
    """Repeat an action; each measurement is the seconds that the action returns, or else its duration."""
    seconds = []
    for _ in range(times):
        before()
        start = time.perf_counter()
        measured = action()
        seconds.append(time.perf_counter() - start if measured is None else measured)
    return Timing(tuple(seconds))


class Place:
    """A folder for notebooks, with a separate home and fork servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = folder / "s"
        self.env = {**os.environ, "NBDAG_HOME": str(folder / "home"), "NBDAG_RUNTIME_DIR": str(self.servers)}

    def command(self, *words: str) -> str:
        """Run a program to its end; return its output."""
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def nbdag(self, notebook: Path, *options: str) -> dict[str, Any]:
        """Run `nbdag run`; return its report of the run."""
        program = Path(sys.executable).parent / "nbdag"
        return dict(json.loads(self.command(str(program), "run", str(notebook), "--json", *options)))

    @property
    def home(self) -> Home:
        """Return the home that stores the runs."""
        return Home(self.folder / "home")

    @contextmanager
    def scheduler(self) -> Iterator[None]:
        """While it works."""
        words = [str(Path(sys.executable).parent / "nbdag"), "scheduler"]
        with (self.folder / "scheduler.log").open("wb") as log:
            process = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def papermill(self, notebook: Path) -> None:
        """Run a notebook with plain papermill, in one kernel."""
        program = Path(sys.executable).parent / "papermill"
        self.command(str(program), str(notebook), "out.ipynb", "--no-progress-bar")

    def forget_servers(self) -> None:
        """Stop the fork servers, so that the next run must start one."""
        code = "from nbdag.kernels.forkserver import server_registry as servers\nfor key in servers.keys(): servers.stop(key)"
        self.command(sys.executable, "-c", code)

    def notebook(self, name: str, cells: Sequence[str]) -> Path:
        """Write one."""
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.folder / f"{name}.ipynb"
        nbformat.write(nb, path)
        return path

    def chain(self, name: str, length: int, setup: str = "") -> Path:
        """Return a notebook of tasks that each add one to the value of the task before."""
        tasks = [f"%%task t{n}\nx{n} = " + (f"x{n - 1} + 1" if n else "1") for n in range(length)]
        return self.notebook(name, [f"%load_ext nbdag\n%dag {name}", f"%%setup\n{setup}", *tasks])

    def fan(self, name: str, width: int, seconds: float) -> Path:
        """Return a notebook with one task, then parallel tasks that sleep, then one task."""
        middle = [f"%%task m{n} --after first\nimport time; time.sleep({seconds}); m{n} = {n}" for n in range(width)]
        last = "%%task last\ntotal = sum([" + ", ".join(f"m{n}" for n in range(width)) + "])"
        return self.notebook(name, [f"%load_ext nbdag\n%dag {name}", "%%task first\nx = 1", *middle, last])

    def plain(self, name: str, cells: Sequence[str]) -> Path:
        """Return an ordinary notebook, for papermill."""
        return self.notebook(name, cells)


@contextmanager
def place() -> Iterator[Place]:
    """Yield a temporary place; remove it afterwards and stop its fork servers."""
    folder = Path(tempfile.mkdtemp(prefix="nbdag-bench-"))
    made = Place(folder)
    try:
        yield made
    finally:
        made.forget_servers()
        shutil.rmtree(folder, ignore_errors=True)
