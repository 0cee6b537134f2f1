"""Print nbdag's benchmark results, their targets, and the results of comparable tools (peers) measured at the same time.

    python -m tests.benchmarks                          all benchmarks, in about five minutes
    python -m tests.benchmarks --only overhead,cold
    python -m tests.benchmarks --peers FOLDER           with more peers: see tests/benchmarks/peers.py
    python -m tests.benchmarks --markdown -o FILE       a table for CONTRIBUTING.md

No benchmark asserts: a missed target is printed like a reached one. If a benchmark fails, its error is printed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbdag import runs
from tests.browser.bare import broad_cells

from . import dask_hosts, full_store, inside, seen
from .measure import Place, Timing, place, timings
from .peers import Peers

HEAVY = "import pandas, sklearn.linear_model"
JOBS = os.cpu_count() or 1
MAPPED = int(os.environ.get("NBDAG_BENCHMARK_TASKS", "2000"))  # mapped instances on three hosts
IDEAL = 1.5  # seconds: 20 tasks of half a second, eight at a time


@dataclass(frozen=True, slots=True)
class Settings:
    """The number of measurements, and the peers."""

    times: int  # measurements of nbdag and papermill
    peers: Peers
    peer_times: int = 1  # measurements of other peers, which take half a minute or more and vary little


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    what: str
    figure: str  # the target
    ours: Timing | str
    peer: str = ""
    theirs: Timing | None = None

    def __str__(self) -> str:
        ratio = ""
        if self.theirs is not None and isinstance(self.ours, Timing):
            ratio = f"{self.theirs.median / self.ours.median:.1f} ×"
        theirs = f"{self.peer}: {self.theirs}" if self.theirs is not None else self.peer
        return f"| {self.what} | {self.figure} | {self.ours} | {theirs} | {ratio} |"


def overhead(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the overhead per task with warm kernels."""
    notebook = at.chain("chain20", 20)
    at.nbdag(notebook)
    ours = timings(by.times, lambda: at.nbdag(notebook)["duration"] / 20)
    single = at.plain("single", ["x = 1"])
    peer = timings(by.times, lambda: at.papermill(single))
    yield Row("one task of 20 × `x = 1` in a chain, warm", "≤ 0.10 s", ours, "papermill, a notebook per task", peer)


def heavy_overhead(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the overhead per task with imports in setup."""
    notebook = at.chain("heavy20", 20, HEAVY)
    at.nbdag(notebook)
    ours = timings(by.times, lambda: at.nbdag(notebook)["duration"] / 20)
    single = at.plain("heavysingle", [HEAVY, "x = 1"])
    peer = timings(by.times, lambda: at.papermill(single))
    yield Row("the same with `import pandas, sklearn` in setup", "≥ 20 ×", ours, "papermill, a notebook per task", peer)


def cold(at: Place, by: Settings) -> Iterator[Row]:
    """Measure a chain of ten tasks without a running fork server."""
    notebook = at.chain("cold", 10)
    ours = timings(by.times, lambda: at.nbdag(notebook) and None, at.forget_servers)
    whole = at.plain("whole", [f"x{n} = 1" for n in range(10)])
    peer = timings(by.times, lambda: at.papermill(whole))
    what = "ten tasks in a chain, whole process, cold"
    yield Row(what, "≤ papermill's", ours, "papermill, one notebook for all", peer)
    tasks = {f"t{n}": ("x = 1", [f"t{n - 1}"] if n else []) for n in range(10)}
    for peer_too, run in by.peers.runs(at.folder / "peers", tasks):
        yield Row(what, "", ours, peer_too.name, timings(by.peer_times, run))


def heavy_cold(at: Place, by: Settings) -> Iterator[Row]:
    """Measure a chain of ten tasks with imports, without a running fork server."""
    notebook = at.chain("heavycold", 10, HEAVY)
    ours = timings(by.times, lambda: at.nbdag(notebook) and None, at.forget_servers)
    whole = at.plain("heavywhole", [HEAVY, *(f"x{n} = 1" for n in range(10))])
    peer = timings(by.times, lambda: at.papermill(whole))
    yield Row("the same with `import pandas, sklearn`", "≤ papermill's", ours, "papermill, one notebook for all", peer)
    again = timings(by.times, lambda: at.nbdag(notebook) and None)
    yield Row("the same, a second time within ten minutes", "≤ 1.5 s", again, "papermill, one notebook for all", peer)


def fan(at: Place, by: Settings) -> Iterator[Row]:
    """Measure a task, then twenty parallel tasks that sleep, then a task."""
    notebook = at.fan("fan", 20, 0.5)
    what = "1 → 20 × `sleep(0.5)` → 1, eight at a time, {}"
    at.nbdag(notebook, "--jobs", "8")
    warm = timings(by.times, lambda: at.nbdag(notebook, "--jobs", "8")["duration"])
    yield Row(what.format("warm"), f"≤ {1.3 * IDEAL:.2f} s", warm, "ideal", Timing((IDEAL,)))
    from_nothing = timings(by.times, lambda: at.nbdag(notebook, "--jobs", "8") and None, at.forget_servers)
    tasks = {f"m{n}": ("import time; time.sleep(0.5)", ["first"]) for n in range(20)}
    tasks = {"first": ("x = 1", []), **tasks, "last": ("x = 1", list(tasks))}
    yield Row(what.format("whole process, cold"), "≤ 3.7 s", from_nothing)
    for peer, run in by.peers.runs(at.folder / "peers", tasks, jobs=8):
        if peer.package != "dagstermill":  # dagstermill would take five minutes
            yield Row(what.format("whole process, cold"), "", from_nothing, peer.name, timings(by.peer_times, run))


def mapped(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the overhead per instance of a mapped task with 1,000 instances, of which every one is recorded."""
    size = 1_000
    cells = [f"%load_ext nbdag\n%dag mapped --max-active-tasks {JOBS}", f"%%task xs\nxs = range({size})"]
    notebook = at.notebook("mapped", [*cells, "%%task one --map x=xs\ny = 1", "%%task last\nprint(len(y))"])

    def measure() -> float:
        run = at.nbdag(notebook, "--jobs", str(JOBS))
        ended = [task for task in run["tasks"] if task["id"] == "one" and task["state"] == "success"]
        if len(ended) != size or {task["map_index"] for task in ended} != set(range(size)):
            raise RuntimeError(f"{len(ended)} of {size} instances are recorded")
        return float(run["duration"]) / size

    yield Row(f"one of 1,000 mapped instances of `x = 1`, {JOBS} at a time", "≤ 0.10 s", timings(1, measure))


def array(at: Place, by: Settings) -> Iterator[Row]:
    """Measure how long passing a large array between tasks takes."""
    make = "%%task make\nimport numpy as np; a = np.ones(12_500_000)"
    take = "%%task take\ns = float(a[:9].sum())"
    head = "%load_ext nbdag\n%dag "
    large = at.notebook("array", [f"{head}array", make, take])
    small = at.notebook("small", [f"{head}small", make.replace("12_500_000", "10"), take])
    for notebook in (large, small):
        at.nbdag(notebook)
    base = timings(by.times, lambda: at.nbdag(small)["duration"])
    ours = timings(by.times, lambda: at.nbdag(large)["duration"] - base.median)
    yield Row("100 MB array, producer to consumer, beyond ten numbers", "≤ 0.2 s", ours)


def rules(at: Place, by: Settings) -> Iterator[Row]:
    """Measure pure rules, which need no kernel and no process."""
    yield Row("plan of 5,000 tasks", "≤ 0.1 s", timings(by.times, inside.plan_of(5_000)))
    mapped = timings(by.times, inside.plan_of_mapped(10_000))
    yield Row("10,000 mapped instances: expanded, planned, slots assigned", "≤ 1 s", mapped)
    yield Row("`check` of 1,000 cells", "≤ 1 s", timings(by.times, inside.check_of(1_000, at.folder)))


def commands(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the commands that users run most often."""
    program = str(Path(sys.executable).parent / "nbdag")
    for command, figure in (("--help", "≤ 0.3 s"), ("list", "≤ 0.5 s")):

        def ask(word: str = command) -> None:
            at.command(program, word)

        ask()
        yield Row(f"`nbdag {command}`", figure, timings(by.times, ask))


def graph(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the live graph of 500 tasks in a browser: the waiting time, and the load of the page's main thread."""
    first, first_busy, change, change_busy = seen.first_and_changes(by.times, 500)
    yield Row(
        "500 tasks: the first picture, once the layout is there", "≤ 0.3 s", first, f"its thread busy: {first_busy}"
    )
    yield Row(
        "500 tasks: one changes its state, and nothing moves", "≤ 50 ms", change, f"its thread busy: {change_busy}"
    )
    sizes = seen.traffic(at.notebook("broad", broad_cells(500)), at.env)
    yield Row("500 tasks: what the kernel sends for one change, at most", "≤ 1 kB", f"{max(sizes)} bytes")


def trigger(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the time from a trigger to the first task, with an idle scheduler."""
    notebook = at.notebook(
        "trigger", ["%load_ext nbdag\n%dag trigger", "%%task first --out at\nimport time; at = time.time()"]
    )
    to_attempt, to_cell = [], []
    with at.scheduler():
        at.nbdag(notebook)  # starts the fork server
        runs.deploy(notebook, home=at.home)
        for _ in range(by.times):
            time.sleep(1.0)
            asked = time.time()
            run = runs.trigger("trigger", home=at.home)
            for _event in runs.follow(run, home=at.home):
                pass
            done = runs.find_run(run.id, home=at.home)
            to_attempt.append((done["first"].started or 0.0) - asked)
            to_cell.append(done.value("at") - asked)
    yield Row("trigger to the first attempt, the scheduler idle before", "≤ 0.2 s", Timing(tuple(to_attempt)))
    yield Row("trigger to the cell's first line, its kernel's start included", "", Timing(tuple(to_cell)))


def full(at: Place, by: Settings) -> Iterator[Row]:
    """Measure a store with 1,000 DAGs and 100,000 task instances."""
    for what, timing in full_store.measured(at.folder, by.times):
        yield Row(f"{what}, 1,000 DAGs and 100,000 task instances", "≤ 0.05 s", timing)


def on_dask(at: Place, by: Settings) -> Iterator[Row]:
    """Measure the overhead per task on Dask."""
    ours, local, delayed = dask_hosts.per_task(at, by.times)
    what = "one task of 20 × `x = 1` in a chain, on Dask"
    yield Row(what, "", ours, "nbdag on this machine", local)
    yield Row(what, "", ours, "`dask.delayed` of the same", delayed)


def hosts(at: Place, by: Settings) -> Iterator[Row]:
    """Measure three hosts: a value that moves, mapped tasks, and the memory of the scheduler. Needs root."""
    found = dask_hosts.on_three_hosts(at.folder, at.notebook, MAPPED)
    what = "100 MB array over S3, beyond ten numbers, until all consumers on other hosts have ended"
    yield Row(f"{what}: the first ones", "", Timing((found["first"],)))
    yield Row(f"{what}: the second ones", "", Timing((found["second"],)))
    yield Row(f"one of {MAPPED:,} mapped instances on three hosts", "", Timing((found["mapped"] / MAPPED,)))
    used, own = found["processor"] / MAPPED, found["scheduler"] / MAPPED
    yield Row("the same: processor time, of which nbdag's scheduler", "", f"{used:.3f} s, {own:.3f} s")
    memory = f"{found['memory']:.0f} MB ({found['memory before']:.0f} MB before the run)"
    yield Row("the same: memory of the process with nbdag's scheduler, at most", "", memory)


ROWS: dict[str, Callable[[Place, Settings], Iterator[Row]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        overhead,
        heavy_overhead,
        cold,
        heavy_cold,
        fan,
        mapped,
        array,
        trigger,
        full,
        rules,
        commands,
        graph,
        on_dask,
        hosts,
    )
}


def main() -> None:
    """Run the benchmarks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="number of measurements of each (default 5)")
    parser.add_argument("--only", default=",".join(ROWS), help="benchmarks to run, comma-separated: " + ", ".join(ROWS))
    parser.add_argument("--peers", type=Path, help="bin folder of an environment with the other tools")
    parser.add_argument(
        "--markdown", action="store_true", help="print only the table and one sentence, for CONTRIBUTING.md"
    )
    parser.add_argument("-o", "--output", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    by = Settings(options.times, Peers(options.peers.absolute() if options.peers else None))
    load = "" if options.markdown else f" Load before: {os.getloadavg()[0]:.1f}."
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {platform.system()} ({platform.machine()}), Python "
        f"{platform.python_version()}, {_versions(by)}. Medians of {by.times} (least–most)"
        f"{'; of tools other than papermill a single run' if by.peers.found else ''}.{load}",
        "",
        "| what | to reach | nbdag | peer | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    for name in options.only.split(","):
        with place() as at:
            try:
                for row in ROWS[name](at, by):
                    lines.append(str(row))
                    print(row, flush=True)
            except Exception as error:  # the other benchmarks still run
                print(f"{name} could not be measured: {error}", file=sys.stderr, flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _versions(by: Settings) -> str:
    found = [f"{each} {importlib.metadata.version(each)}" for each in ("nbdag", "papermill", "ipykernel")]
    found += [f"{peer.package} {by.peers.version(peer)}" for peer in by.peers.found]
    return ", ".join(found)


if __name__ == "__main__":
    main()
