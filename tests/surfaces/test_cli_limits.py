"""The system refuses something that every program needs: one sentence, and no bug report."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

from nbdag.home import FolderGoneError

# Replaces what starts threads or processes by something that the system refuses, then runs the command line.
REFUSE = """
import errno, os, runpy, subprocess, sys, threading
def thread(*_, **__): raise RuntimeError("can't start new thread")
def process(*_, **__): raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
if {what!r} == "threads":
    threading.Thread.start = thread
else:
    os.posix_spawn = subprocess.Popen._execute_child = process
sys.argv[:] = ["nbdag", *sys.argv[1:]]
runpy.run_module("nbdag", run_name="__main__")
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%task a\nx = 1")]), path)
    return path


def in_removed_folder(parent: Path, command: str) -> subprocess.CompletedProcess[str]:
    words = f"mkdir gone && cd gone && rmdir ../gone && exec '{sys.executable}' -m nbdag {command}"
    return subprocess.run(["sh", "-c", words], cwd=parent, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["status", "runs", "scheduler"])
def test_a_removed_working_directory_is_reported_in_one_sentence(tmp_path: Path, command: str) -> None:
    done = in_removed_folder(tmp_path, command)
    assert done.stderr == f"nbdag: {FolderGoneError()}\n"
    assert done.returncode == 1


def test_doctor_reports_a_removed_working_directory_as_a_problem_of_the_state(tmp_path: Path) -> None:
    done = in_removed_folder(tmp_path, "doctor")
    assert f"problem state: {FolderGoneError()}" in done.stdout.splitlines()
    assert (done.stderr, done.returncode) == ("", 1)


def test_a_refused_thread_is_reported_in_one_sentence(tmp_path: Path, notebook: Path) -> None:
    words = [sys.executable, "-c", REFUSE.format(what="threads"), "run", notebook]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    said = "nbdag: the limit of processes, threads or memory is reached: end other programs or raise it (ulimit -u, -v)"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == said
    assert "bug in nbdag" not in done.stderr


@pytest.mark.slow
def test_a_refused_process_fails_the_task_in_one_sentence(tmp_path: Path, notebook: Path, monkeypatch) -> None:
    words = [sys.executable, "-c", REFUSE.format(what="processes"), "run", notebook]
    with tempfile.TemporaryDirectory(prefix="nbdag-") as folder:  # has no server that runs already
        monkeypatch.setenv("NBDAG_RUNTIME_DIR", folder)
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the attempt did not start: resource temporarily unavailable" in done.stdout + done.stderr
    assert "bug in nbdag" not in done.stdout + done.stderr
