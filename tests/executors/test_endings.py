"""However an attempt ends, it has one result and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import patience
import psutil
import pytest
from patience import is_gone, limits, until

from nbdag.core.model.states import TaskState
from nbdag.errors import NbdagError
from nbdag.executors.local import LocalExecutor
from nbdag.kernels.forkserver import framing, server_registry

FAILED = TaskState.FAILED
# Starts every kind of process that a task may start (a child, one in its own session, daemons with and without an
# environment, a fork without a program of its own), writes the pids to a file, and waits.
FAMILY = """
import os, subprocess, sys, time
from pathlib import Path
daemon = "import os, subprocess; os.setsid(); print(subprocess.Popen(['sleep', '1000'], stdout=2).pid)"
bare = "import os, subprocess; os.setsid(); print(subprocess.Popen(['sleep', '1000'], stdout=2, env={}, start_new_session=True).pid)"
def fork():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid:
            os.write(write, str(pid).encode())
            os._exit(0)
        while True:
            time.sleep(1000)
    return int(os.read(read, 100))
pids = [
    os.getpid(),
    subprocess.Popen(["sleep", "1000"]).pid,
    subprocess.Popen(["sleep", "1000"], start_new_session=True).pid,
    int(subprocess.run([sys.executable, "-c", daemon], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout),
    int(subprocess.run([sys.executable, "-c", bare], env={}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout),
    fork(),
]
Path("pids.part").write_text(" ".join(map(str, pids)))
Path("pids.part").rename("pids")
time.sleep(1000)
"""


def wait_for(path: Path) -> list[int]:
    words = until(lambda: path.read_text().split() if path.exists() else [], f"{path.name} is written")
    return [int(pid) for pid in words]


def gone(pids: Iterable[int]) -> bool:
    pids = list(pids)
    return until(lambda: all(map(is_gone, pids)), "every process is gone")


@pytest.fixture(params=["warm", "fresh"])
def both(bench, request):
    bench.kernels = request.param
    return bench


def test_a_timeout_kills_every_process_of_the_attempt(both) -> None:
    for limit in limits():
        result = both.make(FAMILY, options={"timeout": limit})
        assert (result.state, result.error, result.final) == (FAILED, f"timed out after {limit:g} s", False)
        if (both.folder / "pids").exists():
            break
    assert gone(wait_for(both.folder / "pids"))


@pytest.mark.slow
def test_a_timeout_on_a_busy_machine_is_reported_as_one(new_bench) -> None:
    bench = new_bench(2)
    limits = {f"t{n}": 1.0 + n / 4 for n in range(4)}
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        for name, limit in limits.items():
            bench.executor.submit(bench.job("import time\ntime.sleep(1000)", name=name, options={"timeout": limit}))
        found = {result.key.task: result.error for result in (bench.result() for _ in limits)}
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
    assert found == {name: f"timed out after {limit:g} s" for name, limit in limits.items()}


def test_cancel_kills_every_process_of_the_attempt(both) -> None:
    job = both.job(FAMILY)
    both.executor.submit(job)
    pids = wait_for(both.folder / "pids")
    both.executor.cancel(job.key)
    result = both.result()
    assert (result.state, result.error) == (FAILED, "cancelled")
    assert gone(pids)


def test_stop_terminates_running_and_waiting_attempts(new_bench) -> None:
    bench = new_bench(1)
    bench.executor.submit(bench.job(FAMILY, name="runs"))
    pids = wait_for(bench.folder / "pids")
    bench.executor.submit(bench.job("1", name="waits"))
    bench.executor.stop()
    results = sorted((bench.result() for _ in range(2)), key=lambda result: result.key.task)
    assert [(result.key.task, result.error) for result in results] == [("runs", "cancelled"), ("waits", "cancelled")]
    assert gone(pids)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; print('so far', flush=True); os._exit(3)", "the kernel ended by itself, with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the kernel was killed by SIGSEGV"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "the kernel was killed by SIGKILL, perhaps because the system ran out of memory",
        ),
    ],
)
def test_a_kernels_death_is_reported(both, code: str, said: str) -> None:
    result = both.make(code)
    assert (result.state, result.error) == (FAILED, said)


@pytest.mark.slow
def test_a_task_that_succeeds_leaves_no_process(both) -> None:
    result = both.make(FAMILY.removesuffix("time.sleep(1000)\n"))
    assert result.state is TaskState.SUCCESS
    assert gone(wait_for(both.folder / "pids"))


@pytest.mark.slow
def test_what_a_killed_attempt_left_is_found_by_its_mark(both) -> None:
    """Its worker, its kernel, its servers and the record of its processes are gone; the processes are not."""
    job = both.job(FAMILY, mark="1234abcd")
    both.executor.submit(job)
    kernel, *others = wait_for(both.folder / "pids")
    worker = _worker_of(both)
    servers = [psutil.Process(each.pid) for each in server_registry.running()]  # of this test session
    family = [psutil.Process(pid) for pid in (worker, kernel)]
    for each in (*family, *servers):
        each.suspend()  # so that none of them can end the rest
    for each in (*servers, *family):
        each.kill()
    both.result()
    Path(job.path).with_suffix(".pids").unlink(missing_ok=True)
    both.executor.terminate_leftovers(Path(job.path), "1234abcd")
    assert gone([kernel, *others])


@pytest.mark.slow
def test_a_dead_kernels_notebook_shows_the_cell(bench) -> None:
    bench.make("import os\nos._exit(3)")
    text = (bench.folder / "tasks/task/1.ipynb").read_text()
    assert "the kernel ended by itself, with exit code 3" in text


def test_a_killed_workers_attempt_has_a_result_and_leaves_no_process(both) -> None:
    job = both.job(FAMILY)
    both.executor.submit(job)
    pids = wait_for(both.folder / "pids")
    kernel = psutil.Process(pids[0])
    worker = int(kernel.environ().get("NBDAG_WORKER", 0)) or _worker_of(both)
    os.kill(worker, signal.SIGKILL)
    result = both.result()
    assert (result.state, result.error) == (
        FAILED,
        "the attempt's worker was killed by SIGKILL, perhaps because the system ran out of memory",
    )
    assert gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["warm", "fresh"])
def test_a_stopped_worker_sends_no_heartbeat_and_is_killed(new_bench, monkeypatch, kernels: str) -> None:
    bench = new_bench(1, heartbeat=0.5)
    bench.kernels = kernels
    job = bench.job(FAMILY)
    bench.executor.submit(job)
    pids = wait_for(bench.folder / "pids")
    worker = _worker_of(bench)
    os.kill(worker, signal.SIGSTOP)
    with monkeypatch.context() as patch:  # until it is stopped, a worker may be as slow as it likes
        patch.setattr("nbdag.executors.local.MAX_MISSED", 3)
        result = bench.result()
    said = "the attempt's worker sent no heartbeat for 1.5 s and was killed"
    assert (result.state, result.error, result.final) == (FAILED, said, False)
    assert gone([*pids, worker])
    assert bench.make("x = 1", name="next").state is TaskState.SUCCESS


@pytest.mark.parametrize(
    "waits",
    [
        "os.kill(os.getpid(), signal.SIGSTOP)",  # the kernel is stopped, until the test lets it go on
        "ctypes.PyDLL(None).open(b'go', os.O_RDONLY)",  # one call that lets no other thread run, until then
    ],
)
def test_a_busy_kernel_does_not_stop_the_heartbeats(new_bench, monkeypatch, waits: str) -> None:
    """Its worker goes on to say that it is alive."""
    bench = new_bench(1, heartbeat=0.2)
    signs: list[object] = []
    receive = framing.receive

    def hear(connection: Any) -> Any:
        frame = receive(connection)
        signs.append(frame is not None and "alive" in frame.data)
        return frame

    monkeypatch.setattr(framing, "receive", hear)
    monkeypatch.setattr("nbdag.executors.local.MAX_MISSED", 10_000)
    go = bench.folder / "go"
    os.mkfifo(go)
    code = f"import ctypes, os, signal\nPath = __import__('pathlib').Path\nPath('pid').write_text(str(os.getpid()))\n{waits}"
    bench.executor.submit(bench.job(code))
    (kernel,) = wait_for(bench.folder / "pid")
    if "SIGSTOP" in waits:
        stopped = psutil.Process(kernel)
        until(lambda: stopped.status() == psutil.STATUS_STOPPED, "the kernel is stopped")
    before = signs.count(True)
    until(lambda: signs.count(True) >= before + 5, "the worker says that it is alive")
    if "SIGSTOP" in waits:
        stopped.resume()
    else:
        go.open("w").close()
    assert bench.result().state is TaskState.SUCCESS


def _worker_of(bench) -> int:
    """Return the pid of the process that writes this attempt's log."""
    log = str(bench.folder / "tasks/task/1.log")
    kernel = wait_for(bench.folder / "pids")[0]
    for process in psutil.process_iter():
        try:
            files = {str(opened.readlink()) for opened in Path(f"/proc/{process.pid}/fd").iterdir()}
        except (OSError, psutil.Error):
            continue
        if log in files and process.pid != kernel and "sleep" not in process.name():
            return process.pid
    raise AssertionError("no worker")


# The kernel takes longer to find what the task has started than Jupyter's poller takes to end a kernel.
SLOWLY = """
import nbdag.processes.process_tree as tree, time
kill_marked = tree.kill_marked
tree.kill_marked = lambda mark: (time.sleep(3), kill_marked(mark))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernels", "code"),
    [("warm", FAMILY), ("fresh", SLOWLY + FAMILY)],
    ids=["warm", "fresh"],
)
def test_no_process_survives_a_killed_executor(tmp_path: Path, kernels: str, code: str) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(patience.__file__).parent)]!r}
        from conftest import Bench
        from nbdag.executors.local import LocalExecutor
        bench = Bench(Path({str(tmp_path)!r}), LocalExecutor(1))
        bench.kernels = {kernels!r}
        bench.executor.submit(bench.job({code!r}))
        time.sleep(1000)
        """)
    )
    driver = subprocess.Popen([sys.executable, str(script)])
    try:
        pids = wait_for(tmp_path / "pids")
    finally:
        driver.kill()
        driver.wait()
    assert gone(pids)


def test_no_process_survives_a_dead_kernel(both) -> None:
    assert both.make(FAMILY.replace("time.sleep(1000)", "os._exit(3)")).state is FAILED
    assert gone(wait_for(both.folder / "pids"))


def test_slots_limit_the_attempts_that_run_at_once(new_bench) -> None:
    bench = new_bench(2)
    code = """
import time
from pathlib import Path
started = time.time()
open(f"begun {started}", "w").close()
while len(list(Path().glob("begun *"))) < 2:
    time.sleep(0.02)
time.sleep(1)  # for the third to begin, if it could
ended = time.time()
"""
    for name in ("a", "b", "c"):
        bench.executor.submit(bench.job(code, name=name, exports=(("started", "ended"),)))
    spans = []
    for _ in range(3):
        result = bench.result()
        (digest,) = {output.digest for output in result.outputs}
        from nbdag.values import ValueStore

        found = ValueStore(str(bench.folder / "values")).load(digest)
        spans.append((found["started"], found["ended"]))
    spans.sort()
    assert spans[1][0] < spans[0][1]  # the second overlaps the first
    assert spans[2][0] >= min(spans[0][1], spans[1][1])  # the third waits for a slot


@pytest.mark.slow
def test_attempts_leave_no_descriptors_or_processes(new_bench) -> None:
    bench = new_bench(2)
    bench.make("x = 1")
    until(lambda: bench.executor.workers, "the worker is free again")
    here = psutil.Process()
    before = here.num_fds(), len(here.children(recursive=True))
    for n in range(6):
        bench.make("x = 1", name=f"t{n}")

    def kept() -> bool:
        return here.num_fds() > before[0] or len(here.children(recursive=True)) > before[1]

    until(lambda: not kept(), "nothing more is open than before")


def test_workers_execute_several_attempts_and_end_with_the_executor(new_bench) -> None:
    bench = new_bench(1)
    said = "import os, subprocess\n_ = subprocess.run(['sh', '-c', 'echo {} $PWD >&2'])\n"
    folders = [bench.folder / name for name in ("a", "b")]
    for n in range(6):
        folders[n % 2].mkdir(exist_ok=True)
        bench.make(said.format(n), name=f"t{n}", cwd=str(folders[n % 2]))
    for n in range(6):  # each in its own folder, with its own log
        assert set((bench.folder / f"tasks/t{n}/1.log").read_text().split()) == {str(n), str(folders[n % 2])}
    workers = set(until(lambda: bench.executor.workers, "a worker is idle"))
    assert len(workers) <= 2  # one shuts its kernel down while the other has begun
    bench.executor.stop()
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_a_killed_idle_worker_is_replaced(new_bench) -> None:
    bench = new_bench(1)
    bench.make("x = 1")
    workers = until(lambda: bench.executor.workers, "the worker is free again")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    assert gone(workers)
    assert bench.make("x = 1", name="again").state is TaskState.SUCCESS


def test_open_files_are_written_when_the_kernel_ends(both) -> None:
    result = both.make("f = open('left.txt', 'w')\n_ = f.write('all of it')")
    assert result.state is TaskState.SUCCESS
    until(lambda: (both.folder / "left.txt").read_text() == "all of it", "the file is written")


def test_the_log_is_written_continuously(bench) -> None:
    job = bench.job("import time, sys\nprint('first')\nprint('second', file=sys.stderr)\ntime.sleep(1000)")
    bench.executor.submit(job)
    log = bench.folder / "tasks/task/1.log"
    until(lambda: log.exists() and {"first", "second"} <= set(log.read_text().splitlines()), "the log is written")
    bench.executor.cancel(job.key)
    assert bench.result().error == "cancelled"


@pytest.mark.slow
def test_without_a_fork_server_attempts_succeed_and_one_warning_is_logged(
    new_bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NBDAG_RUNTIME_DIR", str(tmp_path / "file/below"))  # which cannot be made
    bench = new_bench(1)
    assert bench.make("x = 1", exports=(("x",),)).outputs[0].summary == "1"
    assert bench.make("1/0").error == "ZeroDivisionError: division by zero"
    (said,) = [record.getMessage() for record in caplog.records if "fork" in record.getMessage()]
    assert said.startswith("no fork server: ") and said.endswith(
        "; ordinary kernels are used instead, which start more slowly"
    )


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("NBDAG_SERVERS", "many", "a number of fork servers such as 4"),
        ("NBDAG_SERVERS", "0", "a number of fork servers such as 4"),
        ("NBDAG_IDLE", "abc", "a number of seconds such as 600"),
        ("NBDAG_IDLE", "-1", "a number of seconds such as 600"),
        ("NBDAG_IDLE", "nan", "a number of seconds such as 600"),
    ],
)
def test_an_invalid_setting_of_fork_servers_is_refused(
    variable: str, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(NbdagError, match=f"^invalid {variable} '{text}'; expected {expected}$"):
        LocalExecutor(1)


def test_a_pool_without_a_thread_for_later_releases_a_server_at_once(
    new_bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = new_bench(1)
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if isinstance(self, threading.Timer):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert bench.make("x = 1", exports=(("x",),)).outputs[0].summary == "1"
    until(lambda: not bench.executor._kernel_pool._held)


def test_a_thread_that_the_system_refuses_fails_the_attempt(new_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = new_bench(1)
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "nbdag-task":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert bench.make("1").error == (
        "the attempt did not start: can't start new thread; end other programs or raise ulimit -u"
    )


def test_an_error_before_the_attempt_is_its_result(new_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = new_bench(1)

    def job_submitted(self: object, job: object) -> None:
        raise ValueError("no way")

    monkeypatch.setattr("nbdag.kernels.jupyter.kernel_pool.KernelPool.job_submitted", job_submitted)
    assert bench.make("1").error == "the attempt did not start: ValueError: no way"
