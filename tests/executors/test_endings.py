"""However an attempt ends, it has one result and leaves no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from nbdag.core.model.states import TaskState

FAILED = TaskState.FAILED
# Starts every kind of process that a task may start (a child, one in its own session, a daemon), writes the
# pids to a file, and waits.
FAMILY = """
import os, subprocess, sys, time
from pathlib import Path
daemon = "import os, subprocess; os.setsid(); print(subprocess.Popen(['sleep', '1000'], stdout=2).pid)"
pids = [
    os.getpid(),
    subprocess.Popen(["sleep", "1000"]).pid,
    subprocess.Popen(["sleep", "1000"], start_new_session=True).pid,
    int(subprocess.run([sys.executable, "-c", daemon], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout),
]
Path("pids.part").write_text(" ".join(map(str, pids)))
Path("pids.part").rename("pids")
time.sleep(1000)
"""


def wait_for(path: Path) -> list[int]:
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return [int(pid) for pid in path.read_text().split()]


def gone(pids: Iterable[int], within: float = 20.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not any(_runs(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(params=["warm", "fresh"])
def both(bench, request):
    bench.kernels = request.param
    return bench


def test_a_timeout_kills_every_process_of_the_attempt(both) -> None:
    result = both.make(FAMILY, options={"timeout": 4.0})
    assert (result.state, result.error, result.final) == (FAILED, "timed out after 4 s", False)
    assert gone(wait_for(both.folder / "pids"))


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
    assert gone(pids, within=1.0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; print('so far', flush=True); os._exit(3)", "the kernel ended by itself, with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the kernel was killed by SIGSEGV"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "the kernel was killed by SIGKILL, perhaps because memory ran out",
        ),
    ],
)
def test_a_kernels_death_is_reported(both, code: str, said: str) -> None:
    result = both.make(code)
    assert (result.state, result.error) == (FAILED, said)


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
    assert (result.state, result.error) == (FAILED, "its worker was killed by SIGKILL, perhaps because memory ran out")
    assert gone(pids)


@pytest.mark.parametrize("kernels", ["warm", "fresh"])
def test_a_stopped_worker_sends_no_heartbeat_and_is_killed(new_bench, kernels: str) -> None:
    bench = new_bench(1, heartbeat=0.05)
    bench.kernels = kernels
    job = bench.job(FAMILY)
    bench.executor.submit(job)
    pids = wait_for(bench.folder / "pids")
    worker = _worker_of(bench)
    os.kill(worker, signal.SIGSTOP)
    result = bench.result()
    said = "its worker sent no heartbeat for 3 s and was killed"
    assert (result.state, result.error, result.final) == (FAILED, said, False)
    assert gone([*pids, worker])
    assert bench.make("x = 1", name="next").state is TaskState.SUCCESS


@pytest.mark.parametrize(
    "waits",
    [
        "os.kill(os.getpid(), signal.SIGSTOP)",  # the kernel is stopped until the test resumes it
        "re.fullmatch('(a+)+b', 'a' * 26)",  # a single call during which no other thread runs
    ],
)
def test_a_busy_kernel_does_not_stop_the_heartbeats(new_bench, waits: str) -> None:
    bench = new_bench(1, heartbeat=0.01)
    job = bench.job(f"import os, re, signal\nopen('pid', 'w').write(str(os.getpid()))\n{waits}")
    bench.executor.submit(job)
    if "SIGSTOP" in waits:
        (kernel,) = wait_for(bench.folder / "pid")
        stopped = psutil.Process(kernel)
        until = time.monotonic() + 60
        while stopped.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(1.5)  # longer than a worker may be silent here
        stopped.resume()
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


@pytest.mark.parametrize("kernels", ["warm", "fresh"])
def test_no_process_survives_a_killed_executor(tmp_path: Path, kernels: str) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from conftest import Bench
        from nbdag.executors.local import LocalExecutor
        bench = Bench(Path({str(tmp_path)!r}), LocalExecutor(1))
        bench.kernels = {kernels!r}
        bench.executor.submit(bench.job({FAMILY!r}))
        time.sleep(1000)
        """)
    )
    driver = subprocess.Popen([sys.executable, str(script)])
    try:
        pids = wait_for(tmp_path / "pids")
    finally:
        driver.kill()
        driver.wait()
    assert gone(pids, within=10.0)


def test_no_process_survives_a_dead_kernel(both) -> None:
    assert both.make(FAMILY.replace("time.sleep(1000)", "os._exit(3)")).state is FAILED
    assert gone(wait_for(both.folder / "pids"))


def test_slots_limit_the_attempts_that_run_at_once(new_bench) -> None:
    bench = new_bench(2)
    code = "import time\nstarted = time.time()\ntime.sleep(1)\nended = time.time()"
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


def test_attempts_leave_no_descriptors_or_processes(new_bench) -> None:
    bench = new_bench(2)
    bench.make("x = 1")
    time.sleep(0.5)
    here = psutil.Process()
    before = here.num_fds(), len(here.children(recursive=True))
    for n in range(6):
        bench.make("x = 1", name=f"t{n}")
    until = time.monotonic() + 20

    def kept() -> bool:
        return here.num_fds() > before[0] or len(here.children(recursive=True)) > before[1]

    while kept() and time.monotonic() < until:
        time.sleep(0.1)
    assert not kept()


def test_workers_execute_several_attempts_and_end_with_the_executor(new_bench) -> None:
    bench = new_bench(1)
    said = "import os, subprocess\n_ = subprocess.run(['sh', '-c', 'echo {} $PWD >&2'])\n"
    folders = [bench.folder / name for name in ("a", "b")]
    for n in range(6):
        folders[n % 2].mkdir(exist_ok=True)
        bench.make(said.format(n), name=f"t{n}", cwd=str(folders[n % 2]))
    for n in range(6):  # each in its own folder, with its own log
        assert set((bench.folder / f"tasks/t{n}/1.log").read_text().split()) == {str(n), str(folders[n % 2])}
    workers = set(bench.executor.workers)
    assert 1 <= len(workers) <= 2  # one shuts its kernel down while the other has begun
    bench.executor.stop()
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_a_killed_idle_worker_is_replaced(new_bench) -> None:
    bench = new_bench(1)
    bench.make("x = 1")
    until = time.monotonic() + 20
    while not bench.executor.workers and time.monotonic() < until:
        time.sleep(0.05)
    for pid in bench.executor.workers:
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert bench.make("x = 1", name="again").state is TaskState.SUCCESS


def test_open_files_are_written_when_the_kernel_ends(both) -> None:
    result = both.make("f = open('left.txt', 'w')\n_ = f.write('all of it')")
    assert result.state is TaskState.SUCCESS
    until = time.monotonic() + 20
    while (both.folder / "left.txt").read_text() != "all of it" and time.monotonic() < until:
        time.sleep(0.05)
    assert (both.folder / "left.txt").read_text() == "all of it"


def test_the_log_is_written_continuously(bench) -> None:
    job = bench.job("import time, sys\nprint('first')\nprint('second', file=sys.stderr)\ntime.sleep(1000)")
    bench.executor.submit(job)
    log = bench.folder / "tasks/task/1.log"
    until = time.monotonic() + 60
    while not (log.exists() and {"first", "second"} <= set(log.read_text().splitlines())):
        assert time.monotonic() < until
        time.sleep(0.05)
    bench.executor.cancel(job.key)
    assert bench.result().error == "cancelled"


def test_without_a_fork_server_attempts_succeed_and_one_warning_is_logged(
    new_bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NBDAG_RUNTIME_DIR", str(tmp_path / "file/below"))  # which cannot be made
    bench = new_bench(1)
    assert bench.make("x = 1", exports=(("x",),)).outputs[0].summary == "1"
    assert bench.make("1/0").error == "ZeroDivisionError: division by zero"
    (said,) = [record.getMessage() for record in caplog.records if "fork" in record.getMessage()]
    assert said.startswith("no fork server: ") and said.endswith("; ordinary kernels do the same, more slowly")


def test_an_invalid_number_of_servers_falls_back_to_the_default(
    new_bench, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBDAG_SERVERS", "many")
    monkeypatch.setenv("NBDAG_TESTED", "another environment, so that servers are started")
    assert new_bench(1).make("x = 1", exports=(("x",),)).outputs[0].summary == "1"


def test_an_error_before_the_attempt_is_its_result(new_bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = new_bench(1)

    def job_submitted(self: object, job: object) -> None:
        raise ValueError("no way")

    monkeypatch.setattr("nbdag.kernels.jupyter.kernel_pool.KernelPool.job_submitted", job_submitted)
    assert bench.make("1").error == "the attempt did not start: ValueError: no way"
