"""Tests of Ctrl-C, kill -9, timeouts and full disks: all processes end, records are right, errors are one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import LONG, is_gone, limits, until

WriteNotebook = Callable[..., Path]


HANGS = (
    "%%task quick\nprint('quick is done')",
    "%%task hangs --after quick\nimport subprocess\nfrom pathlib import Path\n"
    "child = subprocess.Popen(['sleep', '1000'])\nPath('started').write_text(str(child.pid))\nchild.wait()",
    "%%task later --after hangs\nprint('never')",
)


def runs_of(nbdag: Any) -> list[dict[str, Any]]:
    done = nbdag("runs", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, list)
    return told


@pytest.fixture
def hanging(lone_nbdag: Any, write_notebook: WriteNotebook) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of a run in which one task has started and never ends."""
    with lone_nbdag.start("run", write_notebook(*HANGS), start_new_session=True) as process:
        try:
            started = lone_nbdag.folder / "started"
            until(lambda: process.poll() is not None or started.exists(), "the task has begun")
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "to_group", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, -signal.SIGTERM)],
    ids=["Ctrl-C in a terminal", "SIGTERM"],
)
def test_an_interrupted_run_is_cancelled_and_all_its_processes_end(
    number: signal.Signals, to_group: bool, code: int, lone_nbdag: Any, hanging: subprocess.Popen[str]
) -> None:
    (os.killpg if to_group else os.kill)(hanging.pid, number)
    out, err = hanging.communicate(timeout=LONG)
    assert hanging.returncode == code, out + err
    if number is signal.SIGINT:
        assert "interrupted: run " in err
    assert "Traceback" not in out + err
    until(lambda: not lone_nbdag.processes(), "no process is left")
    (run,) = runs_of(lone_nbdag)
    assert run["state"] == "cancelled"
    states = {task["id"]: task["state"] for task in run["tasks"]}
    assert states["quick"] == "success"
    assert states["hangs"] != "running"
    assert "quick is done" in Path(run["notebook"]).read_text()


@pytest.mark.slow
def test_kernels_end_and_the_store_opens_after_a_run_is_killed(lone_nbdag: Any, hanging: subprocess.Popen[str]) -> None:
    hanging.kill()
    hanging.communicate(timeout=LONG)
    until(lambda: not lone_nbdag.processes(), "no process is left")
    (run,) = runs_of(lone_nbdag)
    assert run["state"] == "running"
    assert f"(pid {hanging.pid}) has ended" in run["orphaned"]
    done = lone_nbdag("status")
    assert done.returncode == 0, done.stderr
    assert "`nbdag doctor` records the run as failed" in done.stdout
    assert f"run {run['run_id']} of" in lone_nbdag("doctor").stdout
    assert runs_of(lone_nbdag)[0]["state"] == "failed"


@pytest.mark.slow
def test_a_run_can_be_cancelled_from_another_terminal(lone_nbdag: Any, hanging: subprocess.Popen[str]) -> None:
    (run,) = runs_of(lone_nbdag)
    assert run["state"] == "running"
    assert {task["id"]: task["state"] for task in run["tasks"]}["hangs"] == "running"
    done = lone_nbdag("cancel", "latest")
    assert done.returncode == 0, done.stderr
    out, err = hanging.communicate(timeout=LONG)
    assert hanging.returncode in (1, 130), out + err
    assert runs_of(lone_nbdag)[0]["state"] == "cancelled"
    assert "■ cancelled" in next(line for line in lone_nbdag("status").stdout.splitlines() if line.startswith("hangs "))
    until(lambda: not lone_nbdag.processes(), "no process is left")


@pytest.mark.slow
def test_logs_follow_a_task_until_it_ends(nbdag: Any, write_notebook: WriteNotebook) -> None:
    path = write_notebook(
        "%%task slow\nimport time\nfrom pathlib import Path\nprint('it begins', flush=True)\n"
        "while not Path('go').exists():\n    time.sleep(0.05)\nprint('it ends')"
    )
    with nbdag.start("run", path) as run:
        until(lambda: nbdag("status").returncode == 0, "the run is on record")
        with nbdag.start("logs", "latest", "slow", "-f") as log:
            assert log.stdout.readline() == "it begins\n"
            (nbdag.folder / "go").touch()
            out, err = log.communicate(timeout=LONG)
        assert log.returncode == 0, err
        assert "it ends" in out
        out, err = run.communicate(timeout=LONG)
    assert run.returncode == 0, out + err


@pytest.mark.slow
def test_a_timeout_terminates_all_processes_of_the_task(lone_nbdag: Any, write_notebook: WriteNotebook) -> None:
    for limit in limits():
        hangs = HANGS[1].replace("--after quick", f"--timeout {limit:g}s")
        done = lone_nbdag("run", write_notebook(hangs, "%%task other\nprint('fine')"), "--json")
        assert done.returncode == 1, done.stderr
        tasks = {task["id"]: task for task in json.loads(done.stdout)["tasks"]}
        assert tasks["hangs"]["state"] == "failed"
        assert f"timed out after {limit:g} s" in tasks["hangs"]["error"]
        assert tasks["other"]["state"] == "success"
        if (lone_nbdag.folder / "started").exists():
            break
    child = int((lone_nbdag.folder / "started").read_text())
    until(lambda: is_gone(child), "the child is gone")
    until(lambda: not lone_nbdag.processes(), "no process is left")


@pytest.mark.slow
def test_independent_tasks_run_in_parallel(nbdag: Any, write_notebook: WriteNotebook) -> None:
    waits = """import time
from pathlib import Path
begun = time.time()
Path(f"begun {at_once} {begun}").touch()
while len(list(Path().glob(f"begun {at_once} *"))) < at_once:
    time.sleep(0.02)
time.sleep(1)  # for the other to begin, if it could
span = (begun, time.time())"""
    path = write_notebook(
        "%%params\nat_once = 1",
        f"%%task one\n{waits.replace('span', 'one')}",
        f"%%task two\n{waits.replace('span', 'two')}",
        "%%task compare\noverlap = min(one[1], two[1]) - max(one[0], two[0])\nprint('OVERLAP', overlap > 0)",
    )

    def overlaps(jobs: int) -> bool:
        done = nbdag("run", path, "--jobs", jobs, "-p", "at_once", jobs, "--json")
        assert done.returncode == 0, done.stderr
        report = Path(json.loads(done.stdout)["notebook"]).read_text()
        assert ("OVERLAP True" in report) != ("OVERLAP False" in report)
        return "OVERLAP True" in report

    assert overlaps(2)
    assert not overlaps(1)


# -- homes that are not writable ---------------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Yield a function that mounts a small file system."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mounted{len(places)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"mounting needs rights that this user has not: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", str(place)], check=True)


def refused(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("nbdag: ")]
    assert len(sentences) == 1, done.stderr
    assert said in sentences[0]


def test_a_home_that_is_a_file_is_reported(nbdag: Any, write_notebook: WriteNotebook) -> None:
    nbdag.home.write_text("not a folder")
    refused(nbdag("run", write_notebook("%%task a\nx = 1")), str(nbdag.home))


def test_a_read_only_home_is_reported(
    nbdag: Any, write_notebook: WriteNotebook, mounted: Callable[[str], Path]
) -> None:
    nbdag.home = mounted("size=1m,ro")
    done = nbdag("run", write_notebook("%%task a\nx = 1"))
    refused(done, f"nbdag cannot write to {nbdag.home} (read-only file system): make it writable")


def test_runs_in_a_read_only_home_can_be_listed(
    nbdag: Any, write_notebook: WriteNotebook, mounted: Callable[[str], Path]
) -> None:
    nbdag.home = mounted("size=20m")
    assert nbdag("run", write_notebook("%%task a\nx = 1")).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(nbdag.home)], check=True)
    done = nbdag("runs")
    assert done.returncode == 0 or done.stderr.count("\n") == 1, done.stderr
    assert "bug" not in done.stderr
    refused(nbdag("run", nbdag.folder / "nb.ipynb"), "cannot be written")


@pytest.mark.slow
def test_a_disk_that_fills_during_a_run_is_reported(
    lone_nbdag: Any, write_notebook: WriteNotebook, mounted: Callable[[str], Path]
) -> None:
    lone_nbdag.home = mounted("size=2m")
    path = write_notebook("%%task big\nimport os\nblock = os.urandom(8_000_000)", "%%task reads\nprint(len(block))")
    done = lone_nbdag("run", path)
    assert done.returncode == 1, done.stdout + done.stderr
    told = done.stdout + done.stderr
    assert "bug" not in told
    assert "no space left" in told.lower() or "disk" in told.lower()
    until(lambda: not lone_nbdag.processes(), "no process is left")
    assert lone_nbdag("status").returncode == 0


def test_a_disk_that_is_full_before_a_run_is_reported(
    nbdag: Any, write_notebook: WriteNotebook, mounted: Callable[[str], Path]
) -> None:
    nbdag.home = mounted("size=64k")
    (nbdag.home / "filler").write_bytes(b"x" * 60_000)
    refused(nbdag("run", write_notebook("%%task a\nx = 1")), "disk is full")
