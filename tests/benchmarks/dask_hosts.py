"""Dask on one machine, and on three hosts that are network namespaces (`tests/support/hosts.py`)."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nbdag import runs
from nbdag.executors import Choice
from nbdag.home import Home

from .measure import Place, Timing, timings

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def _one() -> int:
    return 1


def per_task(at: Place, times: int) -> tuple[Timing, Timing, Timing]:
    """Return seconds per task of a chain of 20: on Dask, on this machine, and of `dask.delayed`."""
    import dask
    import distributed

    notebook = at.chain("dask20", 20)
    local = timings(times, lambda: at.nbdag(notebook)["duration"] / 20)
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster:
        words = ("--executor", "dask", "--address", cluster.scheduler_address)
        at.nbdag(notebook, *words)
        ours = timings(times, lambda: at.nbdag(notebook, *words)["duration"] / 20)
        with distributed.Client(cluster, set_as_default=False) as client:

            def chain() -> float:
                value = dask.delayed(_one)()
                for _ in range(19):
                    value = dask.delayed(int.__add__)(value, 1)
                began = time.perf_counter()
                client.compute(value, optimize_graph=False).result()
                return (time.perf_counter() - began) / 20

            chain()
            return ours, local, timings(times, chain)


@contextlib.contextmanager
def three_hosts(folder: Path) -> Iterator[Callable[[Path, str], runs.Run]]:
    """Yield a function that runs a notebook on three hosts, with a storage."""
    from hosts import NAMES, missing, site
    from s3 import s3_server

    if why := missing():
        raise RuntimeError(why)
    with (
        tempfile.TemporaryDirectory() as hidden,
        site(Path(hidden)) as at,
        pytest.MonkeyPatch.context() as patch,
        s3_server(folder, at.address),
    ):
        patch.setenv("NBDAG_RUNTIME_DIR", str(folder / "s"))
        for name in NAMES:
            at.start(name)
        at.wait_for(*NAMES)
        choice = Choice("dask", {"address": at.dask})

        def run(notebook: Path, storage: str) -> runs.Run:
            done = runs.run(notebook, executor=choice, home=Home(folder / "far", storage=storage))
            if done.state != "success":
                failed = next((task.error for task in done if task.state == "failed"), None)
                raise RuntimeError(f"run {done.id} of {done.dag}: {failed or done.error}")
            return done

        yield run


def on_three_hosts(folder: Path, notebook: Callable[[str, list[str]], Path], instances: int) -> dict[str, float]:
    """Measure a value that moves through S3, mapped tasks over a shared folder, and the memory of the scheduler.

    Return seconds under "first", "second" (of 100 MB on a host beside the producer's, beyond ten numbers) and "mapped",
    processor seconds of all processes of the mapped tasks under "processor" and of nbdag's scheduler under "scheduler",
    and megabytes under "memory before" and "memory".
    """
    with three_hosts(folder) as run:
        small, large = (_moves(run, notebook, size) for size in (10, 12_500_000))
        me = psutil.Process()
        cells = [
            "%dag many",
            f"%%task items\nparts = list(range({instances}))",
            f"%%task one --map part=parts --max-map-length {instances}\nx = part",
        ]
        before, peak, over = me.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                peak[0] = max(peak[0], me.memory_info().rss)

        thread = threading.Thread(target=watch)
        used, own = _used(me), time.process_time()
        thread.start()
        try:
            done = run(notebook("many", cells), str(folder / "shared"))
        finally:
            over.set()
            thread.join()
        used, own = _used(me) - used, time.process_time() - own
    return {
        "processor": used,
        "scheduler": own,
        "first": large[0] - small[0],
        "second": large[1] - small[1],
        "mapped": done.duration or 0.0,
        "memory before": before / 1e6,
        "memory": peak[0] / 1e6,
    }


def _used(me: psutil.Process) -> float:
    """Return the processor seconds of a process and of all its descendants, with those that have ended."""
    found = 0.0
    for each in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found


def _moves(
    run: Callable[[Path, str], runs.Run], notebook: Callable[[str, list[str]], Path], size: int
) -> tuple[float, float]:
    """Return the seconds until consumers on other hosts than the producer's have ended: the first and the second ones.

    There are as many consumers at once as the hosts have threads, so each host has some.
    """
    take = "--map n=[0,1,2,3,4,5]\nimport time; time.sleep(0.5)\ns{0} = float(a[:9].sum())"
    cells = [
        f"%dag moves{size}",
        "%%task warm --map n=[0,1,2,3,4,5]\nimport numpy, time; time.sleep(0.5)",
        f"%%task make --after warm\nimport numpy as np\na = np.random.default_rng(1).random({size})",
        f"%%task first {take.format(1)}",
        f"%%task second --after first {take.format(2)}",
    ]
    done = run(notebook(f"moves{size}", cells), f"s3://data/moves{size}")
    ended: dict[str, list[float]] = {}
    for each in done:
        if each.map_index >= 0 and each.id in ("first", "second") and each.host != done["make"].host:
            ended.setdefault(each.id, []).append(each.ended or 0.0)
    all_first = max(each.ended or 0.0 for each in done if each.id == "first")
    return max(ended["first"]) - (done["make"].ended or 0.0), max(ended["second"]) - all_first
