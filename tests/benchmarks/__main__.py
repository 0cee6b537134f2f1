"""Print the figures that nbdag is to reach, beside what a peer needs for the same in the same minutes.

    python -m tests.benchmarks [--times 5] [--only overhead,cold,…]

Nothing here asserts: a figure that is missed is printed like one that is met.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from .measure import Place, Timing, place, timings

HEAVY = "import pandas, sklearn.linear_model"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    figure: str
    ours: Timing
    peer: str = ""
    theirs: Timing | None = None

    def __str__(self) -> str:
        ratio = f"{self.theirs.median / self.ours.median:.1f} ×" if self.theirs is not None else ""
        theirs = f"{self.peer}: {self.theirs}" if self.theirs is not None else self.peer
        return f"| {self.what} | {self.figure} | {self.ours} | {theirs} | {ratio} |"


def overhead(at: Place, times: int) -> Row:
    """What a task costs beyond its own code, kernels warm."""
    notebook = at.chain("chain20", 20)
    at.nbdag(notebook)
    per_task = timings(times, lambda: at.nbdag(notebook)["duration"] / 20)
    single = at.plain("single", ["x = 1"])
    peer = timings(times, lambda: at.papermill(single))
    return Row(
        "a task's overhead: chain of 20 × `x = 1`, warm",
        "≤ 0.10 s, then ≤ 0.05 s",
        per_task,
        "papermill, a notebook per task",
        peer,
    )


def heavy_overhead(at: Place, times: int) -> Row:
    """The same with imports in setup."""
    notebook = at.chain("heavy20", 20, HEAVY)
    at.nbdag(notebook)
    per_task = timings(times, lambda: at.nbdag(notebook)["duration"] / 20)
    single = at.plain("heavysingle", [HEAVY, "x = 1"])
    peer = timings(times, lambda: at.papermill(single))
    return Row(
        "the same with `import pandas, sklearn`", "≥ 20 × faster", per_task, "papermill, a notebook per task", peer
    )


def cold(at: Place, times: int) -> Row:
    """A chain of ten from nothing."""
    notebook = at.chain("cold", 10)
    ours = timings(times, lambda: at.nbdag(notebook) and None, at.forget_servers)
    whole = at.plain("whole", [f"x{n} = 1" for n in range(10)])
    peer = timings(times, lambda: at.papermill(whole))
    return Row(
        "ten in a chain, from the command line, cold", "≤ papermill's time", ours, "papermill, one notebook", peer
    )


def heavy_cold(at: Place, times: int) -> Row:
    """A chain of ten from nothing, with imports."""
    notebook = at.chain("heavycold", 10, HEAVY)
    ours = timings(times, lambda: at.nbdag(notebook) and None, at.forget_servers)
    whole = at.plain("heavywhole", [HEAVY, *(f"x{n} = 1" for n in range(10))])
    peer = timings(times, lambda: at.papermill(whole))
    return Row("the same with `import pandas, sklearn`", "≤ papermill's time", ours, "papermill, one notebook", peer)


def again(at: Place, times: int) -> Row:
    """A second time within ten minutes."""
    notebook = at.chain("again", 10, HEAVY)
    at.nbdag(notebook)
    ours = timings(times, lambda: at.nbdag(notebook) and None)
    return Row("ten in a chain with imports, a second time", "≤ 1.5 s", ours)


def fan(at: Place, times: int) -> Row:
    """One, twenty that sleep, one."""
    notebook = at.fan("fan", 20, 0.5)
    at.nbdag(notebook, "--jobs", "8")
    ours = timings(times, lambda: at.nbdag(notebook, "--jobs", "8")["duration"])
    return Row("1 → 20 × `sleep(0.5)` → 1, eight at a time, warm", "≤ 1.3 × ideal", ours, "ideal", Timing((1.5,)))


def array(at: Place, times: int) -> Row:
    """A large array from one task to another."""
    make = "%%task make\nimport numpy as np; a = np.ones(12_500_000)"
    take = "%%task take\ns = float(a[:9].sum())"
    head = "%load_ext nbdag\n%dag "
    large = at.notebook("array", [f"{head}array", make, take])
    small = at.notebook("small", [f"{head}small", make.replace("12_500_000", "10"), take])
    for notebook in (large, small):
        at.nbdag(notebook)
    base = timings(times, lambda: at.nbdag(small)["duration"])
    ours = timings(times, lambda: at.nbdag(large)["duration"] - base.median)
    return Row("100 MB array, producer to consumer, beyond a small one", "≤ 0.2 s", ours)


ROWS: dict[str, Callable[[Place, int], Row]] = {
    each.__name__.replace("_", "-"): each for each in (overhead, heavy_overhead, cold, heavy_cold, again, fan, array)
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default=",".join(ROWS), help="of: " + ", ".join(ROWS))
    options = parser.parse_args()
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("nbdag", "papermill", "ipykernel", "jupyter_client")
    )
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, {versions}"
    )
    print(f"Medians of {options.times} (least–most). Load before: {os.getloadavg()[0]:.1f}\n")
    print("| what | figure | nbdag | peer | ratio |\n| --- | --- | --- | --- | --- |")
    for name in options.only.split(","):
        with place() as at:
            print(ROWS[name](at, options.times), flush=True)


if __name__ == "__main__":
    main()
